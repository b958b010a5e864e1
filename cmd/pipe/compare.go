package main

import (
	"fmt"
	"path/filepath"
	"slices"

	"bagpipe/bench"
	"bagpipe/internal/cli"
)

type compareCmd struct {
	Runs []string `arg:"" name:"run" help:"Run directories."`
	Out  string   `short:"o" default:"curves.png" placeholder:"FILE" help:"Where the picture goes, as PNG."`
}

// Help shows examples.
func (compareCmd) Help() string {
	return `Examples, after pipe demo:
  pipe compare runs/demo/run
  pipe compare runs/demo/run runs/mine -o both.png`
}

// Run draws the runs' curves and prints where they end.
func (c *compareCmd) Run(s cli.Streams) error {
	var curves []bench.Curve
	for _, run := range c.Runs {
		curve, err := bench.ReadCurve(run)
		if err != nil {
			return err
		}
		curves = append(curves, curve)
	}
	tellApart(curves, c.Runs)
	if err := bench.PlotCurves(curves, c.Out); err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "%-30s %6s %14s %10s %10s\n", "run", "epochs", "training loss", "top-1", "best")
	for _, k := range curves {
		last := len(k.Top1) - 1
		fmt.Fprintf(s.Out, "%-30s %6.0f %14.4f %8.2f %% %8.2f %%\n", k.Run, k.Epoch[last], k.Loss[last], k.Top1[last], slices.Max(k.Top1))
	}
	fmt.Fprintf(s.Out, "curves in %s\n", c.Out)
	return nil
}

// tellApart names runs whose folders have the same name by their paths, as given.
func tellApart(curves []bench.Curve, runs []string) {
	alike := map[string]int{}
	for _, k := range curves {
		alike[k.Run]++
	}
	for i := range curves {
		if alike[curves[i].Run] > 1 {
			curves[i].Run = filepath.Clean(runs[i])
		}
	}
}
