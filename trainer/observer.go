package trainer

import (
	"time"

	"bagpipe/batcher"
	"bagpipe/gpu"
	"bagpipe/shards"
	"bagpipe/stages"
)

// Options of a training or evaluation that do not change its result.
type Options struct {
	Data     *shards.Dataset
	Backend  gpu.Backend
	Devices  []gpu.Device
	Run      string // run directory
	Resume   bool
	Workers  int      // input workers a device; 0 = found while training, at most the cores divided by the devices
	Observer Observer // may be nil
	// Budget is a ceiling on the memory of all devices' inputs, evaluation's included;
	// nil: none. The devices' own memory comes on top.
	Budget *batcher.Budget
}

// Observer is told of progress (all methods called from the training goroutine).
type Observer interface {
	Start(s Start)
	Step(s Step)      // after every step; Loss etc. are only set every LogSteps steps (Logged)
	Epoch(e Epoch)    // after an evaluation, or the end of an epoch without one
	Note(text string) // something worth a line: a verdict, a checkpoint, a bad picture
}

// Start is what a run begins with.
type Start struct {
	Config                   Config
	Params                   int
	StepsPerEpoch, FirstStep int
	Classes, TrainN, ValN    int
	DataHash                 string
}

// Step is one step done.
type Step struct {
	Epoch, Step int // counted from 0
	Logged      bool
	Loss, LR    float64 // mean since the last log; of this step
	Rate        float64 // images per second since the last log
	InputWait   float64 // part of the steps since the last log that was spent waiting for input, 0..1
	Verdict     string  // what limited them, in a few words
}

// Epoch is the result of an evaluation.
type Epoch struct {
	Epoch, Step     int     // epoch counted from 0; steps done
	TrainLoss, Loss float64 // mean of the epoch; of the evaluation
	Top1, Top5      float64 // percent
	Rate            float64 // training images per second in this epoch
	Seconds         float64 // of training in this epoch
	Bad             int     // training pictures that could not be read and were replaced
	Best            bool
	Evaluated       bool // false: Loss, Top1 and Top5 mean nothing
}

// Result is what a training or evaluation came to.
type Result struct {
	Steps, Epochs              int
	Loss, Top1, Top5, BestTop1 float64
	Images                     int // evaluated
	Bad                        int // pictures of the split that could not be read, which are not among Images
	Elapsed                    time.Duration
	Interrupted                bool // stopped by ctx after writing a checkpoint
	Input                      []stages.Report
}

// silent is the Observer of those who have none.
type silent struct{}

func (silent) Start(Start)   {}
func (silent) Step(Step)     {}
func (silent) Epoch(Epoch)   {}
func (silent) Note(_ string) {}
