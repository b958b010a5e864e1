package main

import (
	"context"
	"encoding/json"
	"fmt"

	"bagpipe/internal/cli"
	"bagpipe/shards"
	"bagpipe/trainer"
)

type evalCmd struct {
	Data    string `required:"" placeholder:"DIR" help:"Data set of shards."`
	Model   string `required:"" placeholder:"RUN|FILE" help:"Folder of a run, whose best checkpoint is taken, or a .safetensors file of one."`
	Split   string `default:"val" help:"train, val or test."`
	Device  string `default:"auto" help:"auto, cpu, cuda or one such as cuda:0."`
	Workers int    `help:"Goroutines that decode; 0 = one a core."`
	ceiling `embed:""`
	JSON    bool `name:"json" help:"Print one JSON object."`
}

// Help shows examples.
func (evalCmd) Help() string {
	return `Examples, after pipe demo:
  pipe eval --data runs/demo/pictures.shards --model runs/demo/run
  pipe eval --data runs/demo/pictures.shards --model runs/demo/run --split train --json`
}

// evaluated is what eval --json prints.
type evaluated struct {
	Model   string  `json:"model"`
	Source  string  `json:"source"` // the checkpoint
	Data    string  `json:"data"`
	Hash    string  `json:"hash"`
	Split   string  `json:"split"`
	Images  int     `json:"images"`
	Top1    float64 `json:"top1"` // percent
	Top5    float64 `json:"top5"`
	Loss    float64 `json:"loss"`
	Seconds float64 `json:"seconds"`
}

// Run evaluates.
func (c *evalCmd) Run(ctx context.Context, s cli.Streams) error {
	if err := checkWorkers(c.Workers); err != nil {
		return err
	}
	m, err := trainer.OpenModel(c.Model)
	if err != nil {
		return err
	}
	data, split, err := openSplit(c.Data, c.Split)
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
	r, err := evaluate(ctx, m, split, trainer.Options{Data: data, Workers: c.Workers, Budget: budget, Observer: newObserver(s.Err, budget == nil)}, devs)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(s.Out).Encode(evaluated{m.Name, m.Source, c.Data, data.Hash, split.Name, r.Images, r.Top1, r.Top5, r.Loss, r.Elapsed.Seconds()})
	}
	fmt.Fprintf(s.Out, "%s of %s on %s of %s (%.12s)\n", m.Name, m.Source, split.Name, c.Data, data.Hash)
	fmt.Fprintf(s.Out, "top-1 %.2f %%, top-5 %.2f %%, loss %.4f on %d pictures (%.0f img/s)\n", r.Top1, r.Top5, r.Loss, r.Images, float64(r.Images)/r.Elapsed.Seconds())
	return nil
}

// evaluate runs a model over a split; half an evaluation is an error of the trainer.
func evaluate(ctx context.Context, m *trainer.Model, split *shards.Split, o trainer.Options, devs devices) (trainer.Result, error) {
	o.Backend, o.Devices = devs.backend, devs.list
	return trainer.Evaluate(ctx, m, split, o)
}
