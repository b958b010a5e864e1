package batcher

import (
	"context"
	"fmt"
	"runtime/pprof"
	"time"

	"bagpipe/shards"
	"bagpipe/stages"
)

// maxTries bounds the replacements tried for one bad picture: a data set where so
// many lie in a row is broken, and reading on would only hide it.
const maxTries = 16

// padding is the label of a slot without a picture.
const padding = -1

// worker is the state of one worker goroutine.
type worker struct {
	l    *Loader
	proc processor
	buf  []byte           // of Source.Read
	busy [3]time.Duration // of the sample at hand, by stage

	labels [3]context.Context // for profiles, by stage
	doing  string             // what it is about, should it panic
	record int                // likewise

	measures bool             // whether the sample at hand has its processor time measured
	moved    bool             // to another thread meanwhile, which spoils the measure
	at       stages.CPU       // when the stage at hand began
	cpu      [3]time.Duration // of the sample at hand, by stage
}

// stageNames are those of a worker's stages, in their order: the index is a stage's number.
var stageNames = [3]string{"read", "vision", "batch"}

const (
	reading = iota
	seeing
	batching
)

// measureEvery is of how many samples one has its processor time measured: with all, the
// clock would take 1 us of each.
const measureEvery = 7

// begin prepares for sample n of this worker.
func (w *worker) begin(n int) {
	w.busy, w.cpu = [3]time.Duration{}, [3]time.Duration{}
	w.measures, w.moved = n%measureEvery == 0, false
}

// enter begins a stage.
func (w *worker) enter(stage int) {
	w.doing = stageNames[stage]
	pprof.SetGoroutineLabels(w.labels[stage])
	if w.measures {
		w.at = stages.ThreadCPU()
	}
}

// leave ends a stage that took d.
func (w *worker) leave(stage int, d time.Duration) {
	w.busy[stage] += d
	if w.measures {
		used, ok := stages.ThreadCPU().Since(w.at)
		w.cpu[stage] += used
		w.moved = w.moved || !ok
	}
}

// end counts the sample, before which the worker was idle for a while. The feed makes
// work as fast as the ring has room, so a worker without work waits for the consumer.
func (w *worker) end(idle time.Duration) {
	stages.Fused(w.l.fused, w.busy[:], idle)
	if w.measures && !w.moved {
		for i, s := range w.l.fused {
			s.AddCPU(w.cpu[i])
		}
	}
}

// perform fills slots until there are no more. The error is the source's, of a kind that
// no other record can make good, or a panic.
func (l *Loader) perform(ctx context.Context, id int, p processor) (err error) {
	w := &worker{l: l, proc: p}
	for i, name := range stageNames {
		w.labels[i] = pprof.WithLabels(ctx, pprof.Labels("stage", name))
	}
	defer func() {
		if v := recover(); v != nil {
			err = stages.Panicked(fmt.Sprintf("%s: record %d", w.doing, w.record), v)
		}
	}()
	idle := time.Now()
	for n := 0; ; n++ {
		if parked, ok := l.crew.wait(ctx, id); !ok {
			return nil
		} else if parked {
			idle = time.Now()
		}
		s, ok := stages.Recv(ctx, l.work)
		if !ok {
			return nil
		}
		l.fused[0].Sample(len(l.work))
		start := time.Now()
		w.begin(n)
		if err := w.fill(ctx, s.b, s.i); err != nil {
			return fmt.Errorf("stage read: %w", err)
		}
		mixed := time.Now()
		w.enter(batching)
		w.finish(s.b, s.i)
		end := time.Now()
		w.leave(batching, end.Sub(mixed))
		w.end(start.Sub(idle))
		idle = end
	}
}

// fill makes the sample of slot i. An error ends the run.
func (w *worker) fill(ctx context.Context, b *Batch, i int) error {
	c := &w.l.c
	size := c.sampleBytes()
	dst := b.Images.Bytes()[i*size : (i+1)*size : (i+1)*size]
	b.Index[i], b.labels[i] = -1, padding
	if i >= b.N {
		clear(dst)
		return nil
	}
	pos, tries := b.first+i, 0
	if c.Train {
		tries = min(maxTries, b.order.Len()-1)
	}
	b.Index[i] = b.order.At(pos)
	for try := range tries + 1 {
		at := pos + try
		if at >= b.order.Len() {
			at -= b.order.Len()
		}
		record := b.order.At(at)
		bad, err := w.make(ctx, dst, b.Epoch, record)
		if err != nil {
			return err
		}
		if bad == nil {
			b.Index[i], b.labels[i] = record, c.Source.Label(record)
			return nil
		}
		w.l.report(record, bad)
		if try == 0 {
			b.bad.Add(1)
		}
	}
	clear(dst)
	return nil
}

// make makes the sample of one record in dst. What is wrong with the record is bad; err is
// the disk's, or ctx's while a large picture waits for its room.
func (w *worker) make(ctx context.Context, dst []byte, epoch, record int) (bad, err error) {
	w.record = record
	if w.l.large != nil {
		if need := w.l.c.need(w.l.sizes, record); need > w.l.plan.scratch(w.l.c) {
			return w.makeLarge(ctx, dst, epoch, record, need)
		}
	}
	return w.produce(w.proc, &w.buf, dst, epoch, record)
}

// makeLarge is make with scratch that is dropped afterwards. Waiting for it counts for no
// stage.
func (w *worker) makeLarge(ctx context.Context, dst []byte, epoch, record int, need int64) (bad, err error) {
	give, err := w.l.large.take(ctx, need)
	if err != nil {
		return nil, err
	}
	defer give()
	proc, err := w.l.c.newProcessor()
	if err != nil {
		return nil, err
	}
	defer proc.Close()
	return w.produce(proc, new([]byte), dst, epoch, record)
}

// produce reads, decodes and augments one record with the given scratch.
func (w *worker) produce(proc processor, buf *[]byte, dst []byte, epoch, record int) (bad, err error) {
	w.enter(reading)
	start := time.Now()
	src, err := w.l.c.Source.Read(record, buf)
	read := time.Now()
	w.leave(reading, read.Sub(start))
	if err != nil {
		if shards.OfRecord(err) {
			return err, nil
		}
		return nil, err
	}
	w.enter(seeing)
	bad = proc.Process(dst, src, w.l.c.Seed, epoch, record)
	w.leave(seeing, time.Since(read))
	return bad, nil
}

// finish mixes the pair of slot i when it is the second of the two to be filled, so
// that mixup runs on the workers too, on pictures one of which is still in cache. The
// last slot or pair of a batch makes it ready.
func (w *worker) finish(b *Batch, i int) {
	j := len(b.Index) - 1 - i
	done := int32(1)
	if i != j {
		if b.pairs[min(i, j)].Add(1) == 1 {
			return
		}
		done = 2
	}
	w.l.c.mix(b, min(i, j), max(i, j))
	if b.left.Add(-done) == 0 {
		w.l.filled.Add(1)
		b.ready <- struct{}{}
	}
}
