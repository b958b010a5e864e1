// Package cores says how many processors there are to divide, apart from how many the
// Go scheduler is given.
package cores

import "runtime"

// spare is how many of the scheduler's processors stay idle while every core is at work.
const spare = 2

// atStart is GOMAXPROCS as the user or the system has set it.
var atStart = runtime.GOMAXPROCS(0)

// N returns how many threads of work to run at once.
func N() int { return atStart }

// Spare gives the scheduler more processors than N, at the start of a program.
// The work is in C for a millisecond at a time. While some processor of the scheduler
// is idle, a goroutine in C keeps its own; where none is, the runtime's monitor takes
// it away after 20 microseconds, which keeps the monitor awake: two decoders on two
// cores lost a fifth of their time to its timer and the switches of threads.
func Spare() { runtime.GOMAXPROCS(N() + spare) }
