package bench

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"bagpipe/stages"
)

// Moment is a line of a log: how far a measurement was, and what lay in memory.
type Moment struct {
	Seconds  float64 `json:"seconds"`
	Images   int     `json:"images"`
	Resident int64   `json:"resident"` // bytes; 0 where the system does not tell
}

// meter looks at the memory of the process about once a second, and keeps nothing of it
// but what it has written.
type meter struct {
	log   io.Writer // may be nil
	begin time.Time
	last  time.Time
	err   error // of the log
}

const meterEvery = time.Second

// look writes a line if it is time to.
func (m *meter) look(images int) {
	now := time.Now()
	if m.log == nil || m.err != nil || now.Sub(m.last) < meterEvery {
		return
	}
	m.last = now
	resident, _ := stages.Resident()
	m.err = json.NewEncoder(m.log).Encode(Moment{now.Sub(m.begin).Seconds(), images, resident})
}

// ReadLog reads the moments of a log; a torn last line is passed over.
func ReadLog(path string) ([]Moment, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	defer f.Close()
	var all []Moment
	in := bufio.NewScanner(f)
	for in.Scan() {
		var m Moment
		if json.Unmarshal(in.Bytes(), &m) == nil {
			all = append(all, m)
		}
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("bench: %s: %w (is it a log of pipe bench?)", path, err)
	}
	if len(all) < 2 {
		return nil, fmt.Errorf("bench: %s has %d lines, want at least 2 (measure for longer: --seconds 60)", path, len(all))
	}
	return all, nil
}

// PlotMemory draws what lay in memory by time, and the ceiling if there is one, into a
// PNG file.
func PlotMemory(moments []Moment, ceiling int64, path string) error {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = "pipe bench", "minutes", "resident set (MiB)"
	p.Y.Min = 0
	last := moments[len(moments)-1].Seconds / 60
	pts, highest := make(plotter.XYs, len(moments)), 0.0
	for i, m := range moments {
		pts[i] = plotter.XY{X: m.Seconds / 60, Y: float64(m.Resident) / (1 << 20)}
		highest = max(highest, pts[i].Y)
	}
	p.Add(plotter.NewGrid())
	add := func(name string, of plotter.XYs, style draw.LineStyle) error {
		line, err := plotter.NewLine(of)
		if err != nil {
			return fmt.Errorf("bench: %s: %w", name, err)
		}
		line.LineStyle = style
		p.Add(line)
		p.Legend.Add(name, line)
		return nil
	}
	err := add("resident set", pts, style(0))
	if y := float64(ceiling) / (1 << 20); ceiling > 0 {
		dashed := style(1)
		dashed.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
		err = errors.Join(err, add("ceiling", plotter.XYs{{X: 0, Y: y}, {X: last, Y: y}}, dashed))
		highest = max(highest, y)
	}
	if err != nil {
		return err
	}
	p.Y.Max = 1.25 * highest
	p.Legend.Top = true
	if err := p.Save(18*vg.Centimeter, 9*vg.Centimeter, path); err != nil {
		return fmt.Errorf("bench: graph: %w (choose another --graph)", err)
	}
	return nil
}

// openLog makes the file of a log; an empty path is none.
func openLog(path string) (*os.File, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("bench: log: %w (choose another --log)", err)
	}
	return f, nil
}

// closeLog ends a log; err is what its writes came to.
func closeLog(f *os.File, err error) error {
	if f == nil {
		return nil
	}
	return errors.Join(err, f.Close())
}
