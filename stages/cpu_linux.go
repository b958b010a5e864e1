package stages

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ThreadCPU reads the clock of the thread that the goroutine runs on. Raw system calls:
// they do not wait, and the runtime need not know.
func ThreadCPU() CPU {
	var t unix.Timespec
	if _, _, e := unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_THREAD_CPUTIME_ID, uintptr(unsafe.Pointer(&t)), 0); e != 0 {
		return CPU{}
	}
	id, _, _ := unix.RawSyscall(unix.SYS_GETTID, 0, 0, 0)
	return CPU{int32(id), time.Duration(t.Nano())}
}
