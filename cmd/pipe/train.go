package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	"bagpipe/bench"
	"bagpipe/internal/cli"
	"bagpipe/shards"
	"bagpipe/stages"
	"bagpipe/trainer"
)

const (
	runsDir    = "runs"
	configName = "config.toml" // of a run, written by the trainer
)

type trainCmd struct {
	Data        string `required:"" placeholder:"DIR" help:"Data set of shards, as shardify makes it."`
	recipe      `embed:""`
	Device      string `default:"auto" help:"auto, cpu, cuda, one such as cuda:0, or several such as cpu:0,cpu:1."`
	Workers     string `default:"auto" placeholder:"N|auto" help:"Goroutines that decode; auto finds out how many the device needs. Does not change the result."`
	ceiling     `embed:""`
	Dir         string `name:"run" placeholder:"DIR" help:"Where the run is kept; default runs/RECIPE-TIME."`
	Resume      bool   `help:"Go on with --run where it stopped, or with the last run of the recipe."`
	Quiet       bool   `short:"q" help:"Print errors and the result only."`
	JSON        bool   `name:"json" help:"End with one JSON object instead of the summary."`
	cli.Profile `embed:""`
}

// Help shows examples.
func (trainCmd) Help() string {
	return `Examples, after pipe demo:
  pipe train --data runs/demo/pictures.shards --recipe demo --epochs 2
  pipe train --data runs/demo/pictures.shards --recipe demo --run runs/mine --set seed=7
  pipe train --data runs/demo/pictures.shards --run runs/mine --resume
  pipe train --data runs/demo/pictures.shards --recipe demo --epochs 1 --device cpu:0,cpu:1
  pipe train --data runs/demo/pictures.shards --recipe demo --epochs 1 --memory 2GiB`
}

// Run trains, and says how to go on if it was stopped.
func (c *trainCmd) Run(ctx context.Context, s cli.Streams) error {
	return c.Profile.While(func() error { return c.run(ctx, s) })
}

func (c *trainCmd) run(ctx context.Context, s cli.Streams) error {
	workers, err := c.workers()
	if err != nil {
		return err
	}
	config, err := c.config()
	if err != nil {
		return err
	}
	data, err := shards.Open(c.Data)
	if err != nil {
		return err
	}
	defer data.Close()
	budget := c.budget()
	devs, err := openDevices(c.Device)
	if err != nil {
		return err
	}
	defer devs.close()
	o := newObserver(s.Err, c.Quiet)
	o.p.Printf("run %s on %s", c.Dir, devs)
	r, err := trainer.Train(ctx, config, trainer.Options{Data: data, Backend: devs.backend, Devices: devs.list, Run: c.Dir,
		Resume: c.Resume, Workers: workers, Observer: o, Budget: budget})
	o.p.Finish(err == nil && !r.Interrupted)
	if err != nil {
		return err
	}
	if c.JSON {
		if err := json.NewEncoder(s.Out).Encode(newTrained(c.Dir, config, r)); err != nil {
			return err
		}
	}
	if r.Interrupted {
		stopped(s.Err, c.Data, c.Dir, r)
		return cli.ErrTold
	}
	if !c.JSON {
		summary(s.Out, r)
		fmt.Fprintf(s.Out, "\nnext: %s predict --model %s PICTURE...\n", cli.Tool("pipe"), cli.Word(c.Dir))
		if r.Images > 0 {
			fmt.Fprintf(s.Out, "      %s eval --data %s --model %s\n", cli.Tool("pipe"), cli.Word(c.Data), cli.Word(c.Dir))
		}
	}
	return nil
}

// workers is the number of --workers, 0 for auto.
func (c *trainCmd) workers() (int, error) {
	n, err := strconv.Atoi(c.Workers)
	if c.Workers == "auto" {
		return 0, nil
	}
	if err != nil {
		return 0, cli.Wrongf("--workers %s, want a number of 0 to %d or auto", c.Workers, maxWorkers)
	}
	return n, checkWorkers(n)
}

// maxWorkers is what shardify allows, too: more is a slip of the keyboard, and each has
// buffers of its own.
const maxWorkers = 4096

// checkWorkers holds --workers to its range.
func checkWorkers(n int) error {
	if n < 0 || n > maxWorkers {
		return cli.Wrongf("--workers %d, want 0 to %d", n, maxWorkers)
	}
	return nil
}

