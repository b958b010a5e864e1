//go:build !linux

package stages

// Resident is 0: the system does not tell.
func Resident() (now, peak int64) { return 0, 0 }

// ForgetPeak does nothing.
func ForgetPeak() {}
