package trainer

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"bagpipe/batcher"
)

// Train runs or resumes a training. When ctx is done, the step at hand is
// finished, a checkpoint is written and Result.Interrupted is set. When the input
// fails (a disk, or a panic of ours in its workers), a checkpoint is written before
// its error is returned: the weights are those of the last whole step.
func Train(ctx context.Context, c Config, o Options) (res Result, err error) {
	r, err := newRun(ctx, c, o)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	begin := time.Now()
	err = r.keep(r.loop(ctx))
	res = r.result
	res.Steps, res.Epochs, res.BestTop1 = r.at.Step, r.at.Step/r.epoch, max(r.at.Best, 0)
	res.Elapsed, res.Input = time.Since(begin), r.replicas[0].input.Stats()
	return res, err
}

// An inputError says that no batch could be had. No program was running, so the
// weights are good.
type inputError struct{ error }

func (e *inputError) Unwrap() error { return e.error }

// keep writes a checkpoint if err is one of the input.
func (r *run) keep(err error) error {
	var in *inputError
	if !errors.As(err, &in) {
		return err
	}
	if failed := r.checkpoint(); failed != nil {
		return errors.Join(fmt.Errorf("trainer: step %d: the input failed: %w", r.at.Step, in.error), failed)
	}
	return fmt.Errorf("trainer: step %d: the input failed (a checkpoint is written: remove the cause, go on with --resume): %w", r.at.Step, in.error)
}

// loop is the training.
func (r *run) loop(ctx context.Context) error {
	if r.at.Step > 0 && r.at.Step%r.epoch == 0 && !r.at.Evaluated { // interrupted between the two
		if err := r.endEpoch(ctx); err != nil {
			return err
		}
	}
	for r.at.Step < r.total && !r.result.Interrupted {
		if ctx.Err() != nil {
			r.result.Interrupted = true
			return r.checkpoint()
		}
		batches, err := r.next(ctx)
		if err != nil && ctx.Err() != nil { // while waiting for the disk
			continue
		}
		if err != nil {
			return err
		}
		if err := r.step(batches); err != nil {
			return err
		}
		if r.at.Step%r.c.LogSteps == 0 {
			if err := r.log(); err != nil {
				return err
			}
		}
		switch {
		case r.at.Step%r.epoch == 0:
			if err := r.endEpoch(ctx); err != nil {
				return err
			}
		case r.due():
			if err := r.checkpoint(); err != nil {
				return err
			}
		}
	}
	return nil
}

// next waits for the batches of all replicas. They are there before any program
// runs, so that a failing input finds no replica half-way through a step.
func (r *run) next(ctx context.Context) ([]*batcher.Batch, error) {
	r.waited = time.Now()
	batches := make([]*batcher.Batch, len(r.replicas))
	for i, p := range r.replicas {
		b, err := p.input.Next(ctx)
		if err != nil {
			for _, got := range batches[:i] {
				got.Release()
			}
			return nil, &inputError{err}
		}
		batches[i] = b
	}
	return batches, nil
}

