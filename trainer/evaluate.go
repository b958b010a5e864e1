package trainer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"bagpipe/batcher"
	"bagpipe/gpu"
	"bagpipe/gpu/graph"
	"bagpipe/internal/cores"
	"bagpipe/shards"
	"bagpipe/stages"
)

// evaluator is a device's inference program. Its variables belong to others.
type evaluator struct {
	c      Config
	dev    gpu.Device
	stream gpu.Stream
	batch  int
	p      graph.Program
}

func newEvaluator(c Config, dev gpu.Device, batch, classes int, vars graph.Vars) (*evaluator, error) {
	g, err := c.evalGraph(batch, classes)
	if err != nil {
		return nil, err
	}
	e := &evaluator{c: c, dev: dev, batch: batch}
	if e.stream, err = dev.NewStream(); err != nil {
		return nil, err
	}
	if e.p, err = graph.Compile(dev, g, graph.Options{Vars: vars}); err != nil {
		return nil, errors.Join(err, e.stream.Close())
	}
	return e, nil
}

func (e *evaluator) close() error { return errors.Join(e.p.Close(), e.stream.Close()) }

// tally sums up an evaluation.
type tally struct {
	loss, top1, top5 float64
	n, bad           int
	input            []stages.Report
	faults           []batcher.BadRecord
}

// config is that of rank's input, which has one of so many parts of the budget.
func (e *evaluator) config(split *shards.Split, rank, world, parts int, o Options) batcher.Config {
	return batcher.Config{
		Source: split, Vision: e.c.Input, DType: e.c.DType, Batch: e.batch, Rank: rank, World: world,
		Workers: o.workers(), AllocHost: e.dev.AllocHost, Budget: o.Budget, Parts: parts,
	}
}

// run evaluates the share of a split that c reads.
func (e *evaluator) run(ctx context.Context, c batcher.Config) (t tally, err error) {
	l, err := batcher.New(ctx, c, batcher.Position{})
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	for {
		b, err := l.Next(ctx)
		if errors.Is(err, io.EOF) {
			t.input, t.faults = l.Stats(), l.Bad()
			return t, nil
		}
		if err != nil {
			return t, &inputError{err}
		}
		if err := e.add(&t, b); err != nil {
			return t, err
		}
	}
}

// add evaluates one batch. Slots without a picture have the label -1, which adds
// nothing to the loss and the counts.
func (e *evaluator) add(t *tally, b *batcher.Batch) error {
	defer b.Release()
	for name, from := range map[string]gpu.HostBuffer{inImages: b.Images, inLabels: b.Labels, inLambda: b.Lambda} {
		if err := e.stream.Upload(e.p.Buffer(name), from.Bytes()); err != nil {
			return err
		}
	}
	if err := errors.Join(e.stream.Synchronize(), e.p.Run()); err != nil {
		return err
	}
	for name, sum := range map[string]*float64{outLoss: &t.loss, outTop1: &t.top1, outTop5: &t.top5} {
		v, err := scalar(e.stream, e.p, name)
		if err != nil {
			return err
		}
		if name == outLoss {
			v *= float64(e.batch) // the mean counts the empty slots, too
		}
		*sum += v
	}
	t.n += b.N - b.Bad
	t.bad += b.Bad
	return nil
}

// evaluateAll runs every device on its share of the split, each with one of so many parts
// of the budget.
func evaluateAll(ctx context.Context, es []*evaluator, split *shards.Split, parts int, o Options) (tally, error) {
	tallies := make([]tally, len(es))
	group, ctx := errgroup.WithContext(ctx)
	for rank, e := range es {
		group.Go(func() (err error) {
			tallies[rank], err = e.run(ctx, e.config(split, rank, len(es), parts, o))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return tally{}, err
	}
	sum := tally{input: tallies[0].input}
	for _, p := range tallies {
		sum.loss += p.loss
		sum.top1 += p.top1
		sum.top5 += p.top5
		sum.n += p.n
		sum.bad += p.bad
		sum.faults = append(sum.faults, p.faults...)
	}
	return sum, nil
}

// result turns sums into means and percentages.
func (t tally) result() Result {
	n := float64(max(t.n, 1))
	return Result{Loss: t.loss / n, Top1: 100 * t.top1 / n, Top5: 100 * t.top5 / n, Images: t.n, Bad: t.bad, Input: t.input}
}

// note names the pictures that an evaluation could not read.
func (t tally) note(o Observer, split *shards.Split) {
	if t.bad == 0 {
		return
	}
	f := t.faults[0]
	o.Note(fmt.Sprintf("%d pictures of %s could not be read and are not counted, such as %s: %s (run shardify verify)",
		t.bad, split.Name, split.Source(f.Index), f.Reason))
}

// workers divides the cores among the devices' loaders.
func (o Options) workers() int {
	if o.Workers > 0 {
		return o.Workers
	}
	return max(1, cores.N()/max(1, len(o.Devices)))
}

// observer is never nil.
func (o Options) observer() Observer {
	if o.Observer == nil {
		return silent{}
	}
	return o.Observer
}

// evalBatch is the batch of an evaluation of pictures of the given side: large
// enough to keep a device busy, small enough for any memory.
func evalBatch(size int) int { return min(max(32*224*224/(size*size), 8), 128) }

// Evaluate counts every picture of the split exactly once.
func Evaluate(ctx context.Context, m *Model, split *shards.Split, o Options) (Result, error) {
	begin := time.Now()
	if err := m.fits(o.Data); err != nil {
		return Result{}, err
	}
	if len(o.Devices) == 0 {
		return Result{}, errors.New("trainer: evaluate: no device")
	}
	var es []*evaluator
	var vars []graph.Vars
	close := func() (err error) {
		for _, e := range es {
			err = errors.Join(err, e.close())
		}
		for _, v := range vars {
			err = errors.Join(err, v.Free())
		}
		return err
	}
	for _, dev := range o.Devices {
		v := graph.Vars{}
		vars = append(vars, v)
		e, err := m.evaluator(dev, evalBatch(m.Input.Size), v)
		if err != nil {
			return Result{}, errors.Join(err, close())
		}
		es = append(es, e)
	}
	if o.Budget != nil {
		plan, err := es[0].config(split, 0, len(es), len(es), o).Plan()
		if err != nil {
			return Result{}, errors.Join(err, close())
		}
		o.observer().Note(plan.String())
	}
	t, err := evaluateAll(ctx, es, split, len(es), o)
	if err = errors.Join(err, close()); err != nil {
		return Result{}, err
	}
	t.note(o.observer(), split)
	r := t.result()
	if !finite(r.Loss) {
		return Result{}, fmt.Errorf("trainer: evaluate: the loss of %s is %v: its weights are of no use (choose another checkpoint)", m.Source, r.Loss)
	}
	r.Elapsed = time.Since(begin)
	return r, nil
}
