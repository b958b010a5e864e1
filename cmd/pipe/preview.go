package main

import (
	"context"
	"fmt"
	"image"
	"image/color"

	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"bagpipe/gpu"
	"bagpipe/internal/cli"
	"bagpipe/shards"
	"bagpipe/stages/vision"
	"bagpipe/trainer"
)

type previewCmd struct {
	Data   string `required:"" placeholder:"DIR" help:"Data set of shards."`
	recipe `embed:""`
	Images int    `default:"24" help:"Samples to show, of the first epoch's order."`
	Out    string `default:"preview.png" placeholder:"PNG" help:"Where the sheet goes."`
}

// Help shows examples.
func (previewCmd) Help() string {
	return `Examples, after pipe demo:
  pipe preview --data runs/demo/pictures.shards --recipe demo
  pipe preview --data runs/demo/pictures.shards --set input.mode=mxnet-2018 --set input.hue=0 --out mxnet.png`
}

// Run draws a sheet of the samples that a training would begin with.
func (c *previewCmd) Run(_ context.Context, s cli.Streams) error {
	if c.Images < 1 || c.Images > 400 {
		return cli.Wrongf("--images %d, want 1 to 400", c.Images)
	}
	name := c.Recipe
	if name == "" {
		name = trainer.DefaultRecipe
	}
	config, err := c.load(name)
	if err != nil {
		return err
	}
	data, split, err := openSplit(c.Data, "train")
	if err != nil {
		return err
	}
	defer data.Close()
	sheet, err := c.sheet(config, data, split)
	if err != nil {
		return err
	}
	if err := writePNG(c.Out, sheet); err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "%d samples of %s as %s makes them: %s\n", min(c.Images, split.Len()), c.Data, name, c.Out)
	return nil
}

// sheet lays the samples out with their captions.
func (c *previewCmd) sheet(config trainer.Config, data *shards.Dataset, split *shards.Split) (*image.NRGBA, error) {
	p, err := vision.NewTrain(config.Input, gpu.Float32)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	n, size := min(c.Images, split.Len()), config.Input.Size
	scale := max(1, (224+size-1)/size) // small samples are enlarged, pixel by pixel
	side := scale * size
	columns := min(6, n)
	w, h := max(side, 224)+8, side+4*14+12
	sheet := image.NewNRGBA(image.Rect(0, 0, columns*w, (n+columns-1)/columns*h))
	draw.Draw(sheet, sheet.Bounds(), image.White, image.Point{}, draw.Src)
	order := shards.NewOrder(split.Len(), config.Seed, 0, true)
	var buf []byte
	for i := range n {
		record := order.At(i)
		src, err := split.Read(record, &buf)
		if err != nil {
			return nil, err
		}
		img, q, err := p.Look(src, config.Seed, 0, record)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", split.Source(record), err)
		}
		x, y := i%columns*w+4, i/columns*h+4
		draw.NearestNeighbor.Scale(sheet, image.Rect(x, y, x+side, y+side), img, img.Bounds(), draw.Src, nil)
		for k, line := range captions(record, data.Classes[split.Label(record)], q) {
			d := font.Drawer{Dst: sheet, Src: image.NewUniform(color.Black), Face: basicfont.Face7x13, Dot: fixed.P(x, y+side+14*(k+1))}
			d.DrawString(line[:min(len(line), 32)])
		}
	}
	return sheet, nil
}

// captions are a sample's class and drawn parameters, in four lines.
func captions(record int, class string, q vision.Params) []string {
	flip := ""
	if q.Flip {
		flip = " flipped"
	}
	return []string{
		fmt.Sprintf("%d %s", record, class),
		fmt.Sprintf("crop %dx%d at %d,%d%s", q.Crop.W, q.Crop.H, q.Crop.X, q.Crop.Y, flip),
		fmt.Sprintf("h %.2f s %.2f b %.2f c %.2f", q.Hue, q.Saturation, q.Brightness, q.Contrast),
		fmt.Sprintf("light %+.2f %+.2f %+.2f", q.Light[0], q.Light[1], q.Light[2]),
	}
}
