package trainer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"bagpipe/batcher"
	"bagpipe/gpu"
	"bagpipe/gpu/graph"
	"bagpipe/shards"
)

// run is a training in progress.
type run struct {
	c          Config
	o          Options
	observer   Observer
	train, val *shards.Split // val is nil where there is none
	replicas   []*replica
	statistics []string // names of the running statistics
	schedule   schedule
	epoch      int // steps an epoch
	total      int // steps of the run
	mixupOff   int // first epoch without mixup; 0 = there is no mixup

	at      state
	waited  time.Time // when the step at hand began to wait for its batches
	saved   time.Time
	metrics *metrics
	named   map[int]bool // bad pictures that were noted
	verdict string
	watch   watch
	result  Result
}

const configName = "config.toml"

// newRun checks everything that can be checked, then makes the run directory.
func newRun(ctx context.Context, c Config, o Options) (*run, error) {
	r := &run{c: c, o: o, observer: o.observer(), named: map[int]bool{}, saved: time.Now()}
	if err := r.check(); err != nil {
		return nil, err
	}
	for _, prepare := range []func() error{r.build, r.position, func() error { return r.feed(ctx) }} {
		if err := prepare(); err != nil {
			return nil, errors.Join(err, r.close())
		}
	}
	r.begin()
	return r, nil
}

// begin tells the observer.
func (r *run) begin() {
	params := 0
	for _, v := range r.replicas[0].kept {
		if v.Kind == graph.Param {
			params += v.Shape.Elems()
		}
	}
	start := Start{Config: r.c, Params: params, StepsPerEpoch: r.epoch, FirstStep: r.at.Step,
		Classes: len(r.o.Data.Classes), TrainN: r.train.Len(), DataHash: r.o.Data.Hash}
	if r.val != nil {
		start.ValN = r.val.Len()
	}
	if r.o.Budget != nil {
		r.observer.Note(r.replicas[0].input.Memory().String())
	}
	r.observer.Start(start)
	if r.schedule.warmup >= r.schedule.total {
		r.observer.Note(fmt.Sprintf("the learning rate is still rising when the run ends: warmup_epochs = %v of %d epochs", r.c.WarmupEpochs, r.c.Epochs))
	}
}

// check looks at the recipe and the data set.
func (r *run) check() (err error) {
	if err := r.c.Validate(); err != nil {
		return err
	}
	if r.o.Data == nil || len(r.o.Devices) == 0 || r.o.Run == "" {
		return errors.New("trainer: a training needs a data set, a device and a run directory")
	}
	if n := len(r.o.Data.Classes); n < 2 {
		return fmt.Errorf("trainer: %s has %d class: there is nothing to tell apart (want one folder a class, at least two)", r.o.Data.Dir, n)
	}
	if r.train, err = r.o.Data.Split("train"); err != nil {
		return err
	}
	if r.val, err = r.o.Data.Split("val"); err != nil || r.val.Len() == 0 {
		r.val = nil
		r.observer.Note("there is no val split: nothing is evaluated (shardify --val-fraction 0.1 holds one out)")
	}
	if _, err = r.c.split(len(r.o.Devices)); err != nil {
		return err
	}
	if r.epoch = r.train.Len() / r.c.Batch; r.epoch == 0 {
		return fmt.Errorf("trainer: %s has %d training pictures, fewer than one batch of %d (lower batch)", r.o.Data.Dir, r.train.Len(), r.c.Batch)
	}
	r.total = r.epoch * r.c.Epochs
	r.schedule = newSchedule(r.c, r.epoch)
	return nil
}

// build makes the replicas, with initial weights.
func (r *run) build() error {
	comms := make([]gpu.Comm, len(r.o.Devices))
	if len(comms) > 1 {
		var err error
		if comms, err = r.o.Backend.Connect(r.o.Devices); err != nil {
			return err
		}
	}
	for i, dev := range r.o.Devices {
		p, err := newReplica(r.c, dev, comms[i], len(r.o.Data.Classes), len(r.o.Devices))
		if err != nil {
			return err
		}
		r.replicas = append(r.replicas, p)
		if err := r.c.initialise(p); err != nil {
			return err
		}
	}
	params := map[string]bool{}
	for _, v := range r.replicas[0].kept {
		name := strings.TrimPrefix(v.Name, averaged)
		if v.Kind == graph.Param {
			params[name] = true
		} else if plain := strings.HasPrefix(name, momentum) || strings.HasPrefix(name, summed); !plain && !params[name] {
			r.statistics = append(r.statistics, v.Name)
		}
	}
	return nil
}

// initialise gives the parameters their first values, and their averages the same.
func (c Config) initialise(p *replica) error {
	for _, v := range p.kept {
		if v.Kind != graph.Param {
			continue
		}
		data := c.Init.Values(v, c.Seed)
		if err := p.set(v.Name, data); err != nil {
			return err
		}
		if c.EMA > 0 {
			if err := p.set(averaged+v.Name, data); err != nil {
				return err
			}
		}
	}
	return nil
}

