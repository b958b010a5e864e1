package trainer

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"bagpipe/gpu"
	"bagpipe/gpu/graph"
	"bagpipe/internal/nearest"
	"bagpipe/models"
	"bagpipe/stages/vision"
)

// Config is a resolved recipe; it is written to RUN/config.toml. Sections and
// equations are those of arXiv:1812.01187.
type Config struct {
	Recipe   string `toml:"recipe"`   // name or file it was resolved from
	Title    string `toml:"title"`    // one line for `pipe recipes`
	Source   string `toml:"source"`   // paper, table, row
	Expected string `toml:"expected"` // accuracy and time, and who measured them

	Model     string      `toml:"model"`      // see models.Names
	Init      models.Init `toml:"init"`       // xavier or msraprelu
	ZeroGamma bool        `toml:"zero_gamma"` // section 3.1: last batch norm of a residual block starts at 0
	Dropout   float64     `toml:"dropout"`    // before the classifier
	SyncNorm  bool        `toml:"sync_norm"`  // batch norm over all devices' parts of the batch; the paper's is over each device's own
	DType     gpu.DType   `toml:"dtype"`      // of activations

	Epochs     int    `toml:"epochs"`
	Batch      int    `toml:"batch"`      // samples a step over all devices
	Accumulate int    `toml:"accumulate"` // parts into which each device cuts its share of the batch
	Seed       uint64 `toml:"seed"`       // of initial weights, order and augmentation

	Shuffle      string `toml:"shuffle"`       // full; block: for storage that is fast in sequence alone, see docs/shuffle.md
	ShuffleBlock int    `toml:"shuffle_block"` // of block: consecutive records a block

	LR           float64   `toml:"lr"`            // at a batch of lr_batch
	LRBatch      int       `toml:"lr_batch"`      // linear scaling, section 3.1: the rate used is lr*batch/lr_batch; 0 = lr as it is
	WarmupEpochs float64   `toml:"warmup_epochs"` // section 3.1: from 0 up, linearly
	Schedule     string    `toml:"schedule"`      // cosine (section 5.1), step or constant
	DecayEpochs  []float64 `toml:"decay_epochs"`  // of step: where the rate is multiplied
	DecayFactor  float64   `toml:"decay_factor"`  // of step: by what
	Momentum     float64   `toml:"momentum"`
	Nesterov     bool      `toml:"nesterov"`      // NAG
	WeightDecay  float64   `toml:"weight_decay"`  //
	NoBiasDecay  bool      `toml:"no_bias_decay"` // section 3.1: weights of convolutions and linear layers decay, all else not
	EMA          float64   `toml:"ema"`           // decay of the moving average of the weights that is evaluated; 0 = off

	LabelSmoothing float64 `toml:"label_smoothing"`  // epsilon, section 5.2
	SmoothingForm  string  `toml:"smoothing_form"`   // paper: eps/(K-1) for the other classes; common: eps/K for all
	Mixup          float64 `toml:"mixup"`            // alpha of Beta(alpha, alpha), section 5.4; 0 = off
	MixupOffEpochs int     `toml:"mixup_off_epochs"` // last epochs without mixup

	EvalEpochs        int     `toml:"eval_epochs"`        // epochs between evaluations; the last one is always evaluated
	LogSteps          int     `toml:"log_steps"`          // steps between lines of metrics.jsonl
	CheckpointSteps   int     `toml:"checkpoint_steps"`   // steps between checkpoints besides those at an epoch's end; 0 = none
	CheckpointMinutes float64 `toml:"checkpoint_minutes"` // the same by the clock; 0 = none

	Input vision.Config `toml:"input"`
}

// The learning-rate schedules, the shuffles and the forms of label smoothing.
const (
	Cosine   = "cosine"
	Steps    = "step"
	Constant = "constant"

	ShuffleFull  = "full"
	ShuffleBlock = "block"

	SmoothPaper  = "paper"
	SmoothCommon = "common"
)

// defaults is what a recipe changes: plain training as in section 2.1.
func defaults() Config {
	return Config{
		Model: "resnet50", Init: models.MSRAPrelu,
		Epochs: 120, Batch: 256, Accumulate: 1, Shuffle: ShuffleFull, ShuffleBlock: 32,
		LR: 0.1, LRBatch: 256, Schedule: Steps, DecayEpochs: []float64{30, 60, 90}, DecayFactor: 0.1,
		Momentum: 0.9, Nesterov: true, WeightDecay: 1e-4, SmoothingForm: SmoothPaper,
		EvalEpochs: 1, LogSteps: 50, CheckpointMinutes: 10,
	}
}

