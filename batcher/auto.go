package batcher

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"bagpipe/stages"
)

// A crew says which of a loader's workers are at work: those whose number is below
// want. The others wait, holding nothing. With Config.Auto it looks for the number that
// the consumer needs, by the times that Loader.Next hands it.
//
// It climbs: while the consumer waits for more than a part of its time, more workers are
// tried, and kept if the steps come faster for it. They need not: a device that computes
// on the workers' own cores is slowed down by them. If the consumer does not wait
// and the workers do, there are fewer.
type crew struct {
	auto  bool
	most  int
	stats []*stages.Stats // of the workers

	want    atomic.Int32
	settled atomic.Bool
	mu      sync.Mutex
	wake    chan struct{} // closed when want grows

	// The rest belongs to the consumer's goroutine.

	span     span
	blocked  time.Duration // of the workers, when the span began
	from     int           // workers before the number that is on trial; 0: none is
	rate     float64       // steps a second with these
	ceiling  int           // workers that did not pay
	floor    int           // workers that were too few
	patience int           // spans until ceiling and floor are doubted
	still    int           // spans without a change
}

// span is the steps that a decision rests on.
type span struct {
	begin   time.Time
	busy    [spanSteps]time.Duration // of the last steps
	n       int
	starved time.Duration
}

const (
	spanSteps = 16
	spanTime  = 250 * time.Millisecond // at least: shorter ones are noise
	// waitsLong is the part of its time that the consumer may wait before more workers
	// are tried, waitsShort the one below which fewer may do.
	waitsLong, waitsShort = 0.05, 0.01
	// pays is what a step more in workers must gain in steps a second.
	pays = 1.03
	// doubt is after how many spans what did not pay is tried again.
	doubt = 64
	// calm is after how many spans without a change the number is settled.
	calm = 3
)

// newCrew begins with a quarter of the workers, or with all of them if there is nothing
// to find.
func newCrew(c Config, stats []*stages.Stats) *crew {
	w := &crew{auto: c.Auto, most: c.Workers, stats: stats, wake: make(chan struct{}), ceiling: c.Workers + 1}
	n := c.Workers
	if c.Auto {
		n = max(1, c.Workers/4)
	}
	w.settled.Store(!c.Auto)
	w.set(n)
	return w
}

// size returns the number of workers at work and whether it has stopped changing.
func (w *crew) size() (n int, settled bool) { return int(w.want.Load()), w.settled.Load() }

// set changes the number of workers. One that is at a sample finishes it.
func (w *crew) set(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if old := int(w.want.Swap(int32(n))); n > old {
		close(w.wake)
		w.wake = make(chan struct{})
	}
	for _, s := range w.stats {
		s.Workers(n)
	}
}

// wait returns once the worker is one of those at work, and whether it had to wait. It
// is false when ctx is done first.
func (w *crew) wait(ctx context.Context, id int) (waited, ok bool) {
	for id >= int(w.want.Load()) {
		w.mu.Lock()
		wake := w.wake
		w.mu.Unlock()
		if id < int(w.want.Load()) { // it grew before wake was taken
			break
		}
		waited = true
		select {
		case <-wake:
		case <-ctx.Done():
			return waited, false
		}
	}
	return waited, true
}

// step notes a step of the consumer: how long it was busy before, and how long it
// waited for the batch that it got now.
func (w *crew) step(busy, starved time.Duration, now time.Time) {
	if !w.auto || w.most == 1 {
		w.settled.Store(true)
		return
	}
	s := &w.span
	if s.n == 0 {
		s.begin, w.blocked = now, w.idle()
	}
	s.busy[s.n%spanSteps] = busy
	if s.n > 0 { // the wait that led to begin lies before it
		s.starved += starved
	}
	if s.n++; s.n <= spanSteps || now.Sub(s.begin) < spanTime {
		return
	}
	steps := float64(s.n - 1)
	// The median: an evaluation or a checkpoint between two steps is not a step's work.
	last := s.busy
	slices.Sort(last[:])
	work, wait := last[spanSteps/2].Seconds(), s.starved.Seconds()/steps
	n, _ := w.size()
	slack := (w.idle() - w.blocked).Seconds() / max(now.Sub(s.begin).Seconds()*float64(n), 1e-9)
	w.decide(n, 1/max(work+wait, 1e-9), wait/max(work+wait, 1e-9), min(max(slack, 0), 1))
	w.span = span{}
}

// idle is the time that workers have waited for the consumer.
func (w *crew) idle() time.Duration { return w.stats[len(w.stats)-1].Report().Blocked }

// decide sets the number of workers for the next span: n had rate steps a second, the
// consumer waited for the part starved of its time and the workers for slack of theirs.
func (w *crew) decide(n int, rate, starved, slack float64) {
	next := n
	if w.patience--; w.patience < 0 {
		w.ceiling, w.floor, w.patience = w.most+1, 0, doubt
	}
	failed := w.from > 0 && rate < w.rate*pays && starved > waitsShort
	switch {
	case failed: // the trial did not pay
		w.ceiling, w.patience = n, doubt
		next = w.from
	case starved > waitsLong && n+1 < w.ceiling && n < w.most:
		if n >= w.floor {
			w.floor = n + 1
		}
		next = min(n+max(1, n/2), w.most, w.ceiling-1)
	case starved < waitsShort && slack > 0.3:
		next = max(int(float64(n)*(1-slack)*1.25+0.999), w.floor, 1)
		next = min(next, n)
	}
	w.from = 0
	if next > n {
		w.from, w.rate = n, rate
	}
	if next == n {
		w.still++
	} else {
		w.still = 0
		w.set(next)
	}
	w.settled.Store(w.still >= calm)
}