// config resolves the recipe and the run's folder. A run that goes on keeps its own
// configuration unless a recipe is given.
func (c *trainCmd) config() (trainer.Config, error) {
	name := c.Recipe
	if name == "" {
		name = trainer.DefaultRecipe
	}
	if c.Resume {
		if c.Dir == "" {
			last, err := lastRun(recipeName(c.Recipe))
			if err != nil {
				return trainer.Config{}, err
			}
			c.Dir = last
		}
		own := filepath.Join(c.Dir, configName)
		if _, err := os.Stat(own); err != nil {
			return trainer.Config{}, fmt.Errorf("--resume: %s is no run: it has no %s (leave out --resume to start one)", c.Dir, configName)
		}
		if c.Recipe == "" {
			name = own
		}
	}
	config, err := c.load(name)
	if c.Dir == "" {
		c.Dir = filepath.Join(runsDir, recipeName(name)+time.Now().Format("-20060102-150405"))
	}
	return config, err
}

// lastRun finds the run that was started last, of a recipe or of any.
func lastRun(recipe string) (string, error) {
	pattern := filepath.Join(runsDir, "*", configName)
	if recipe != "." {
		pattern = filepath.Join(runsDir, recipe+"-*", configName)
	}
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("--resume: no run below %s (name its folder with --run)", runsDir)
	}
	age := func(path string) int64 {
		fi, err := os.Stat(path)
		if err != nil {
			return 0
		}
		return fi.ModTime().UnixNano()
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return int(min(max(age(a)-age(b), -1), 1)) })), nil
}

// trained is what train --json prints.
type trained struct {
	Run         string        `json:"run"`
	Recipe      string        `json:"recipe"`
	Model       string        `json:"model"`
	Steps       int           `json:"steps"`
	Epochs      int           `json:"epochs"`
	Loss        float64       `json:"loss,omitempty"` // this and the next two: only where something was evaluated
	Top1        float64       `json:"top1,omitempty"` // percent, as all below
	Top5        float64       `json:"top5,omitempty"`
	BestTop1    float64       `json:"best_top1"`
	Images      int           `json:"images"` // evaluated
	Seconds     float64       `json:"seconds"`
	Interrupted bool          `json:"interrupted"`
	Input       []bench.Stage `json:"input"`
	Verdict     string        `json:"verdict"`
}

func newTrained(run string, c trainer.Config, r trainer.Result) trained {
	return trained{run, c.Recipe, c.Model, r.Steps, r.Epochs, r.Loss, r.Top1, r.Top5, r.BestTop1, r.Images, r.Elapsed.Seconds(),
		r.Interrupted, bench.Seconds(r.Input), judged(r)}
}

// summary says how a finished training went.
func summary(w io.Writer, r trainer.Result) {
	switch {
	case r.Images > 0:
		fmt.Fprintf(w, "top-1 %.2f %%, top-5 %.2f %%, loss %.4f on %d pictures; best top-1 %.2f %%\n", r.Top1, r.Top5, r.Loss, r.Images, r.BestTop1)
	case r.BestTop1 > 0:
		fmt.Fprintf(w, "nothing was left to train; best top-1 %.2f %%\n", r.BestTop1)
	default:
		fmt.Fprintln(w, "nothing was evaluated: there is no val split (shardify --val-fraction 0.1 holds one out)")
	}
	fmt.Fprintf(w, "at step %d, the end of epoch %d, after %v\n", r.Steps, r.Epochs, r.Elapsed.Round(100*time.Millisecond))
	if n := len(r.Input); n > 0 && r.Input[n-1].N > 0 {
		fmt.Fprintln(w, "input:", judged(r))
	}
}

// stopped says how to go on with a run that a signal has ended.
func stopped(w io.Writer, data, run string, r trainer.Result) {
	fmt.Fprintf(w, "pipe: stopped after step %d; the checkpoint is in %s\n", r.Steps, filepath.Join(run, "checkpoints"))
	fmt.Fprintf(w, "pipe: go on with: %s train --data %s --run %s --resume\n", cli.Tool("pipe"), cli.Word(data), cli.Word(run))
}

// judged is the verdict on a whole training's input.
func judged(r trainer.Result) string {
	return stages.Judge(r.Input, stages.Setting{Cores: runtime.NumCPU(), Unit: "img"}).Text
}