// step trains all replicas on one global batch.
func (r *run) step(batches []*batcher.Batch) error {
	step := r.at.Step
	lr := r.schedule.rate(step)
	got := make([]stepped, len(r.replicas))
	group := errgroup.Group{} // no context: a step that has begun is finished
	for i, p := range r.replicas {
		group.Go(func() (err error) {
			if got[i], err = p.train(batches[i], lr, r.c.average(step)); err != nil && p.comm != nil {
				p.comm.Abort(err) // lets the others out of their all-reduce
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("trainer: step %d: %w", step, err)
	}
	var s stepped
	for _, g := range got {
		s.loss += g.loss / float64(len(got))
		s.top1, s.n, s.bad = s.top1+g.top1, s.n+g.n, s.bad+g.bad
	}
	if !finite(s.loss) {
		return r.diverged(step, fmt.Sprintf("the loss is %v", s.loss))
	}
	r.at.Step++
	r.at.Evaluated = false
	seconds := time.Since(r.waited).Seconds()
	r.at.Epoch.add(s, seconds)
	r.at.Window.add(s, seconds)
	shown := Step{Epoch: step / r.epoch, Step: step, LR: lr}
	if r.at.Step%r.c.LogSteps == 0 {
		shown.Logged, shown.Loss, shown.Rate = true, r.at.Window.mean(), r.at.Window.rate()
		r.watch.look(r.replicas)
		shown.InputWait, shown.Verdict = r.watch.wait, r.watch.verdict.Short
	}
	r.observer.Step(shown)
	return nil
}

// diverged is the error of a training whose numbers have left the range of floats.
func (r *run) diverged(step int, what string) error {
	return fmt.Errorf("trainer: step %d (epoch %d): %s at learning rate %.4g; last good checkpoint: %s (lower lr or raise warmup_epochs)",
		step, step/r.epoch, what, r.schedule.rate(step), r.lastGood())
}

// lastGood names the last checkpoint, for messages.
func (r *run) lastGood() string {
	s, err := readState(filepath.Join(checkpointDir(r.o.Run), lastName))
	if err != nil {
		return "none yet"
	}
	return fmt.Sprintf("%s, of step %d", filepath.Join(checkpointDir(r.o.Run), s.Weights), s.Step)
}

// log writes the line of the steps since the last one.
func (r *run) log() error {
	w := &r.at.Window
	loss := w.mean()
	l := line{Epoch: (r.at.Step - 1) / r.epoch, Step: r.at.Step, Loss: &loss, LR: r.schedule.rate(r.at.Step - 1), Rate: w.rate(), Bad: w.Bad}
	if r.mixupOff == 0 || l.Epoch >= r.mixupOff {
		top1 := 100 * w.Top1 / float64(max(w.Images, 1))
		l.TrainTop1 = &top1
	}
	l.InputWait, l.Verdict = &r.watch.wait, r.watch.verdict.Text
	r.watch.noteWorkers(r.observer, r.replicas)
	r.noteBad()
	r.at.Window = progress{}
	return r.metrics.write(l)
}

// noteBad names the pictures found bad since the last time, each once.
func (r *run) noteBad() {
	for _, p := range r.replicas {
		for _, b := range p.input.Bad() {
			if !r.named[b.Index] {
				r.named[b.Index] = true
				r.observer.Note(fmt.Sprintf("picture %s could not be read, another one takes its place: %s (run shardify verify)",
					r.train.Source(b.Index), b.Reason))
			}
		}
	}
}

// endEpoch evaluates if it is time, reports, and writes a checkpoint.
func (r *run) endEpoch(ctx context.Context) error {
	if err := r.average(); err != nil {
		return err
	}
	e := Epoch{Epoch: r.at.Step/r.epoch - 1, Step: r.at.Step, TrainLoss: r.at.Epoch.mean(), Rate: r.at.Epoch.rate(), Seconds: r.at.Epoch.Seconds}
	l := line{Epoch: e.Epoch, Step: e.Step, TrainLoss: &e.TrainLoss, LR: r.schedule.rate(r.at.Step - 1), Rate: e.Rate, Seconds: &e.Seconds, Bad: r.at.Epoch.Bad}
	e.Bad = r.at.Epoch.Bad
	r.noteBad()
	if r.val != nil && ((e.Epoch+1)%r.c.EvalEpochs == 0 || e.Step == r.total) {
		t, err := evaluateAll(ctx, r.evaluators(), r.val, r.parts(), r.o)
		if ctx.Err() != nil { // a second pass after --resume
			r.result.Interrupted = true
			return r.checkpoint()
		}
		if err != nil {
			return err
		}
		t.note(r.observer, r.val)
		res := t.result()
		if !finite(res.Loss) {
			return r.diverged(r.at.Step-1, fmt.Sprintf("the evaluation's loss is %v", res.Loss))
		}
		r.result.Loss, r.result.Top1, r.result.Top5, r.result.Images, r.result.Bad = res.Loss, res.Top1, res.Top5, res.Images, res.Bad
		e.Evaluated, e.Loss, e.Top1, e.Top5 = true, res.Loss, res.Top1, res.Top5
		e.Best = res.Top1 > r.at.Best
		r.at.Top1 = res.Top1
		if e.Best {
			r.at.Best, r.at.BestStep = res.Top1, e.Step
		}
		l.Loss, l.Top1, l.Top5, l.Best = &e.Loss, &e.Top1, &e.Top5, e.Best
	}
	r.at.Evaluated = true
	if err := r.metrics.write(l); err != nil {
		return err
	}
	r.observer.Epoch(e)
	if v := judge(r.replicas[0].input.Stats()); v.Stage != r.verdict {
		r.verdict = v.Stage
		r.observer.Note(v.Text)
	}
	r.at.Epoch = progress{}
	err := r.saveAll(e.Best)
	r.at.Top1 = 0
	return err
}

// average makes the running statistics of all replicas their mean: each has
// followed its own part of the batches (PAPER section 1.4: not synchronised), and
// the weights that are saved and evaluated must be one set.
func (r *run) average() error {
	if len(r.replicas) == 1 {
		return nil
	}
	for _, name := range r.statistics {
		var sum []float32
		for _, p := range r.replicas {
			data, err := p.get(name)
			if err != nil {
				return err
			}
			if sum == nil {
				sum = data
				continue
			}
			for i, x := range data {
				sum[i] += x
			}
		}
		for i := range sum {
			sum[i] /= float32(len(r.replicas))
		}
		for _, p := range r.replicas {
			if err := p.set(name, sum); err != nil {
				return err
			}
		}
	}
	return nil
}

// due says whether a checkpoint inside an epoch is.
func (r *run) due() bool {
	bySteps := r.c.CheckpointSteps > 0 && r.at.Step%r.c.CheckpointSteps == 0
	return bySteps || r.c.CheckpointMinutes > 0 && time.Since(r.saved).Minutes() >= r.c.CheckpointMinutes
}

// checkpoint writes one inside an epoch.
func (r *run) checkpoint() error {
	if err := r.average(); err != nil {
		return err
	}
	return r.saveAll(false)
}

func (r *run) saveAll(best bool) error {
	r.saved = time.Now()
	err := r.c.save(r.o.Run, r.replicas[0], r.at, best)
	var not *notFiniteError
	switch {
	case errors.As(err, &not):
		return r.diverged(r.at.Step-1, not.Error())
	case err != nil:
		return fmt.Errorf("trainer: checkpoint of step %d: %w; last good checkpoint: %s%s", r.at.Step, err, r.lastGood(), remedy(err))
	}
	return nil
}
