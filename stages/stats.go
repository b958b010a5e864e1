package stages

import (
	"sync/atomic"
	"time"
)

// Report is one stage's counters at a moment. Times are summed over its workers, so
// that Busy+Starved+Blocked is about Workers times the time the stage has run.
// Stages fused on the same workers each account for the workers' whole time: a
// stage is Starved while the ones before it run, and Blocked while those behind do.
type Report struct {
	Name    string        `json:"name"`
	Workers int           `json:"workers"`
	N       int64         `json:"n"`       // elements done
	Busy    time.Duration `json:"busy"`    // in its function, ns in JSON
	Starved time.Duration `json:"starved"` // waiting for input
	Blocked time.Duration `json:"blocked"` // waiting for output: nobody takes what is done
	CPU     time.Duration `json:"cpu"`     // processor time of its function, from a sample of the elements; 0 where not measured
	Queue   float64       `json:"queue"`   // mean depth of the input queue
	Remedy  string        `json:"-"`       // what would make the stage cheaper, for Judge; may be empty

	queue, samples int64 // whose quotient Queue is
	fused          bool  // on the workers of the stage before
}

// Share returns the part of its workers' time that the stage was busy, 0..1.
func (r Report) Share() float64 { return share(r.Busy, r) }

func share(d time.Duration, r Report) float64 {
	if all := r.Busy + r.Starved + r.Blocked; all > 0 {
		return float64(d) / float64(all)
	}
	return 0
}

// Stats counts what one stage does. Its methods may be called from all workers at
// once.
type Stats struct {
	name   string
	remedy string
	fused  bool

	workers atomic.Int64

	n, busy, starved, blocked atomic.Int64 // elements; nanoseconds
	depth, samples            atomic.Int64 // of the input queue
	cpu, measured             atomic.Int64 // nanoseconds of the elements measured
}

// Stage adds a stage to the pipeline's reports, in the order of the calls.
func (p *Pipeline) Stage(name string, workers int) *Stats {
	s := &Stats{name: name}
	s.Workers(workers)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats = append(p.stats, s)
	return s
}

// Reports returns the counters of all stages, first stage first. It may be called
// while the pipeline runs; a wait that has not ended yet is not in them.
func (p *Pipeline) Reports() []Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	rs := make([]Report, len(p.stats))
	for i, s := range p.stats {
		rs[i] = s.Report()
	}
	return rs
}

// Remedy sets what Judge proposes besides more workers if this stage is the limit.
// It is to be called before the stage runs.
func (s *Stats) Remedy(text string) *Stats {
	s.remedy = text
	return s
}

// OnTheSameWorkers says that the stage runs on the workers of the one added before it.
// It is to be called before the stage runs.
func (s *Stats) OnTheSameWorkers() *Stats {
	s.fused = true
	return s
}

// Workers says how many workers the stage has from now on.
func (s *Stats) Workers(n int) { s.workers.Store(int64(n)) }

// Add counts n elements and the time they took.
func (s *Stats) Add(n int64, busy, starved, blocked time.Duration) {
	s.n.Add(n)
	s.busy.Add(int64(busy))
	s.starved.Add(int64(starved))
	s.blocked.Add(int64(blocked))
}

// Sample notes the depth of the input queue, usually as an element is taken.
func (s *Stats) Sample(depth int) {
	s.depth.Add(int64(depth))
	s.samples.Add(1)
}

// Fused counts one element that went through several stages on one goroutine:
// busy[i] is the time spent in stats[i], and before all that the goroutine was idle,
// blocked by what comes behind the last stage.
func Fused(stats []*Stats, busy []time.Duration, idle time.Duration) {
	behind := idle
	for _, d := range busy {
		behind += d
	}
	before := time.Duration(0)
	for i, s := range stats {
		behind -= busy[i]
		s.Add(1, busy[i], before, behind)
		before += busy[i]
	}
}

// Report returns the counters now.
func (s *Stats) Report() Report {
	r := Report{
		Name: s.name, Workers: int(s.workers.Load()), Remedy: s.remedy, fused: s.fused, N: s.n.Load(),
		Busy:    time.Duration(s.busy.Load()),
		Starved: time.Duration(s.starved.Load()),
		Blocked: time.Duration(s.blocked.Load()),
	}
	if r.queue, r.samples = s.depth.Load(), s.samples.Load(); r.samples > 0 {
		r.Queue = float64(r.queue) / float64(r.samples)
	}
	if n := s.measured.Load(); n > 0 {
		r.CPU = time.Duration(float64(s.cpu.Load()) * float64(r.N) / float64(n))
	}
	return r
}
