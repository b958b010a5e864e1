package cli

import "fmt"

// Bytes formats a size as "12.3 MB".
func Bytes(n int64) string { return scaled(float64(n), "B", []string{"kB", "MB", "GB", "TB"}) }

// Count formats a count as "25.6 M".
func Count(n int64) string { return scaled(float64(n), "", []string{"k", "M", "G", "T"}) }

func scaled(f float64, unit string, larger []string) string {
	digits := "%.4g"
	for _, u := range larger {
		if f < 1000 {
			break
		}
		f, unit = f/1000, u
	}
	if unit == "" {
		return fmt.Sprintf(digits, f)
	}
	return fmt.Sprintf(digits+" %s", f, unit)
}
