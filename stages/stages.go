// Package stages is the engine of the input pipeline: typed functions run as
// stages that are joined by channels. It knows no pictures; its tests use ints.
//
// A channel stands only where the resource changes (disk, CPU, device): a hop costs
// about a microsecond and moves the element to another core's cache, so steps that
// use the same resource are fused with Then and run on one goroutine.
//
// Rules that every stage keeps, here and in packages that add their own with
// Pipeline.Go: each send and receive also waits for the context (Send, Recv); only
// the sender closes a channel; the first error cancels the whole pipeline and is
// the one that Wait returns; a panic is such an error (PanicError), so that what runs
// beside the pipeline can still be saved. Output order never depends on how many workers run: a
// stage reserves an element's turn before it dispatches the work.
//
// Elements are passed on, never copied or kept: whoever receives one owns it and
// what it points to.
package stages

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"runtime/pprof"
	"sync"

	"golang.org/x/sync/errgroup"
)

// A Func turns one In into one Out. A stage with several workers calls it from all
// of them at once.
type Func[In, Out any] func(context.Context, In) (Out, error)

// Then fuses f and g: same goroutine, no channel, no buffer between them.
func Then[A, B, C any](f Func[A, B], g Func[B, C]) Func[A, C] {
	return func(ctx context.Context, a A) (c C, err error) {
		b, err := f(ctx, a)
		if err != nil {
			return c, err
		}
		return g(ctx, b)
	}
}

// errStopped is the cause of a pipeline ended by Stop, which is no failure.
var errStopped = errors.New("stages: pipeline stopped")

// A Pipeline owns the goroutines of its stages.
type Pipeline struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	group  *errgroup.Group

	mu    sync.Mutex
	stats []*Stats // in the order of the stages
}

// New returns an empty Pipeline whose stages stop when ctx is done. Its owner calls
// Wait or Stop in the end.
func New(ctx context.Context) *Pipeline {
	ctx, cancel := context.WithCancelCause(ctx)
	g, ctx := errgroup.WithContext(ctx)
	return &Pipeline{ctx: ctx, cancel: cancel, group: g}
}

// Context is done once the pipeline must end: by an error, by Stop, or by the
// context given to New. context.Cause tells which.
func (p *Pipeline) Context() context.Context { return p.ctx }

// Go runs f as a goroutine of the pipeline, labelled with the stage's name in CPU
// profiles. An error from f cancels the pipeline, and so does a panic.
func (p *Pipeline) Go(name string, f func(context.Context) error) {
	p.group.Go(func() (err error) {
		defer func() {
			if v := recover(); v != nil {
				err = Panicked(name, v)
			}
		}()
		pprof.Do(p.ctx, pprof.Labels("stage", name), func(ctx context.Context) { err = f(ctx) })
		return err
	})
}

// A PanicError is a panic in a stage: a bug of ours. It ends the pipeline as any error
// does; nothing goes on with what the panic left.
type PanicError struct {
	Stage string
	Value any    // what was given to panic
	Stack []byte // of the goroutine that panicked
}

// Panicked makes a PanicError. It is to be called by the deferred function that
// recovers, for the sake of the stack.
func Panicked(stage string, value any) *PanicError {
	return &PanicError{stage, value, debug.Stack()}
}

// Error names the stage and ends with the stack.
func (e *PanicError) Error() string {
	return fmt.Sprintf("stage %s: panic: %v (a bug: please report it with these lines)\n%s", e.Stage, e.Value, e.Stack)
}

// Unwrap returns the value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// Wait returns the first error of any stage, or the cause if the context was
// cancelled, once every goroutine has ended.
func (p *Pipeline) Wait() error {
	err := p.group.Wait()
	p.cancel(errStopped) // releases the context
	if errors.Is(err, errStopped) {
		return nil
	}
	return err
}

// Stop cancels what still runs and waits for every goroutine to end. It returns
// the first error of a stage; having been stopped is none.
func (p *Pipeline) Stop() error {
	p.cancel(errStopped)
	return p.Wait()
}

// Send sends v on ch unless ctx is done first, and reports whether it did.
func Send[T any](ctx context.Context, ch chan<- T, v T) bool {
	select {
	case ch <- v:
		return true
	case <-ctx.Done():
		return false
	}
}

// Recv receives from ch. It is false when ch is closed and drained, and when ctx is
// done first.
func Recv[T any](ctx context.Context, ch <-chan T) (v T, ok bool) {
	select {
	case v, ok = <-ch:
		return v, ok
	case <-ctx.Done():
		return v, false
	}
}

// Stopped reports whether err is the cause of a pipeline ended by Stop or after
// Wait.
func Stopped(err error) bool { return errors.Is(err, errStopped) }
