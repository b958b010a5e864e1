package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"bagpipe/batcher"
	"bagpipe/bench"
	"bagpipe/gpu"
	"bagpipe/ingest"
	"bagpipe/internal/cli"
	"bagpipe/shards"
	"bagpipe/stages/vision"
)

type benchCmd struct {
	Data        string  `placeholder:"DIR" help:"Data set of shards; none: pictures drawn for it, of the size of photographs."`
	Split       string  `default:"train" help:"train, val or test."`
	Workers     int     `help:"Goroutines that decode; 0 = one a core."`
	Images      int     `help:"Pictures to measure; 0 = 1000, or 10 batches with --train."`
	Seconds     float64 `placeholder:"N" help:"Measure for so long, in place of --images."`
	Log         string  `placeholder:"FILE" help:"Write a line of JSON a second: seconds, images, bytes resident in memory."`
	Graph       string  `placeholder:"FILE" help:"Draw the memory of --log by time, as PNG."`
	ceiling     `embed:""`
	Batch       int       `help:"Pictures a batch; 0 = 64, or 16 with --train; at most the split."`
	Size        int       `default:"224" help:"Side of the finished pictures in pixels."`
	Mode        string    `default:"paper" help:"Augmentation: paper, mxnet-2018 or torchvision."`
	Eval        bool      `help:"Measure what evaluation does with a picture: short side, centre crop, no colour."`
	Type        gpu.DType `default:"float32" help:"Of the samples' elements: float32, float16 or bfloat16."`
	Seed        uint64    `help:"Of order and augmentation."`
	Train       bool      `help:"Train on every batch."`
	Model       string    `default:"resnet50d" help:"What --train trains."`
	Device      string    `default:"auto" help:"What --train trains on: auto, cpu, cuda or one such as cuda:0."`
	Need        float64   `placeholder:"RATE" help:"Say what so many images a second would take, from what is measured."`
	Plan        string    `placeholder:"NxDEVICE" help:"The same for devices whose rates are known, such as 8xH100 training ResNet-50."`
	Quiet       bool      `short:"q" help:"Print errors and the result only."`
	JSON        bool      `name:"json" help:"Print one JSON object instead of the table."`
	cli.Profile `embed:""`
}

// Help shows examples.
func (benchCmd) Help() string {
	return `Examples:
  pipe bench --images 500
  pipe bench --workers 1 --images 200 --json
  pipe bench --plan 8xH100
  pipe bench --eval --type float16
  pipe bench --need 5000 --cpuprofile cpu.pprof
  pipe bench --memory 512MiB --seconds 60 --log memory.jsonl --graph memory.png
  pipe bench --train --model cifar-resnet20 --size 32 --batch 32
after pipe demo:
  pipe bench --data runs/demo/pictures.shards --size 32 --images 5000`
}

// Run measures the input, with the training step if asked for.
func (c *benchCmd) Run(ctx context.Context, s cli.Streams) error {
	need, err := c.need()
	if err = errors.Join(c.check(), err); err != nil {
		return err
	}
	return c.Profile.While(func() error { return c.run(ctx, s, need) })
}

