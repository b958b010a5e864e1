package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A Size is a number of bytes on the command line, such as 8GiB, 512MiB or 2GB.
type Size int64

// UnmarshalText parses a size: a number above 0, whole or not, and a unit of B, kB, MB,
// GB, TB, KiB, MiB, GiB or TiB in any case.
func (s *Size) UnmarshalText(b []byte) error {
	text := strings.ToLower(strings.TrimSpace(string(b)))
	number := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyz ")
	unit, known := units[strings.TrimSpace(text[len(number):])]
	f, err := strconv.ParseFloat(number, 64)
	if bytes := f * unit; known && err == nil && bytes >= 1 && bytes < math.MaxInt64 {
		*s = Size(bytes)
		return nil
	}
	return fmt.Errorf("%q is no size (such as 8GiB, 512MiB or 2GB)", b)
}

var units = map[string]float64{
	"b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
}

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