// position finds where the run stands and opens its directory.
func (r *run) position() error {
	dir := r.o.Run
	r.at = state{Data: r.o.Data.Hash, Classes: r.o.Data.Classes, Best: -1}
	_, noConfig := os.Stat(filepath.Join(dir, configName))
	s, err := readState(filepath.Join(checkpointDir(dir), lastName))
	switch {
	case !r.o.Resume && noConfig == nil && errors.Is(err, fs.ErrNotExist):
		r.observer.Note(fmt.Sprintf("the run in %s ended before its first checkpoint: starting over", dir))
	case !r.o.Resume && noConfig == nil:
		return fmt.Errorf("trainer: %s holds a run already (go on with --resume, or choose another --run)", dir)
	case !r.o.Resume:
		if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
			return fmt.Errorf("trainer: %s is a folder with other things in it, such as %s (choose another --run)", dir, entries[0].Name())
		}
	case noConfig != nil:
		return fmt.Errorf("trainer: %s holds no run to resume: %w", dir, noConfig)
	case errors.Is(err, fs.ErrNotExist):
		r.observer.Note(fmt.Sprintf("%s has no checkpoint yet: starting over from step 0", dir))
	case err != nil:
		return err
	default:
		if err := r.resume(s); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(checkpointDir(dir), 0o777); err != nil {
		return fmt.Errorf("trainer: run directory: %w (choose another --run)", err)
	}
	text, err := toml.Marshal(r.c)
	if err != nil {
		return err
	}
	err = writeFile(filepath.Join(dir, configName), func(w io.Writer) error { _, err := w.Write(text); return err })
	if err != nil {
		return fmt.Errorf("trainer: run directory: %w%s", err, remedy(err))
	}
	r.metrics, err = openMetrics(dir, r.at.Step)
	return err
}

// resume loads a checkpoint into every replica.
func (r *run) resume(s state) error {
	where := fmt.Sprintf("trainer: cannot resume %s", r.o.Run)
	if s.Data != r.o.Data.Hash {
		if err := sameClasses(r.o.Data.Classes, s.Classes); err != nil {
			return fmt.Errorf("%s: %s has other classes: %w (give --data the data set of the run)", where, r.o.Data.Dir, err)
		}
		return fmt.Errorf("%s: it trained on data %.12s, %s is %.12s (give --data the data set of the run)", where, s.Data, r.o.Data.Dir, r.o.Data.Hash)
	}
	old, err := Load(filepath.Join(r.o.Run, configName), nil)
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	if key := differs(old, r.c); key != "" {
		return fmt.Errorf("%s: key %s of the recipe is not what the run began with (see %s)", where, key, filepath.Join(r.o.Run, configName))
	}
	if s.Step > r.total {
		return fmt.Errorf("%s: it is at step %d of now %d (raise epochs)", where, s.Step, r.total)
	}
	for _, p := range r.replicas {
		if err := r.c.load(r.o.Run, s, p); err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
	}
	r.at = s
	r.result.Top1 = s.Top1
	return nil
}

// free are the keys that a resumed run may change: they decide what is reported
// and when the run ends, not what a step does. (A schedule follows epochs.)
var free = map[string]bool{
	"recipe": true, "title": true, "source": true, "expected": true, "epochs": true,
	"eval_epochs": true, "log_steps": true, "checkpoint_steps": true, "checkpoint_minutes": true,
}

// differs returns a key in which two recipes do, or "".
func differs(a, b Config) string {
	x, y := flatten(a), flatten(b)
	for _, key := range keys() {
		if !free[key] && x[key] != y[key] {
			return key
		}
	}
	return ""
}

// flatten writes every value of a recipe as text, by key.
func flatten(c Config) map[string]string {
	text, err := toml.Marshal(c)
	if err != nil {
		panic(err) // a plain struct
	}
	doc := tree{}
	if err := toml.Unmarshal(text, &doc); err != nil {
		panic(err)
	}
	flat := map[string]string{}
	for k, v := range doc {
		section, ok := v.(tree)
		if !ok {
			flat[k] = fmt.Sprint(v)
			continue
		}
		for sub, v := range section {
			flat[k+"."+sub] = fmt.Sprint(v)
		}
	}
	return flat
}

// feed starts the loaders at the run's position. They do not end with ctx, so that
// the step at hand can be finished.
func (r *run) feed(ctx context.Context) error {
	c := r.c
	off := c.Epochs - c.MixupOffEpochs
	if c.Mixup > 0 && off > 0 {
		r.mixupOff = off
	} else {
		c.Mixup = 0
	}
	block := 0
	if c.Shuffle == ShuffleBlock {
		block = c.ShuffleBlock
	}
	for rank, p := range r.replicas {
		var err error
		p.input, err = batcher.New(context.WithoutCancel(ctx), batcher.Config{
			Source: r.train, Vision: c.Input, DType: c.DType, Train: true, Batch: c.Batch / len(r.replicas),
			Rank: rank, World: len(r.replicas), Workers: r.o.workers(), Auto: r.o.Workers == 0, Consumer: "device",
			Seed: c.Seed, ShuffleBlock: block,
			Mixup: c.Mixup, MixupOffEpoch: r.mixupOff, AllocHost: p.dev.AllocHost, Budget: r.o.Budget, Parts: r.parts(),
		}, batcher.Position{Step: r.at.Step})
		if err != nil {
			return err
		}
	}
	return r.evaluationFits()
}

// parts is among how many inputs the memory is divided: while an evaluation runs, the
// training's batches stay where they are.
func (r *run) parts() int {
	if r.val == nil {
		return len(r.replicas)
	}
	return 2 * len(r.replicas)
}

// evaluationFits looks at once whether a memory ceiling has room for the evaluations, the
// first of which may be hours away.
func (r *run) evaluationFits() error {
	if r.o.Budget == nil || r.val == nil {
		return nil
	}
	_, err := r.replicas[0].eval.config(r.val, 0, len(r.replicas), r.parts(), r.o).Plan()
	return err
}

func (r *run) evaluators() []*evaluator {
	es := make([]*evaluator, len(r.replicas))
	for i, p := range r.replicas {
		es[i] = p.eval
	}
	return es
}

func (r *run) close() error {
	var errs []error
	for _, p := range r.replicas {
		errs = append(errs, p.close())
	}
	if r.metrics != nil {
		errs = append(errs, r.metrics.close())
	}
	return errors.Join(errs...)
}