func (c *benchCmd) run(ctx context.Context, s cli.Streams, need bench.Need) error {
	dir := c.Data
	if dir == "" {
		tmp, err := os.MkdirTemp("", "pipe-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(tmp)
		if dir, err = c.draw(ctx, s, tmp); err != nil {
			return err
		}
	}
	data, err := shards.Open(dir)
	if err != nil {
		return err
	}
	defer data.Close()
	r, err := c.measure(ctx, s, data)
	if err != nil {
		return err
	}
	if need.Rate > 0 {
		if r.Plan, err = c.plan(r, need, data); err != nil {
			return err
		}
	}
	if c.JSON {
		return r.JSON(s.Out)
	}
	r.Table(s.Out)
	return nil
}

// need is the rate of --need or --plan; a rate of 0 is none.
func (c *benchCmd) need() (bench.Need, error) {
	switch {
	case c.Need < 0:
		return bench.Need{}, cli.Wrongf("--need %g, want images a second", c.Need)
	case c.Need > 0 && c.Plan != "":
		return bench.Need{}, cli.Wrongf("--need and --plan exclude each other")
	case c.Plan == "":
		return bench.Need{Rate: c.Need, Devices: 1, Source: "--need"}, nil
	}
	need, err := bench.ParseNeed(c.Plan)
	return need, cli.Wrong(err)
}

// plan says what need takes, from what was measured on data.
func (c *benchCmd) plan(r bench.Result, need bench.Need, data *shards.Dataset) (*bench.Plan, error) {
	split, err := data.Split(c.Split)
	if err != nil {
		return nil, err
	}
	var bytes float64
	n := min(split.Len(), 10000) // of a large split, a sample
	for i := range n {
		_, stored := split.Codec(i * (split.Len() / n))
		bytes += float64(stored)
	}
	return r.PlanFor(need, bytes/float64(n), c.Size), nil
}

func (c *benchCmd) check() error {
	if c.Images < 0 || c.Batch < 0 {
		return cli.Wrongf("--images %d, --batch %d: want 0 or more", c.Images, c.Batch)
	}
	if err := checkWorkers(c.Workers); err != nil {
		return err
	}
	if !(c.Seconds >= 0 && c.Seconds < 1e9) || c.Seconds > 0 && c.Images > 0 {
		return cli.Wrongf("--seconds %g, --images %d: want one of them above 0", c.Seconds, c.Images)
	}
	if c.Graph != "" && c.Log == "" {
		return cli.Wrongf("--graph %s draws what --log writes: give --log FILE, too", c.Graph)
	}
	if err := vision.Default(c.Mode, c.Size).Validate(); err != nil {
		return cli.Wrong(err)
	}
	if c.Type > gpu.BFloat16 {
		return cli.Wrongf("--type %v: want float32, float16 or bfloat16", c.Type)
	}
	if c.Train && (c.Eval || c.Type != gpu.Float32) {
		return cli.Wrongf("--train trains on augmented float32 samples: without --eval and --type")
	}
	return knownModel(c.Model)
}

// vision is the chain to be measured. Evaluation's is that of training with every random
// choice off, so that it can go on for more than one pass.
func (c *benchCmd) vision() vision.Config {
	v := vision.Default(c.Mode, c.Size)
	if c.Eval {
		v.Crop, v.Flip, v.Hue, v.Saturation, v.Brightness, v.Contrast, v.Lighting = vision.None, 0, 0, 0, 0, 0, 0
	}
	return v
}

// draw makes a data set of photograph-like pictures in dir.
func (c *benchCmd) draw(ctx context.Context, s cli.Streams, dir string) (string, error) {
	p := bench.Photos()
	if !c.Quiet {
		fmt.Fprintf(s.Err, "drawing %d pictures of %d pixels to measure on (--data DIR takes yours)\n", 10*(p.Train+p.Val), p.MaxSide)
	}
	pictures := filepath.Join(dir, "pictures")
	if err := p.Write(ctx, pictures); err != nil {
		return "", err
	}
	_, err := ingest.Shardify(ctx, pictures, pictures+".shards", ingest.Options{Decode: vision.Decode, Header: vision.Meta})
	return pictures + ".shards", err
}

func (c *benchCmd) measure(ctx context.Context, s cli.Streams, data *shards.Dataset) (r bench.Result, err error) {
	split, err := data.Split(c.Split)
	if err != nil {
		return r, err
	}
	batch, images := c.Batch, c.Images
	if batch == 0 {
		if batch = 64; c.Train {
			batch = 16
		}
	}
	batch = min(batch, max(split.Len(), 1))
	if images == 0 {
		if images = 1000; c.Train {
			images = 10 * batch
		}
	}
	if c.Graph != "" { // found out now, not when the measurement is over
		if _, err := os.Stat(filepath.Dir(c.Graph)); err != nil {
			return r, fmt.Errorf("bench: graph: %w (choose another --graph)", err)
		}
	}
	budget := c.budget()
	input := batcher.Config{Source: split, Budget: budget, Vision: c.vision(), DType: c.Type, Train: true,
		Batch: batch, Workers: c.Workers, Seed: c.Seed}
	config := bench.Config{Input: input, Images: images, Time: time.Duration(c.Seconds * 1e9), Log: c.Log}
	if c.Train {
		devs, err := openDevices(c.Device)
		if err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, devs.close()) }()
		step, err := bench.NewStep(devs.list[0], nil, c.Model, batch, c.Size, len(data.Classes))
		if err != nil {
			return r, err
		}
		defer step.Close()
		config.Step, config.Input.AllocHost = step, devs.list[0].AllocHost
	}
	var p *cli.Progress
	if !c.Quiet {
		p = c.progress(s, &config)
	}
	r, err = bench.Loader(ctx, config)
	p.Finish(err == nil)
	if err != nil || c.Graph == "" {
		return r, err
	}
	moments, err := bench.ReadLog(c.Log)
	if err != nil {
		return r, err
	}
	return r, bench.PlotMemory(moments, int64(c.Memory), c.Graph)
}

// progress shows how far a measurement is, in pictures or in seconds.
func (c *benchCmd) progress(s cli.Streams, config *bench.Config) *cli.Progress {
	unit, total := "pictures", (config.Images-1)/config.Input.Batch*config.Input.Batch+config.Input.Batch
	if c.Seconds > 0 {
		unit, total = "seconds", int(math.Ceil(c.Seconds))
	}
	p := cli.NewProgress(s.Err, unit)
	config.Begin = func(plan batcher.Plan) {
		if c.Memory > 0 {
			p.Printf("%v", plan)
		}
		p.Start(0, total)
	}
	begin := time.Now()
	config.Progress = func(n int) {
		if c.Seconds > 0 {
			n = min(int(time.Since(begin).Seconds()), total)
		}
		p.Set(n, func() string { return "measuring" })
	}
	return p
}
