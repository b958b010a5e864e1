package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"bagpipe/bench"
	"bagpipe/ingest"
	"bagpipe/internal/cli"
	"bagpipe/shards"
	"bagpipe/stages/vision"
	"bagpipe/trainer"
)

type demoCmd struct {
	Dir    string `default:"runs/demo" help:"Where everything goes."`
	Short  bool   `help:"Fewer epochs and pictures to evaluate: the way, not the accuracy."`
	Device string `default:"auto" help:"auto, cpu, cuda or one such as cuda:0."`
	Quiet  bool   `short:"q" help:"Print errors and the result only."`
}

// Help shows examples.
func (demoCmd) Help() string {
	return `Examples:
  pipe demo
  pipe demo --short --dir runs/short`
}

// demoMarker is the file that makes a folder the demo's own, to be overwritten.
const demoMarker = "made-by-pipe-demo"

// demoPlan is what the two lengths differ in.
type demoPlan struct {
	pictures bench.Pictures
	sets     []string // keys of the recipe, as --set takes them
	want     float64  // top-1 in percent that a sound build reaches
}

// plan is the recipe as it stands, which ends above 99 %, or a short form that ends
// near 60 %.
func (c *demoCmd) plan() demoPlan {
	p := demoPlan{pictures: bench.Small(), want: 95}
	if c.Short {
		p.sets = []string{"epochs=6"}
		p.pictures.Val, p.want = 20, 40
	}
	return p
}

// Run goes the whole way once.
func (c *demoCmd) Run(ctx context.Context, s cli.Streams) error {
	devs, err := openDevices(c.Device)
	if err != nil {
		return err
	}
	defer devs.close()
	if err := c.claim(); err != nil {
		return err
	}
	plan := c.plan()
	set, run := filepath.Join(c.Dir, "pictures.shards"), filepath.Join(c.Dir, "run")
	if err := c.shards(ctx, s, plan, set); err != nil {
		return err
	}
	data, err := shards.Open(set)
	if err != nil {
		return err
	}
	defer data.Close()
	r, err := c.train(ctx, s, plan, data, devs, run)
	if err != nil {
		return err
	}
	if r.Interrupted {
		stopped(s.Err, set, run, r)
		return cli.ErrTold
	}
	return c.evaluate(ctx, s, plan, data, devs, run)
}

// claim takes the folder, if it is new, empty or of an earlier demo.
func (c *demoCmd) claim() error {
	entries, err := os.ReadDir(c.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("demo: %w (choose another --dir)", err)
	}
	marker := filepath.Join(c.Dir, demoMarker)
	if _, err := os.Stat(marker); err != nil && len(entries) > 0 {
		return fmt.Errorf("demo: %s holds files of somebody else (choose another --dir)", c.Dir)
	}
	if err := os.MkdirAll(c.Dir, 0o777); err != nil {
		return fmt.Errorf("demo: %w (choose another --dir)", err)
	}
	if err := os.WriteFile(marker, []byte("pipe demo overwrites what is in this folder.\n"), 0o666); err != nil {
		return fmt.Errorf("demo: %w (choose another --dir)", err)
	}
	for _, old := range []string{"pictures", "run"} {
		if err := os.RemoveAll(filepath.Join(c.Dir, old)); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	return nil
}

// say prints a step of the way.
func (c *demoCmd) say(s cli.Streams, format string, args ...any) {
	if !c.Quiet {
		fmt.Fprintf(s.Err, format+"\n", args...)
	}
}

// shards draws the pictures and packs them.
func (c *demoCmd) shards(ctx context.Context, s cli.Streams, plan demoPlan, set string) error {
	p := plan.pictures
	pictures := filepath.Join(c.Dir, "pictures")
	c.say(s, "1. drawing %d pictures of %d classes in %s", len(p.Classes())*(p.Train+p.Val), len(p.Classes()), pictures)
	if err := p.Write(ctx, pictures); err != nil {
		return err
	}
	c.say(s, "2. %s %s -o %s", cli.Tool("shardify"), cli.Word(pictures), cli.Word(set))
	report, err := ingest.Shardify(ctx, pictures, set, ingest.Options{Decode: vision.Decode, Header: vision.Meta, Force: true})
	if err != nil {
		return err
	}
	c.say(s, "   %d pictures in %v, hash %.12s", report.Pictures, report.Elapsed.Round(1e6), report.Manifest.Hash)
	return nil
}

func (c *demoCmd) train(ctx context.Context, s cli.Streams, plan demoPlan, data *shards.Dataset, devs devices, run string) (trainer.Result, error) {
	r := recipe{Set: plan.sets}
	config, err := r.load("demo")
	if err != nil {
		return trainer.Result{}, err
	}
	line := fmt.Sprintf("3. %s train --data %s --recipe demo --run %s", cli.Tool("pipe"), cli.Word(data.Dir), cli.Word(run))
	for _, set := range plan.sets {
		line += " --set " + set
	}
	c.say(s, "%s", line)
	o := newObserver(s.Err, c.Quiet)
	result, err := trainer.Train(ctx, config, trainer.Options{Data: data, Backend: devs.backend, Devices: devs.list, Run: run, Observer: o})
	o.p.Finish(err == nil && !result.Interrupted)
	return result, err
}

// evaluate checks what the training has left on disk, and says what is next.
func (c *demoCmd) evaluate(ctx context.Context, s cli.Streams, plan demoPlan, data *shards.Dataset, devs devices, run string) error {
	c.say(s, "4. %s eval --data %s --model %s", cli.Tool("pipe"), cli.Word(data.Dir), cli.Word(run))
	m, err := trainer.OpenModel(run)
	if err != nil {
		return err
	}
	split, err := data.Split("val")
	if err != nil {
		return err
	}
	r, err := evaluate(ctx, m, split, trainer.Options{Data: data}, devs)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "top-1 %.2f %%, top-5 %.2f %%, loss %.4f on %d pictures\n", r.Top1, r.Top5, r.Loss, r.Images)
	if r.Top1 < plan.want {
		return fmt.Errorf("demo: top-1 %.2f %%, a sound build reaches %.0f %% (go test ./gpu/... ./bench finds a faulty device)", r.Top1, plan.want)
	}
	if !c.Quiet {
		c.next(s, run)
	}
	return nil
}

// next says how to go on with other pictures.
func (c *demoCmd) next(s cli.Streams, run string) {
	fmt.Fprintf(s.Out, `
Try it on a picture:
  %[1]s predict --model %[3]s %[4]s

Your own pictures: one folder a class, as photos/train/CLASS/*.jpg and photos/val/CLASS/*.jpg
(without val: %[2]s photos --val-fraction 0.1), then
  %[2]s photos
  %[1]s bench --data photos.shards
  %[1]s train --data photos.shards --recipe demo --run runs/photos
  %[1]s eval --data photos.shards --model runs/photos
%[1]s recipes lists larger models and the paper's trainings, %[1]s show what they cost.
`, cli.Tool("pipe"), cli.Tool("shardify"), cli.Word(run), cli.Word(filepath.Join(c.Dir, "pictures", "val", "spiral", "00000.jpg")))
}
