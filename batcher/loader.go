package batcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"bagpipe/shards"
	"bagpipe/stages"
)

// ErrClosed is returned by Next after Close.
var ErrClosed = errors.New("batcher: loader closed")

// maxBad bounds the list of Loader.Bad.
const maxBad = 100

// BadRecord is a record that could not be turned into a picture.
type BadRecord struct {
	Index  int // record number
	Reason string
}

// Loader makes batches ahead of their consumer. Next belongs to one goroutine; Stats,
// Bad and Close may be called from any.
type Loader struct {
	c      Config
	steps  int // per epoch
	pipe   *stages.Pipeline
	free   chan *Batch // the ring
	order  chan *Batch // in the order of steps, from before the first slot is dispatched
	work   chan slot
	next   *Batch       // received from order, not delivered yet
	filled atomic.Int64 // batches ready and not delivered

	fused    []*stages.Stats // read, vision, batch: one goroutine
	consumer *stages.Stats
	crew     *crew     // which workers are at work
	held     int       // samples that the consumer is working on
	left     time.Time // when it left Next

	batches []*Batch
	procs   []processor
	plan    Plan  // the zero Plan without a Budget
	sizes   Sized // nil unless some pictures are large
	large   *pool // for those
	close   func() error

	mu  sync.Mutex
	bad []BadRecord
}

// slot is a unit of work: one sample to be made.
type slot struct {
	b *Batch
	i int
}

// New starts a loader whose first batch is that of position from. It runs until
// Close; when ctx is done, Next returns its error. Errors are those of
// Config.Validate and Config.Plan, of the picture chain's configuration and of the
// host's memory.
func New(ctx context.Context, c Config, from Position) (*Loader, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.resolved()
	l := &Loader{c: c, steps: c.StepsPerEpoch()}
	if from.Step < 0 || !c.Train && from.Step > l.steps {
		return nil, fmt.Errorf("batcher: start at step %d of %d", from.Step, l.steps)
	}
	if err := l.divide(); err != nil {
		return nil, err
	}
	c = l.c
	l.free = make(chan *Batch, c.Ring)
	l.order = make(chan *Batch, c.Ring)
	l.work = make(chan slot, c.Batch)
	if err := l.alloc(); err != nil {
		return nil, errors.Join(err, l.release())
	}
	l.pipe = stages.New(ctx)
	for i, name := range stageNames {
		l.fused = append(l.fused, l.pipe.Stage(name, c.Workers))
		if i > 0 {
			l.fused[i].OnTheSameWorkers()
		}
	}
	l.fused[0].Remedy("a faster disk")
	l.consumer = l.pipe.Stage(c.Consumer, 1)
	l.crew = newCrew(c, l.fused)
	l.pipe.Go("feed", func(ctx context.Context) error { return l.feed(ctx, from.Step) })
	for id, p := range l.procs {
		l.pipe.Go("vision", func(ctx context.Context) error { return l.perform(ctx, id, p) })
	}
	l.close = sync.OnceValue(func() error {
		_ = l.pipe.Stop() // Next tells the error
		return l.release()
	})
	return l, nil
}

// divide keeps the loader below its budget.
func (l *Loader) divide() error {
	if l.c.Budget == nil {
		return nil
	}
	plan, err := l.c.plan()
	if err != nil {
		return err
	}
	l.plan, l.c.Ring, l.c.Workers = plan, plan.Ring, plan.Workers
	if plan.Large > 0 || plan.Exceeded {
		l.sizes, l.large = l.c.Source.(Sized), newPool(plan.Large)
	}
	l.c.Budget.enter(l.heap())
	return nil
}

// heap is what the loader takes of the Go runtime's memory, at most.
func (l *Loader) heap() int64 {
	heap := int64(l.plan.Workers)*l.plan.Worker + l.plan.Large
	if l.c.plainHost {
		heap += int64(l.plan.Ring) * l.plan.Batch
	}
	return heap
}

// alloc makes the ring and the workers' processors.
func (l *Loader) alloc() error {
	for range l.c.Ring {
		b, err := newBatch(l.c, l.free)
		if err != nil {
			return err
		}
		l.batches = append(l.batches, b)
		l.free <- b
	}
	for range l.c.Workers {
		p, err := l.c.newProcessor()
		if err != nil {
			return err
		}
		l.procs = append(l.procs, p)
	}
	return nil
}

// release frees what alloc made. No goroutine uses it any more.
func (l *Loader) release() error {
	for _, p := range l.procs {
		p.Close()
	}
	var errs []error
	for _, b := range l.batches {
		errs = append(errs, b.close())
	}
	if l.c.Budget != nil {
		l.c.Budget.leave(l.heap())
	}
	return errors.Join(errs...)
}

