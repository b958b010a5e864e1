// Package bench measures whole systems: the input pipeline alone or with a training
// step behind it, and training against other frameworks' numbers. It also makes the
// picture sets to measure on. Micro-benchmarks stay beside their code.
//
// Memory is the batcher's ring and the step's own; nothing here grows with the data.
package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"time"

	"bagpipe/batcher"
	"bagpipe/stages"
)

// Config says what Loader measures.
type Config struct {
	Input  batcher.Config // Train is set
	Images int            // to count, at least 1; rounded up to whole batches
	// Time is for how long to count, in place of Images; 0: Images says how many.
	Time time.Duration
	Log  string // file that gets a Moment a second, as JSON lines; "": none
	// Begin is called before the first batch with how the memory is divided, the zero
	// Plan without a budget; may be nil.
	Begin func(batcher.Plan)
	Step  *Step // trained on every batch; nil: batches are given back at once
	// Progress is called after every counted batch; may be nil.
	Progress func(images int)
}

// Result is what Loader measured. Times are of the counted batches alone.
type Result struct {
	Images             int     `json:"images"`
	Seconds            float64 `json:"seconds"`
	ImagesPerSecond    float64 `json:"images_per_second"`
	CPUSecondsPerImage float64 `json:"cpu_seconds_per_image"` // user + system time of the whole process; 0 where the system does not tell
	Workers            int     `json:"workers"`
	Batch              int     `json:"batch"`
	Bad                int     `json:"bad"` // counted images whose own picture was bad
	Stages             []Stage `json:"stages"`
	Bottleneck         string  `json:"bottleneck"` // name of a stage
	Verdict            string  `json:"verdict"`
	More               int     `json:"more_workers"` // that would help, as far as there are idle cores for them
	Gain               float64 `json:"gain"`         // by what they would multiply the rate
	Plan               *Plan   `json:"plan,omitempty"`
	Resident           int64   `json:"resident"`      // bytes of the process in memory at the end; 0 where the system does not tell
	PeakResident       int64   `json:"peak_resident"` // the most since the input began
	// Memory is how the input was divided below a ceiling; nil without one.
	Memory *batcher.Plan `json:"memory,omitempty"`
}

// Stage is a stages.Report with times in seconds, summed over the workers.
type Stage struct {
	Name    string  `json:"name"`
	Workers int     `json:"workers"`
	N       int64   `json:"n"`
	Busy    float64 `json:"busy"`
	Starved float64 `json:"starved"`
	Blocked float64 `json:"blocked"`
	CPU     float64 `json:"cpu"`   // processor time; of the last stage: what else the process used
	Queue   float64 `json:"queue"` // mean depth of the input queue
}

// Seconds converts reports.
func Seconds(reports []stages.Report) []Stage {
	s := make([]Stage, len(reports))
	for i, r := range reports {
		s[i] = Stage{r.Name, r.Workers, r.N, r.Busy.Seconds(), r.Starved.Seconds(), r.Blocked.Seconds(), r.CPU.Seconds(), r.Queue}
	}
	return s
}

// Loader runs an input pipeline in training and measures it, once as many batches
// as its ring holds have passed: the first ones find cold caches and idle workers.
func Loader(ctx context.Context, c Config) (Result, error) {
	c.Input.Train = true
	if c.Time > 0 {
		c.Images = math.MaxInt
	}
	if c.Images < 1 {
		return Result{}, fmt.Errorf("bench: %d images to measure, want at least 1", c.Images)
	}
	if c.Input.Ring == 0 {
		c.Input.Ring = 3 // the loader's own default, which the warm-up needs to know
	}
	if c.Step != nil {
		c.Input.Consumer = "device"
	}
	log, err := openLog(c.Log)
	if err != nil {
		return Result{}, err
	}
	stages.ForgetPeak()
	l, err := batcher.New(ctx, c.Input, batcher.Position{})
	if err != nil {
		return Result{}, errors.Join(err, closeLog(log, nil))
	}
	if c.Begin != nil {
		c.Begin(l.Memory())
	}
	m := &meter{}
	if log != nil {
		m.log = log
	}
	r, err := c.measure(ctx, l, m)
	return r, errors.Join(err, l.Close(), closeLog(log, m.err))
}

