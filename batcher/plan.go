package batcher

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"
)

// A Plan is how a Loader divides its part of a Budget. Sizes are in bytes.
type Plan struct {
	Ceiling  int64 `json:"ceiling"`
	Held     int64 `json:"held"`  // by the process before its input began
	Parts    int   `json:"parts"` // into which the rest is divided; the plan is of one
	Ring     int   `json:"ring"`  // batches
	Batch    int64 `json:"batch"` // of each
	Workers  int   `json:"workers"`
	Worker   int64 `json:"worker"`   // of each: scratch and tables
	Large    int64 `json:"large"`    // for all pictures together that have no room in a worker's scratch
	Largest  int64 `json:"largest"`  // scratch of the dearest picture
	Exceeded bool  `json:"exceeded"` // the ceiling is, while a picture is decoded for which Large is too small
}

// Total is the most that is held, the process's own included: of one loader, and without
// a picture that exceeds it.
func (p Plan) Total() int64 {
	return p.Held + int64(p.Ring)*p.Batch + int64(p.Workers)*p.Worker + p.Large
}

// scratch is what a picture may take of a worker.
func (p Plan) scratch(c Config) int64 { return p.Worker - c.fixed() }

// String says in a line what was chosen.
func (p Plan) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "memory: %s of %s: %s of %s, %s of %s", sizeText(p.Total()), sizeText(p.Ceiling),
		plural(p.Ring, "batch", "batches"), sizeText(p.Batch), plural(p.Workers, "worker", "workers"), sizeText(p.Worker))
	if p.Large > 0 {
		fmt.Fprintf(&s, ", %s for large pictures", sizeText(p.Large))
	}
	fmt.Fprintf(&s, ", %s held before", sizeText(p.Held))
	if p.Parts > 1 {
		fmt.Fprintf(&s, "; one of %d inputs, which share it", p.Parts)
	}
	if p.Exceeded {
		fmt.Fprintf(&s, "; more while a picture that needs up to %s is decoded, one at a time", sizeText(p.Largest))
	}
	return s.String()
}

func plural(n int, one, many string) string {
	if n == 1 {
		many = one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// sizeText formats bytes with a binary unit.
func sizeText(n int64) string {
	if n < 1<<30 {
		return fmt.Sprintf("%.3g MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.3g GiB", float64(n)/(1<<30))
}

// stack is what a goroutine and its decoder take besides scratch and tables.
const stack = 256 << 10

// fixed is what a worker takes whatever its pictures.
func (c Config) fixed() int64 { return c.Vision.Tables() + stack }

// Plan divides Config.Budget. An error says the least ceiling that would do.
func (c Config) Plan() (Plan, error) {
	if err := c.Validate(); err != nil {
		return Plan{}, err
	}
	return c.resolved().plan()
}

func (c Config) plan() (Plan, error) {
	source, ok := c.Source.(Sized)
	if !ok || c.Budget == nil {
		return Plan{}, errors.New("batcher: a memory ceiling needs a Budget and a source that knows the sizes of its records (use a *shards.Split)")
	}
	p := Plan{Ceiling: c.Budget.ceiling, Held: c.Budget.held, Parts: c.Parts, Batch: c.batchBytes()}
	fixed := c.fixed()
	var most int64
	most, p.Largest = c.census(source)
	usable := c.Budget.usable(c.Parts)
	if !p.divide(c, usable, fixed, most) {
		need := p.Batch + fixed + most
		return p, fmt.Errorf("batcher: memory ceiling of %s, want at least %s: %s before the input began, one batch of %d pictures %s, one worker %s%s (raise the ceiling or lower the batch)",
			sizeText(p.Ceiling), roundedUp(c.Budget.least(c.Parts, need)), sizeText(p.Held), c.Batch, sizeText(p.Batch), sizeText(fixed+most), among(c.Parts))
	}
	return p, nil
}

// among says that a budget is shared.
func among(parts int) string {
	if parts == 1 {
		return ""
	}
	return fmt.Sprintf(", both for each of %d inputs", parts)
}

// roundedUp is sizeText, but never less than n.
func roundedUp(n int64) string { return fmt.Sprintf("%d MiB", (n+1<<20-1)>>20) }

// divide chooses among the divisions of usable bytes, and reports whether there is one.
// Either every picture has room in every worker's scratch, or only most pictures have and
// the others share what is kept for the largest. Where neither fits, one that is too
// large is decoded alone, and exceeds the ceiling.
func (p *Plan) divide(c Config, usable, fixed, most int64) bool {
	best := 0.0
	try := func(worker, large int64, worth float64) {
		for ring := 1; ring <= c.Ring; ring++ {
			n := min((usable-int64(ring)*p.Batch-large)/worker, int64(c.Workers))
			if v := float64(n) * worth * overlap(ring); n > 0 && v > best {
				best, p.Ring, p.Workers, p.Worker, p.Large = v, ring, int(n), worker, large
			}
		}
	}
	try(fixed+p.Largest, 0, 1)
	if most < p.Largest {
		try(fixed+most, p.Largest, 0.95) // a large picture costs its scratch anew each time
		if best == 0 {
			try(fixed+most, 0, 1)
			p.Exceeded = best > 0
		}
	}
	if p.Large > 0 || p.Exceeded { // what is left lets more of them be decoded at once
		left := usable - int64(p.Ring)*p.Batch - int64(p.Workers)*p.Worker
		p.Large = min(left, int64(p.Workers)*p.Largest)
	}
	return best > 0
}

// overlap is what a worker is worth with a ring of so many batches: with one, it waits
// while the consumer has it; with two, it waits when either side hesitates.
func overlap(ring int) float64 {
	switch ring {
	case 1:
		return 0.5
	case 2:
		return 0.9
	}
	return 1 - 0.01/float64(ring) // deeper is no worse
}

// batchBytes is the size of a Batch's buffers.
func (c Config) batchBytes() int64 { return int64(c.Batch) * int64(c.sampleBytes()+3*4+8+4) }

// need is what record i takes of a worker's scratch.
func (c Config) need(s Sized, i int) int64 {
	return c.Vision.Scratch(s.Meta(i), c.Train) + int64(s.Room(i))*5/4
}

// census looks at every record and returns the scratch that is enough for 99 in 100 of
// them, and for all. Needs are counted in eight classes an octave, so that the memory for
// it does not depend on the number of records.
func (c Config) census(s Sized) (most, largest int64) {
	var classes [64 * 8]int
	n := s.Len()
	for i := range n {
		need := c.need(s, i)
		largest = max(largest, need)
		classes[class(need)]++
	}
	seen := 0
	for k, count := range classes {
		if seen += count; 100*seen >= 99*n {
			return min(classEnd(k), largest), largest
		}
	}
	return largest, largest
}

// class is the class of a need of at least 8 bytes.
func class(need int64) int {
	octave := bits.Len64(uint64(max(need, 8))) - 1
	return octave*8 + int(max(need, 8)>>(octave-3)&7)
}

// classEnd is the largest need of a class.
func classEnd(k int) int64 { return int64(8+k&7+1)<<(k>>3-3) - 1 }
