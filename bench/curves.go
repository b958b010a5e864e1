package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"image/color"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// Curve is what a run directory's metrics.jsonl holds of its evaluations.
type Curve struct {
	Run   string
	Epoch []float64 // 1 after the first epoch
	Top1  []float64 // percent
	Loss  []float64 // mean training loss of the epoch
}

// ReadCurve reads RUN/metrics.jsonl. Lines without top1 (the ones between
// evaluations) are passed over; a torn last line, as a killed run leaves it, too.
func ReadCurve(run string) (Curve, error) {
	path := filepath.Join(run, "metrics.jsonl")
	f, err := os.Open(path)
	if err != nil {
		return Curve{}, fmt.Errorf("bench: %s is no run directory: %w", run, err)
	}
	defer f.Close()
	c := Curve{Run: filepath.Base(run)}
	in := bufio.NewScanner(f)
	for in.Scan() {
		var m struct {
			Epoch     int      `json:"epoch"` // counted from 0
			Top1      *float64 `json:"top1"`
			TrainLoss *float64 `json:"train_loss"`
		}
		if json.Unmarshal(in.Bytes(), &m) != nil || m.Top1 == nil || m.TrainLoss == nil {
			continue
		}
		c.Epoch = append(c.Epoch, float64(m.Epoch+1))
		c.Top1 = append(c.Top1, *m.Top1)
		c.Loss = append(c.Loss, *m.TrainLoss)
	}
	if err := in.Err(); err != nil {
		return c, fmt.Errorf("bench: %s: %w (is it the metrics of a run?)", path, err)
	}
	if len(c.Epoch) == 0 {
		return c, fmt.Errorf("bench: %s holds no evaluation yet (let the run reach the end of an epoch)", path)
	}
	return c, nil
}

// style is the look of run i: after every four colours the dashes change, so that the
// first 16 runs are told apart.
func style(i int) draw.LineStyle {
	colors := [...]color.Color{
		color.RGBA{0x1f, 0x77, 0xb4, 0xff}, color.RGBA{0xd6, 0x27, 0x28, 0xff},
		color.RGBA{0x2c, 0xa0, 0x2c, 0xff}, color.RGBA{0x94, 0x67, 0xbd, 0xff},
	}
	dashes := [...][]vg.Length{nil, {6, 3}, {2, 2}, {8, 2, 2, 2}} // points, on and off
	return draw.LineStyle{Color: colors[i%len(colors)], Width: vg.Points(1.5), Dashes: dashes[i/len(colors)%len(dashes)]}
}

// PlotCurves draws top-1 accuracy and training loss by epoch, side by side, one
// line a run, into a PNG file.
func PlotCurves(curves []Curve, path string) error {
	top1, loss := plot.New(), plot.New()
	top1.Title.Text, loss.Title.Text = "top-1 (%)", "training loss"
	for i, c := range curves {
		for p, ys := range map[*plot.Plot][]float64{top1: c.Top1, loss: c.Loss} {
			pts := make(plotter.XYs, len(ys))
			for k, y := range ys {
				pts[k] = plotter.XY{X: c.Epoch[k], Y: y}
			}
			line, err := plotter.NewLine(pts)
			if err != nil {
				return fmt.Errorf("bench: %s: %w", c.Run, err)
			}
			line.LineStyle = style(i)
			p.Add(line)
			p.Legend.Add(c.Run, line)
		}
	}
	for _, p := range []*plot.Plot{top1, loss} {
		p.X.Label.Text = "epoch"
		p.Add(plotter.NewGrid())
	}
	loss.Legend.Top = true
	img := vgimg.New(26*vg.Centimeter, 10*vg.Centimeter)
	tiles := draw.Tiles{Rows: 1, Cols: 2, PadX: vg.Centimeter, PadTop: vg.Points(4), PadLeft: vg.Points(8), PadRight: vg.Points(8)}
	dc := draw.New(img)
	for col, p := range []*plot.Plot{top1, loss} {
		p.Draw(tiles.At(dc, col, 0))
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("bench: no picture: %w (name a file in a folder that is there and may be written to: pipe compare -o FILE)", err)
	}
	defer f.Close()
	if _, err := (vgimg.PngCanvas{Canvas: img}).WriteTo(f); err != nil {
		return fmt.Errorf("bench: %s: %w", path, err)
	}
	return f.Close()
}
