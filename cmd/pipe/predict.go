package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"bagpipe/gpu"
	"bagpipe/internal/cli"
	"bagpipe/trainer"
)

type predictCmd struct {
	Model  string   `required:"" placeholder:"RUN|FILE" help:"Folder of a run, whose best checkpoint is taken, or a .safetensors file of one."`
	Images []string `arg:"" name:"image" help:"Picture files."`
	K      int      `short:"k" default:"5" help:"Classes to print for each picture."`
	Device string   `default:"auto" help:"auto, cpu, cuda or one such as cuda:0."`
	JSON   bool     `name:"json" help:"Print one JSON object a picture, one a line."`
}

// Help shows examples.
func (predictCmd) Help() string {
	return `Examples, after pipe demo:
  pipe predict --model runs/demo/run runs/demo/pictures/val/ring/00000.jpg
  pipe predict --model runs/demo/run -k 1 --json runs/demo/pictures/val/*/00001.jpg`
}

// maxPicture bounds the size of a picture file.
const maxPicture = 256 << 20

// predicted is what predict --json prints of a picture.
type predicted struct {
	File        string       `json:"file"`
	Error       string       `json:"error,omitempty"`
	Predictions []prediction `json:"predictions,omitempty"` // best first
}

type prediction struct {
	Class       string  `json:"class"`
	Index       int     `json:"index"`
	Probability float64 `json:"probability"`
}

// Run classifies the pictures one by one. A bad one is named and the others go on.
func (c *predictCmd) Run(ctx context.Context, s cli.Streams) error {
	if c.K < 1 {
		return cli.Wrongf("-k %d, want at least 1", c.K)
	}
	m, err := trainer.OpenModel(c.Model)
	if err != nil {
		return err
	}
	devs, err := openDevice(c.Device)
	if err != nil {
		return err
	}
	defer devs.close()
	bad := 0
	for _, file := range c.Images {
		if err := ctx.Err(); err != nil {
			return err
		}
		ps, err := classify(m, devs.list[0], file, min(c.K, max(len(m.Classes), 1)))
		if err != nil {
			bad++
			fmt.Fprintf(s.Err, "pipe: %s: %v\n", file, err)
		}
		if c.JSON {
			err = printJSON(s.Out, file, ps, err)
		} else if err == nil {
			err = printText(s.Out, file, ps)
		} else {
			err = nil
		}
		if err != nil {
			return err
		}
	}
	if bad > 0 {
		fmt.Fprintf(s.Err, "pipe: %d of %d pictures could not be classified\n", bad, len(c.Images))
		return cli.ErrTold
	}
	return nil
}

// classify reads and classifies one picture.
func classify(m *trainer.Model, dev gpu.Device, file string, k int) ([]trainer.Prediction, error) {
	fi, err := os.Stat(file)
	if err != nil {
		return nil, bare(err)
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("not a file (name the pictures themselves)")
	}
	if fi.Size() > maxPicture {
		return nil, fmt.Errorf("%s, at most %s: not a picture", cli.Bytes(fi.Size()), cli.Bytes(maxPicture))
	}
	picture, err := os.ReadFile(file)
	if err != nil {
		return nil, bare(err)
	}
	return m.Predict(dev, picture, k)
}

// bare is the reason of a file system's error, without the path.
func bare(err error) error {
	if p, ok := err.(*os.PathError); ok {
		return p.Err
	}
	return err
}

func printText(w io.Writer, file string, ps []trainer.Prediction) error {
	if _, err := fmt.Fprintln(w, file); err != nil {
		return err
	}
	for _, p := range ps {
		if _, err := fmt.Fprintf(w, "  %6.2f %%  %s\n", 100*p.Probability, p.Class); err != nil {
			return err
		}
	}
	return nil
}

func printJSON(w io.Writer, file string, ps []trainer.Prediction, fault error) error {
	out := predicted{File: file}
	if fault != nil {
		out.Error = fault.Error()
	}
	for _, p := range ps {
		out.Predictions = append(out.Predictions, prediction(p))
	}
	return json.NewEncoder(w).Encode(out)
}
