//go:build unix

package stages

import (
	"time"

	"golang.org/x/sys/unix"
)

// ProcessCPU returns the processor time this process has used, user and system, on all
// its threads; 0 where the system does not tell.
func ProcessCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