func (c Config) measure(ctx context.Context, l *batcher.Loader, m *meter) (r Result, err error) {
	var begin time.Time
	var cpu time.Duration
	var before []stages.Report
	steps := (c.Images-1)/c.Input.Batch + 1
	for i := 0; i-c.Input.Ring < steps; i++ {
		if i == c.Input.Ring {
			begin, cpu, before = time.Now(), stages.ProcessCPU(), l.Stats()
			m.begin = begin
		}
		if i > c.Input.Ring && c.Time > 0 && time.Since(begin) >= c.Time {
			break
		}
		b, err := l.Next(ctx)
		if err != nil {
			return r, err
		}
		if c.Step != nil {
			err = c.Step.Run(b)
		}
		n, bad := b.N, b.Bad
		b.Release()
		if err != nil {
			return r, err
		}
		if i >= c.Input.Ring {
			r.Images, r.Bad = r.Images+n, r.Bad+bad
			m.look(r.Images)
			if c.Progress != nil {
				c.Progress(r.Images)
			}
		}
	}
	r.Seconds = time.Since(begin).Seconds()
	used := stages.ProcessCPU() - cpu
	r.CPUSecondsPerImage = used.Seconds() / float64(r.Images)
	r.ImagesPerSecond = float64(r.Images) / r.Seconds
	r.Batch = c.Input.Batch
	r.Resident, r.PeakResident = stages.Resident()
	if plan := l.Memory(); c.Input.Budget != nil {
		r.Memory = &plan
	}
	reports := stages.Between(before, l.Stats(), used)
	r.Stages, r.Workers = Seconds(reports), reports[0].Workers
	v := stages.Judge(reports, stages.Setting{Cores: runtime.NumCPU(), Unit: "img"})
	r.Bottleneck, r.Verdict, r.More, r.Gain = v.Stage, v.Text, v.More, v.Gain
	return r, nil
}

// Table writes the result for people.
func (r Result) Table(w io.Writer) {
	fmt.Fprintf(w, "%-10s %7s %9s %9s %9s %9s %9s %7s\n", "stage", "workers", "n", "busy s", "starved s", "blocked s", "cpu s", "queue")
	for _, s := range r.Stages {
		fmt.Fprintf(w, "%-10s %7d %9d %9.2f %9.2f %9.2f %9.2f %7.1f\n", s.Name, s.Workers, s.N, s.Busy, s.Starved, s.Blocked, s.CPU, s.Queue)
	}
	fmt.Fprintf(w, "\n%d images in %.2f s: %.1f img/s, %.2f CPU ms an image\n", r.Images, r.Seconds, r.ImagesPerSecond, 1e3*r.CPUSecondsPerImage)
	if r.PeakResident > 0 {
		fmt.Fprintf(w, "resident set %.1f MiB, at most %.1f MiB", float64(r.Resident)/(1<<20), float64(r.PeakResident)/(1<<20))
		if r.Memory != nil {
			fmt.Fprintf(w, "; the ceiling is %.1f MiB", float64(r.Memory.Ceiling)/(1<<20))
		}
		fmt.Fprintln(w)
	}
	if r.Bad > 0 {
		fmt.Fprintf(w, "%d of them stand in for bad pictures (shardify verify finds damaged ones)\n", r.Bad)
	}
	fmt.Fprintln(w, r.Verdict)
	if r.Plan != nil {
		fmt.Fprintln(w, r.Plan)
	}
}

// JSON writes the result as one line.
func (r Result) JSON(w io.Writer) error { return json.NewEncoder(w).Encode(r) }