// feed takes free batches and hands their slots to the workers, in the order of
// steps.
func (l *Loader) feed(ctx context.Context, step int) error {
	order, of := shards.Order{}, -1
	mix := newMixer(l.c)
	for ; l.c.Train || step < l.steps; step++ {
		b, ok := stages.Recv(ctx, l.free)
		if !ok {
			return context.Cause(ctx)
		}
		epoch := step / l.steps
		if epoch != of {
			order, of = l.c.order(epoch), epoch
		}
		lo, hi := order.Part(step-epoch*l.steps, l.c.Batch, l.c.Rank, l.c.World)
		b.Epoch, b.Step, b.N, b.order, b.first = epoch, step, hi-lo, order, lo
		b.lambda = mix.lambda(epoch, step)
		b.left.Store(int32(l.c.Batch))
		b.bad.Store(0)
		for i := range b.pairs {
			b.pairs[i].Store(0)
		}
		l.order <- b // has room for the whole ring
		for i := range l.c.Batch {
			if !stages.Send(ctx, l.work, slot{b, i}) {
				return context.Cause(ctx)
			}
		}
	}
	// Not deferred: an end that is none, such as a panic, must not look like the end.
	close(l.order)
	close(l.work)
	return nil
}

// Next returns the next batch, once it is ready. The error is io.EOF at the end of an
// evaluation, that of ctx or of New's context when one is done, ErrClosed, or what ended
// the loader: an error of the source that is not a record's (shards.OfRecord), such as a
// *shards.IOError, or a *stages.PanicError. It comes at once, before batches that are
// ready, and again with every call. A new loader at the first step not delivered goes on
// as if nothing had been.
func (l *Loader) Next(ctx context.Context) (*Batch, error) {
	start := time.Now()
	busy := time.Duration(0)
	if l.held > 0 {
		busy = start.Sub(l.left)
		l.consumer.Add(int64(l.held), busy, 0, 0)
		l.held = 0
	}
	b, err := l.wait(ctx)
	l.left = time.Now()
	l.crew.step(busy, l.left.Sub(start), l.left)
	l.consumer.Add(0, 0, l.left.Sub(start), 0)
	if err != nil {
		return nil, err
	}
	l.held = b.N
	b.Bad = int(b.bad.Load())
	b.out.Store(true)
	return b, nil
}

// wait takes the next batch from the order, then waits until it is filled. A batch
// that ctx interrupts stays the next one.
func (l *Loader) wait(ctx context.Context) (*Batch, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	run := l.pipe.Context()
	if run.Err() != nil {
		return nil, l.cause()
	}
	l.consumer.Sample(int(l.filled.Load()))
	if l.next == nil {
		select {
		case b, ok := <-l.order:
			if !ok {
				if run.Err() != nil {
					return nil, l.cause()
				}
				return nil, io.EOF
			}
			l.next = b
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-run.Done():
			return nil, l.cause()
		}
	}
	select {
	case <-l.next.ready:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-run.Done():
		return nil, l.cause()
	}
	l.filled.Add(-1)
	b := l.next
	l.next = nil
	return b, nil
}

// cause says why the pipeline's context is done.
func (l *Loader) cause() error {
	if err := context.Cause(l.pipe.Context()); !stages.Stopped(err) {
		return err
	}
	return ErrClosed
}

// Stats returns the counters of read, vision (decode and augment) and batch (mixup),
// which share the workers, and of the consumer: Busy between the calls of Next,
// Starved inside. All count samples.
func (l *Loader) Stats() []stages.Report { return l.pipe.Reports() }

// Workers returns how many workers are at work, and whether that has been so for a
// while: with Config.Auto the number is found while running.
func (l *Loader) Workers() (n int, settled bool) { return l.crew.size() }

// MostWorkers returns the bound of a number that is found while running, 0 of one that is
// fixed.
func (l *Loader) MostWorkers() int {
	if !l.c.Auto {
		return 0
	}
	return l.c.Workers
}

// Memory returns how the loader divides its part of Config.Budget; the zero Plan without
// one.
func (l *Loader) Memory() Plan { return l.plan }

// Bad returns the records found bad so far, ordered by number: the first 100 that
// were met, each once.
func (l *Loader) Bad() []BadRecord {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.SortedFunc(slices.Values(l.bad), func(a, b BadRecord) int { return cmp.Compare(a.Index, b.Index) })
}

// report notes a bad record.
func (l *Loader) report(index int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := slices.ContainsFunc(l.bad, func(b BadRecord) bool { return b.Index == index })
	if !known && len(l.bad) < maxBad {
		l.bad = append(l.bad, BadRecord{index, err.Error()})
	}
}

// Close stops all goroutines, waits for them and frees the host memory, of batches
// not released too. It may be called at any time, and again.
func (l *Loader) Close() error { return l.close() }
