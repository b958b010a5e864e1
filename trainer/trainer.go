// Package trainer (contract stub; to be replaced by config.go, train.go, schedule.go, checkpoint.go, evaluate.go, metrics.go ...).
package trainer

import (
	"context"
	"time"

	"bagpipe/gpu"
	"bagpipe/shards"
	"bagpipe/stages"
	"bagpipe/stages/vision"
)

// Config is a resolved recipe, written to RUN/config.toml.
type Config struct {
	Recipe string
	Model  string // models.Names
	Init   string
	Epochs int
	Batch  int // global, per step over all devices and accumulation
	Seed   uint64
	Input  vision.Config
	// ... optimizer, schedule, label smoothing, mixup, ema, accumulate, precision; keys are the trainer's to define
}

// Load resolves a recipe (embedded name or path of a TOML file) and applies key=value overrides such as "epochs=3" or "input.flip=0".
func Load(recipe string, sets []string) (Config, error) { panic("pending") }

// Recipe is an embedded recipe's summary for `pipe recipes`.
type Recipe struct {
	Name, Title, Source, Expected string
	Config                        Config
}

func Recipes() []Recipe { panic("pending") }

type Options struct {
	Data     *shards.Dataset
	Backend  gpu.Backend
	Devices  []gpu.Device
	Run      string // run directory
	Resume   bool
	Workers  int      // input workers; 0 = all cores
	Observer Observer // may be nil
}

// Observer is told of progress (all methods called from the training goroutine).
type Observer interface {
	Start(s Start)
	Step(s Step)      // after every step; Loss etc. are only set every LogEvery steps (Logged)
	Epoch(e Epoch)    // after the evaluation that ends an epoch
	Note(text string) // something worth a line: a verdict, a checkpoint, a bad picture
}

type Start struct {
	Config                   Config
	Params                   int
	StepsPerEpoch, FirstStep int
	Classes, TrainN, ValN    int
	DataHash                 string
}

type Step struct {
	Epoch, Step int
	Logged      bool
	Loss, LR    float64
	Rate        float64 // images per second since the last log
}

type Epoch struct {
	Epoch, Step     int
	TrainLoss, Loss float64
	Top1, Top5      float64 // percent
	Rate            float64 // training images per second in this epoch
	Seconds         float64
	Best            bool
}

type Result struct {
	Steps, Epochs              int
	Loss, Top1, Top5, BestTop1 float64
	Images                     int // evaluated
	Elapsed                    time.Duration
	Interrupted                bool // stopped by ctx after writing a checkpoint
	Input                      []stages.Report
}

// Train runs or resumes a training. ctx ends it: a checkpoint is written and Result.Interrupted is set.
func Train(ctx context.Context, c Config, o Options) (Result, error) { panic("pending") }

// Model is a trained network ready for evaluation or prediction.
type Model struct {
	Name    string
	Classes []string
	Input   vision.Config
	Source  string // the checkpoint it came from
	// Weights ...
}

// OpenModel opens a run directory (its best checkpoint) or a .safetensors file written by a run.
func OpenModel(path string) (*Model, error) { panic("pending") }

// Evaluate counts every picture of the split exactly once.
func Evaluate(ctx context.Context, m *Model, split *shards.Split, o Options) (Result, error) {
	panic("pending")
}

// Prediction is one class with its softmax probability.
type Prediction struct {
	Class       string
	Index       int
	Probability float64
}

// Predict classifies one encoded picture; k best classes first.
func (m *Model) Predict(dev gpu.Device, picture []byte, k int) ([]Prediction, error) {
	panic("pending")
}
