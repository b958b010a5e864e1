package batcher

import (
	"context"
	"fmt"
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
	busy [3]time.Duration // of the sample at hand: read, vision, batch

	doing  string // what it is about, should it panic
	record int    // likewise
}

// perform fills slots until there are no more. The error is the source's, of a kind that
// no other record can make good, or a panic.
func (l *Loader) perform(ctx context.Context, p processor) (err error) {
	w := &worker{l: l, proc: p}
	defer func() {
		if v := recover(); v != nil {
			err = stages.Panicked(fmt.Sprintf("%s: record %d", w.doing, w.record), v)
		}
	}()
	idle := time.Now()
	for {
		s, ok := stages.Recv(ctx, l.work)
		if !ok {
			return nil
		}
		l.fused[0].Sample(len(l.work))
		start := time.Now()
		w.busy = [3]time.Duration{}
		if err := w.fill(s.b, s.i); err != nil {
			return fmt.Errorf("stage read: %w", err)
		}
		mixed := time.Now()
		w.doing = "batch"
		w.finish(s.b, s.i)
		end := time.Now()
		w.busy[2] = end.Sub(mixed)
		// The feed makes work as fast as the ring has room, so a worker without work
		// waits for the consumer.
		stages.Fused(l.fused, w.busy[:], start.Sub(idle))
		idle = end
	}
}

// fill makes the sample of slot i. An error ends the run.
func (w *worker) fill(b *Batch, i int) error {
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
		bad, err := w.make(dst, b.Epoch, record)
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

// make reads, decodes and augments one record into dst. What is wrong with the record is
// bad; err is the disk's.
func (w *worker) make(dst []byte, epoch, record int) (bad, err error) {
	w.doing, w.record = "read", record
	start := time.Now()
	src, err := w.l.c.Source.Read(record, &w.buf)
	read := time.Now()
	w.busy[0] += read.Sub(start)
	if err != nil {
		if shards.OfRecord(err) {
			return err, nil
		}
		return nil, err
	}
	w.doing = "vision"
	bad = w.proc.Process(dst, src, w.l.c.Seed, epoch, record)
	w.busy[1] += time.Since(read)
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
