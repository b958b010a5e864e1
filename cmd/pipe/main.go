// Command pipe trains image classifiers on shards, evaluates them and measures its
// own input.
//
//	pipe demo                                  # everything once, on pictures that it draws itself
//	pipe train --data photos.shards
//	pipe eval --data photos.shards --model runs/NAME
//	pipe predict --model runs/NAME cat.jpg
//	pipe bench --data photos.shards
//
// It exits with 0 on success, 1 on failure or when stopped, 2 when the command line
// is wrong.
package main

import (
	"context"

	_ "bagpipe/gpu/host" // the CPU
	"bagpipe/internal/cli"
)

type grammar struct {
	Train   trainCmd   `cmd:"" help:"Train a model on a data set, or go on with a run."`
	Eval    evalCmd    `cmd:"" help:"Evaluate a trained model on every picture of a split."`
	Predict predictCmd `cmd:"" help:"Classify picture files with a trained model."`
	Compare compareCmd `cmd:"" help:"Draw the accuracy and loss of runs by epoch."`
	Bench   benchCmd   `cmd:"" help:"Measure the input pipeline, alone or with training."`
	Preview previewCmd `cmd:"" help:"Draw a sheet of augmented samples with their parameters, to be looked at."`
	Diff    diffCmd    `cmd:"" help:"Compare what two settings of the input make of the same pictures."`
	Show    showCmd    `cmd:"" help:"List the models, or the layers of one."`
	Recipes recipesCmd `cmd:"" help:"List the recipes."`
	Devices devicesCmd `cmd:"" help:"List the devices that can train."`
	Demo    demoCmd    `cmd:"" help:"Draw a picture set, train on it and evaluate: the whole way in minutes."`
}

const description = `Train image classifiers on shards, evaluate them, measure the input pipeline.

Examples:
  pipe demo
  pipe train --data runs/demo/pictures.shards --recipe demo --epochs 2
  pipe eval --data runs/demo/pictures.shards --model runs/demo/run
  pipe predict --model runs/demo/run runs/demo/pictures/val/ring/00000.jpg
  pipe compare runs/demo/run
  pipe bench --data runs/demo/pictures.shards --size 32 --images 5000
  pipe show resnet50d
  pipe recipes
  pipe devices`

func main() { cli.Main(run) }

// run is main without the process.
func run(ctx context.Context, args []string, s cli.Streams) int {
	p := cli.Program{Name: "pipe", Description: description, Grammar: &grammar{}, Stopped: "stopped"}
	return p.Run(ctx, args, s)
}