// Validate returns every fault of the configuration in one error, or nil.
func (c Config) Validate() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	oneOf := func(key, got string, want ...string) {
		fault(!slices.Contains(want, got), "%s = %q, nearest is %q of %q", key, got, nearest.Word(got, want), want)
	}
	plain := func(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }
	within := func(key string, v, lo, hi float64) {
		fault(!(v >= lo && v <= hi), "%s = %s, want %s to %s", key, plain(v), plain(lo), plain(hi))
	}
	if !slices.Contains(models.Names(), c.Model) {
		fault(true, "model = %q, nearest is %q (pipe show lists all)", c.Model, nearest.Word(c.Model, models.Names()))
	}
	oneOf("init", string(c.Init), string(models.Xavier), string(models.MSRAPrelu))
	oneOf("schedule", c.Schedule, Cosine, Steps, Constant)
	oneOf("shuffle", c.Shuffle, ShuffleFull, ShuffleBlock)
	oneOf("smoothing_form", c.SmoothingForm, SmoothPaper, SmoothCommon)
	fault(c.DType != gpu.Float32, "dtype = %q: the CPU, the one kind of device there is, computes with float32", c.DType)
	within("epochs", float64(c.Epochs), 1, 1e6)
	within("batch", float64(c.Batch), 1, 1<<20)
	within("shuffle_block", float64(c.ShuffleBlock), 1, 1e9)
	within("accumulate", float64(c.Accumulate), 1, 1<<20)
	within("lr_batch", float64(c.LRBatch), 0, 1<<20)
	fault(!(c.LR >= 0) || math.IsInf(c.LR, 1), "lr = %v, want a finite number of at least 0", c.LR)
	within("warmup_epochs", c.WarmupEpochs, 0, 1e6)
	within("dropout", c.Dropout, 0, 0.99)
	within("momentum", c.Momentum, 0, 0.9999)
	within("weight_decay", c.WeightDecay, 0, 1)
	within("ema", c.EMA, 0, 0.999999)
	within("label_smoothing", c.LabelSmoothing, 0, 0.99)
	within("mixup", c.Mixup, 0, 100)
	within("mixup_off_epochs", float64(c.MixupOffEpochs), 0, 1e6)
	within("log_steps", float64(c.LogSteps), 1, 1e9)
	within("checkpoint_steps", float64(c.CheckpointSteps), 0, 1e9)
	within("checkpoint_minutes", c.CheckpointMinutes, 0, 1e6)
	within("eval_epochs", float64(c.EvalEpochs), 1, 1e6)
	if c.Schedule == Steps {
		fault(!slices.IsSorted(c.DecayEpochs), "decay_epochs = %v, want ascending", c.DecayEpochs)
		within("decay_factor", c.DecayFactor, 0, 1)
	}
	if err := c.Input.Validate(); err != nil {
		faults = append(faults, err)
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("trainer: recipe %s: %w", c.Recipe, err)
	}
	return nil
}

// split returns the samples of one run of a device's program, or an error that
// says what batch would divide.
func (c Config) split(devices int) (part int, err error) {
	parts := devices * c.Accumulate
	if c.Batch%parts != 0 {
		up := (c.Batch + parts - 1) / parts * parts
		return 0, fmt.Errorf("trainer: batch = %d does not divide into %d devices x %d accumulated parts: set batch to %d",
			c.Batch, devices, c.Accumulate, up)
	}
	return c.Batch / parts, nil
}

// target returns how a label becomes a row of the dense target (section 5.2,
// equation 4; the common form is gluon-cv's, timm's and torch's).
func (c Config) target(classes int) graph.Target {
	eps, k := c.LabelSmoothing, float64(classes)
	t := graph.Target{Classes: classes, On: float32(1 - eps)}
	switch {
	case eps == 0:
	case c.SmoothingForm == SmoothCommon:
		t.On, t.Off = float32(1-eps+eps/k), float32(eps/k)
	case classes > 1:
		t.Off = float32(eps / (k - 1))
	}
	return t
}
