package stages

import (
	"context"
	"fmt"
	"time"
)

// turn is one element's place in the output order. A stage owns a fixed number of
// them and uses them again and again, so that an element costs no allocation.
type turn[In, Out any] struct {
	in  In
	out chan Out // of capacity 1: a worker never waits to deliver
	why waits
}

// waits is how long the dispatcher has waited since the start for free turns, which
// means for the stages behind, and for input.
type waits struct{ blocked, starved time.Duration }

// split divides a worker's idle time by what the dispatcher waited for since the
// worker's last element: all workers wait in one place, for either reason.
func (w waits) split(last waits, idle time.Duration) (starved, blocked time.Duration) {
	b, s := w.blocked-last.blocked, w.starved-last.starved
	if b+s > 0 {
		blocked = time.Duration(float64(idle) * float64(b) / float64(b+s))
	}
	return idle - blocked, blocked
}

// Map starts a stage of workers goroutines that run f over in. Results leave in the
// order of the input, whatever the number of workers. At most workers+ahead elements
// are inside the stage at once, finished ones that wait for their turn included: that
// is the stage's back-pressure, and the number of buffers that a ring carried by its
// elements needs. A failing f ends the pipeline, and no element behind the failed
// one leaves the stage.
func Map[In, Out any](p *Pipeline, name string, workers, ahead int, in <-chan In, f Func[In, Out]) <-chan Out {
	workers, ahead = max(workers, 1), max(ahead, 0)
	st, n := p.Stage(name, workers), workers+ahead
	out := make(chan Out)
	// There are only n turns, so no send on free, order and work ever waits.
	free, order, work := make(chan *turn[In, Out], n), make(chan *turn[In, Out], n), make(chan *turn[In, Out], n)
	for range n {
		free <- &turn[In, Out]{out: make(chan Out, 1)}
	}
	p.Go(name, func(ctx context.Context) error {
		defer close(order)
		defer close(work)
		return dispatch(ctx, in, free, order, work)
	})
	for range workers {
		p.Go(name, func(ctx context.Context) error { return perform(ctx, st, work, f) })
	}
	p.Go(name, func(ctx context.Context) error {
		defer close(out)
		deliver(ctx, order, out, free)
		return nil
	})
	return out
}

// dispatch reserves a turn for each element of in, then hands it to the workers.
func dispatch[In, Out any](ctx context.Context, in <-chan In, free <-chan *turn[In, Out], order, work chan<- *turn[In, Out]) error {
	sum, start := waits{}, time.Now()
	for {
		t, ok := Recv(ctx, free)
		if !ok {
			return context.Cause(ctx)
		}
		reserved := time.Now()
		if t.in, ok = Recv(ctx, in); !ok {
			return context.Cause(ctx)
		}
		sum.blocked += reserved.Sub(start)
		start = time.Now()
		sum.starved += start.Sub(reserved)
		t.why = sum
		order <- t
		work <- t
	}
}

// measureEvery is of how many elements one has its processor time measured.
const measureEvery = 8

// perform is one worker.
func perform[In, Out any](ctx context.Context, st *Stats, work <-chan *turn[In, Out], f Func[In, Out]) error {
	idle, last := time.Now(), waits{}
	for n := 0; ; n++ {
		t, ok := Recv(ctx, work)
		if !ok {
			return nil
		}
		st.Sample(len(work))
		start := time.Now()
		var used CPU
		if n%measureEvery == 0 {
			used = ThreadCPU()
		}
		v, err := f(ctx, t.in)
		if err != nil {
			return fmt.Errorf("stage %s: %w", st.name, err)
		}
		if n%measureEvery == 0 {
			if d, ok := ThreadCPU().Since(used); ok {
				st.AddCPU(d)
			}
		}
		end := time.Now()
		starved, blocked := t.why.split(last, start.Sub(idle))
		st.Add(1, end.Sub(start), starved, blocked)
		last = t.why
		idle = end
		t.out <- v
	}
}

// deliver sends the results on in the order of their turns, and gives the turns back.
func deliver[In, Out any](ctx context.Context, order <-chan *turn[In, Out], out chan<- Out, free chan<- *turn[In, Out]) {
	var none In
	for {
		t, ok := Recv(ctx, order)
		if !ok {
			return
		}
		v, ok := Recv(ctx, t.out)
		if !ok {
			return
		}
		if t.in = none; !Send(ctx, out, v) {
			return
		}
		free <- t
	}
}
