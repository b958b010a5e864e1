package stages

import (
	"bytes"
	"os"
	"strconv"
)

// Resident returns the bytes of this process that lie in memory, and the most that ever
// did since ForgetPeak; 0 where the system does not tell.
func Resident() (now, peak int64) {
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		if f := bytes.Fields(b); len(f) > 1 {
			pages, _ := strconv.ParseInt(string(f[1]), 10, 64)
			now = pages * int64(os.Getpagesize())
		}
	}
	if b, err := os.ReadFile("/proc/self/status"); err == nil {
		_, after, _ := bytes.Cut(b, []byte("VmHWM:"))
		if f := bytes.Fields(after); len(f) > 0 {
			kib, _ := strconv.ParseInt(string(f[0]), 10, 64)
			peak = kib << 10
		}
	}
	return now, max(now, peak) // the two are not read in one moment
}

// ForgetPeak lets the peak of Resident begin anew, as far as the system allows it.
func ForgetPeak() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }
