package stages

import "time"

// CPU is a reading of the processor time that one thread has used. The zero CPU is of
// a system that does not tell.
type CPU struct {
	thread int32
	used   time.Duration
}

// Since returns the processor time between two readings. It is false when the goroutine
// has moved to another thread in between, or where the system does not tell: there is
// no such time then. Where the goroutine parks in between, on a channel or a timer, and
// comes back to its thread, what that did for others in the meantime counts, too: a
// stage that decodes or reads does not.
func (c CPU) Since(before CPU) (time.Duration, bool) {
	return c.used - before.used, c.thread == before.thread && c.thread != 0
}

// AddCPU notes the processor time that one element took. Some elements are enough:
// Report takes their mean for all. To read the clock costs about a microsecond.
func (s *Stats) AddCPU(d time.Duration) {
	s.cpu.Add(int64(d))
	s.measured.Add(1)
}

// Between returns what stages did between two moments, told by their reports. The
// processor time of the whole process in that while, 0 if not known, is divided: what is
// not the stages' before the last one is the last one's, which on a processor that
// computes is its own and otherwise the runtime's.
func Between(before, after []Report, process time.Duration) []Report {
	span := make([]Report, len(after))
	for i, a := range after {
		span[i] = a
		if i < len(before) {
			b := before[i]
			d := &span[i]
			d.N, d.Busy, d.Starved, d.Blocked, d.CPU = a.N-b.N, a.Busy-b.Busy, a.Starved-b.Starved, a.Blocked-b.Blocked, max(a.CPU-b.CPU, 0)
			d.queue, d.samples = a.queue-b.queue, a.samples-b.samples
			d.Queue = float64(d.queue) / float64(max(d.samples, 1))
		}
		process -= span[i].CPU
	}
	if last := len(span) - 1; last >= 0 && process > 0 {
		span[last].CPU += process
	}
	return span
}
