package stages

import (
	"context"
	"fmt"
	"time"
)

// turn is one element's place in the output order. A stage owns a fixed number of
// them and uses them again and again, so that an element costs no allocation.
type turn[In, Out any] struct {
	in      In
	out     chan Out // of capacity 1: a worker never waits to deliver
	blocked bool     // the dispatcher waited for a free turn longer than for the input
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
	for {
		start := time.Now()
		t, ok := Recv(ctx, free)
		if !ok {
			return context.Cause(ctx)
		}
		reserved := time.Now()
		if t.in, ok = Recv(ctx, in); !ok {
			return context.Cause(ctx)
		}
		t.blocked = reserved.Sub(start) > time.Since(reserved)
		order <- t
		work <- t
	}
}

// perform is one worker.
func perform[In, Out any](ctx context.Context, st *Stats, work <-chan *turn[In, Out], f Func[In, Out]) error {
	idle := time.Now()
	for {
		t, ok := Recv(ctx, work)
		if !ok {
			return nil
		}
		st.Sample(len(work))
		start := time.Now()
		v, err := f(ctx, t.in)
		if err != nil {
			return fmt.Errorf("stage %s: %w", st.name, err)
		}
		end := time.Now()
		// Workers wait in one place for two reasons; the dispatcher knows which it was.
		if wait := start.Sub(idle); t.blocked {
			st.Add(1, end.Sub(start), 0, wait)
		} else {
			st.Add(1, end.Sub(start), wait, 0)
		}
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
