package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"bagpipe/gpu"
	"bagpipe/internal/cli"
	"bagpipe/shards"
	"bagpipe/stages/vision"
)

type diffCmd struct {
	A          string   `arg:"" help:"Settings of the input: a mode, recipe or TOML file, then keys of [input], by commas: paper,exact or default,hue=0."`
	B          string   `arg:"" help:"The settings to compare with them."`
	Data       string   `required:"" placeholder:"DIR" help:"Data set of shards."`
	Recipe     string   `default:"default" placeholder:"NAME|FILE" help:"Recipe of a side that names none."`
	Set        []string `placeholder:"KEY=VALUE" sep:"none" help:"Change a key of both sides, such as --set input.size=224; may be repeated."`
	Images     int      `default:"64" help:"Pictures to compare."`
	Split      string   `default:"train" help:"train, val or test."`
	Seed       uint64   `help:"Decides the order and the random choices."`
	Epoch      int      `help:"Likewise; the first is 0."`
	SameParams bool     `help:"Give B the crop, flip and colours drawn for A, so that only what is computed with them differs."`
	Eval       bool     `help:"Compare the chains of evaluation, which draw nothing."`
	Worst      int      `default:"12" help:"Pictures on the sheet: those that differ most."`
	Amplify    int      `default:"8" help:"Factor of the differences on the sheet."`
	Out        string   `short:"o" default:"diff.png" placeholder:"PNG" help:"Where the sheet goes."`
	JSON       bool     `name:"json" help:"Print one JSON object."`
}

// Help shows examples.
func (diffCmd) Help() string {
	return `Examples, after pipe demo:
  pipe diff paper mxnet-2018 --data runs/demo/pictures.shards
  pipe diff paper mxnet-2018 --same-params --data runs/demo/pictures.shards
  pipe diff paper paper,exact --data runs/demo/pictures.shards
  pipe diff demo demo,hue=0,scale=[0.35,1] --data runs/demo/pictures.shards -o hue.png`
}

// steps of the chain that are compared, in their order.
const (
	stepDecode = iota
	stepCut
	stepColour
	stepSample
	stepCount
)

// stepNames returns the steps' names.
func stepNames() [stepCount]string {
	return [stepCount]string{"decode", "crop+resize", "colour+flip", "sample"}
}

// stepDiff is how far a step is apart over all pictures, in levels of 0 to 255.
type stepDiff struct {
	Step   string   `json:"step"`
	Images int      `json:"images"` // compared: those whose extents agree after the step
	Max    float64  `json:"max"`
	Mean   float64  `json:"mean"`
	PSNR   *float64 `json:"psnr"` // dB; null: no difference, or nothing compared

	sum, squares float64
	n            int
}

// add counts one picture, of which a difference is asked by element.
func (d *stepDiff) add(n int, at func(i int) float64) (mean float64) {
	sum := 0.0
	for i := range n {
		v := math.Abs(at(i))
		d.Max = max(d.Max, v)
		sum += v
		d.squares += v * v
	}
	d.Images++
	d.sum += sum
	d.n += n
	return sum / float64(max(n, 1))
}

// finish makes mean and PSNR of the sums.
func (d *stepDiff) finish() {
	d.Mean = d.sum / float64(max(d.n, 1))
	if d.squares > 0 {
		psnr := 10 * math.Log10(255*255*float64(d.n)/d.squares)
		d.PSNR = &psnr
	}
}

// pictureDiff is one picture on both sides.
type pictureDiff struct {
	Name     string        `json:"name"`
	Record   int           `json:"record"`
	Mean     float64       `json:"mean"`     // after colour+flip
	Geometry bool          `json:"geometry"` // whether crop or flip differ
	A        vision.Params `json:"a"`
	B        vision.Params `json:"b"`
}

// compared is what diff --json prints.
type compared struct {
	A          string        `json:"a"`
	B          string        `json:"b"`
	Data       string        `json:"data"`
	Images     int           `json:"images"`
	SameParams bool          `json:"same_params"`
	Geometry   int           `json:"geometry"` // pictures whose crop or flip differ
	Steps      []stepDiff    `json:"steps"`
	Pictures   []pictureDiff `json:"pictures"` // those that differ most first
	Sheet      string        `json:"sheet"`
}

// Run compares and draws.
func (c *diffCmd) Run(ctx context.Context, s cli.Streams) error {
	a, b, err := c.sides()
	if err != nil {
		return err
	}
	data, split, err := openSplit(c.Data, c.Split)
	if err != nil {
		return err
	}
	defer data.Close()
	if split.Len() == 0 {
		return fmt.Errorf("diff: split %s of %s holds no pictures, want at least 1 (choose another --split)", c.Split, c.Data)
	}
	p, err := newPair(a, b, c)
	if err != nil {
		return err
	}
	defer p.close()
	r, err := p.compare(ctx, split)
	if err != nil {
		return err
	}
	if err := p.draw(split, r.Pictures[:min(c.Worst, len(r.Pictures))]); err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(s.Out).Encode(r)
	}
	r.print(s.Out, c)
	return nil
}

// sides checks the command line and resolves both settings.
func (c *diffCmd) sides() (a, b vision.Config, err error) {
	for _, n := range []struct {
		flag            string
		got, least, top int
	}{{"images", c.Images, 1, 1 << 20}, {"worst", c.Worst, 1, 100}, {"amplify", c.Amplify, 1, 255}, {"epoch", c.Epoch, 0, 1 << 30}} {
		if n.got < n.least || n.got > n.top {
			return a, b, cli.Wrongf("--%s %d, want %d to %d", n.flag, n.got, n.least, n.top)
		}
	}
	if a, err = c.side(c.A); err != nil {
		return a, b, err
	}
	if b, err = c.side(c.B); err != nil {
		return a, b, err
	}
	if a.Size != b.Size {
		return a, b, cli.Wrongf("%s makes samples of %d pixels a side, %s of %d, want the same (--set input.size=%d gives both one)", c.A, a.Size, c.B, b.Size, a.Size)
	}
	return a, b, nil
}

// side resolves one side. Its first word is a mode, a recipe or a file, unless it is
// a setting already; a word alone after that is a switch to be turned on.
func (c *diffCmd) side(text string) (vision.Config, error) {
	base, items := c.Recipe, splitSettings(text)
	sets := slices.Clone(c.Set)
	if first := items[0]; slices.Contains(modes(), first) {
		sets = append(sets, "input.mode="+first)
		items = items[1:]
	} else if !strings.Contains(first, "=") {
		base, items = first, items[1:]
		if _, err := os.Stat(base); err != nil && !strings.ContainsAny(base, "/\\.") {
			if err := cli.OneOf("mode or recipe", base, append(modes(), recipeNames()...), "pipe recipes lists the recipes; a file needs its path"); err != nil {
				return vision.Config{}, err
			}
		}
	}
	for _, item := range items {
		if !strings.Contains(item, "=") {
			item += "=true"
		}
		sets = append(sets, "input."+strings.TrimPrefix(item, "input."))
	}
	r := recipe{Set: sets}
	config, err := r.load(base)
	if err != nil {
		return vision.Config{}, cli.Wrongf("%s: %w", text, err)
	}
	return config.Input, nil
}

// modes lists the modes of the picture chain.
func modes() []string { return []string{vision.Paper, vision.MXNet2018, vision.Torchvision} }

// splitSettings cuts at the commas outside of brackets, which belong to lists.
func splitSettings(text string) (items []string) {
	depth, from := 0, 0
	for i, r := range text {
		switch r {
		case '[':
			depth++
		case ']':
			depth--
		case ',':
			if depth == 0 {
				items, from = append(items, strings.TrimSpace(text[from:i])), i+1
			}
		}
	}
	return append(items, strings.TrimSpace(text[from:]))
}

// pair is both sides at work.
type pair struct {
	c       *diffCmd
	a, b    *vision.Processor
	ca, cb  vision.Config
	buf     []byte
	pending [stepCount]stepDiff
}

func newPair(a, b vision.Config, c *diffCmd) (*pair, error) {
	open := vision.NewTrain
	if c.Eval {
		open = vision.NewEval
	}
	p := &pair{c: c, ca: a, cb: b}
	var err error
	if p.a, err = open(a, gpu.Float32); err != nil {
		return nil, err
	}
	if p.b, err = open(b, gpu.Float32); err != nil {
		p.a.Close()
		return nil, err
	}
	return p, nil
}

func (p *pair) close() {
	p.a.Close()
	p.b.Close()
}

// trace makes a record's sample on both sides.
func (p *pair) trace(split *shards.Split, record int) (a, b vision.Trace, err error) {
	src, err := split.Read(record, &p.buf)
	if err != nil {
		return a, b, err
	}
	if a, err = p.a.Trace(src, p.c.Seed, p.c.Epoch, record, nil); err == nil {
		var as *vision.Params
		if p.c.SameParams {
			as = &a.Params
		}
		b, err = p.b.Trace(src, p.c.Seed, p.c.Epoch, record, as)
	}
	if err != nil {
		err = fmt.Errorf("diff: %s: %w (run shardify verify)", split.Source(record), err)
	}
	return a, b, err
}

// compare takes the pictures of the epoch's order one by one.
func (p *pair) compare(ctx context.Context, split *shards.Split) (compared, error) {
	r := compared{A: p.c.A, B: p.c.B, Data: p.c.Data, Images: min(p.c.Images, split.Len()), SameParams: p.c.SameParams, Sheet: p.c.Out}
	order := shards.NewOrder(split.Len(), p.c.Seed, p.c.Epoch, !p.c.Eval)
	for i := range r.Images {
		if err := ctx.Err(); err != nil {
			return r, err
		}
		record := order.At(i)
		a, b, err := p.trace(split, record)
		if err != nil {
			return r, err
		}
		d := pictureDiff{Name: split.Source(record), Record: record, A: a.Params, B: b.Params, Mean: p.add(a, b)}
		if d.Geometry = !sameGeometry(a.Params, b.Params); d.Geometry {
			r.Geometry++
		}
		r.Pictures = append(r.Pictures, d)
	}
	for i, name := range stepNames() {
		d := &p.pending[i]
		d.Step = name
		d.finish()
		r.Steps = append(r.Steps, *d)
	}
	slices.SortStableFunc(r.Pictures, func(x, y pictureDiff) int { return cmp.Compare(y.Mean, x.Mean) })
	return r, nil
}

// sameGeometry reports whether the same pixels of the picture are in the same place.
func sameGeometry(a, b vision.Params) bool {
	return a.Crop == b.Crop && a.Full == b.Full && a.Flip == b.Flip
}

// add counts a picture in every step and returns its mean difference in colour.
func (p *pair) add(a, b vision.Trace) float64 {
	if part := a.Params.Full == b.Params.Full && (a.Params.Full.W > 0 || a.Params.Crop == b.Params.Crop); part {
		p.pending[stepDecode].add(len(a.Decoded), func(i int) float64 { return float64(a.Decoded[i]) - float64(b.Decoded[i]) })
	}
	p.pending[stepCut].add(len(a.Cut), func(i int) float64 { return float64(a.Cut[i]) - float64(b.Cut[i]) })
	// A's deviation makes levels of the samples: where mean and deviation of the sides
	// differ, so do these, though the colours may not.
	p.pending[stepSample].add(len(a.Sample), func(i int) float64 { return float64(a.Sample[i]-b.Sample[i]) * p.ca.Std[i%3] })
	return p.pending[stepColour].add(len(a.Levels), func(i int) float64 { return float64(a.Levels[i]) - float64(b.Levels[i]) })
}

// print writes the table.
func (r compared) print(w io.Writer, c *diffCmd) {
	fmt.Fprintf(w, "A = %s, B = %s: %d pictures of %s of %s, seed %d, epoch %d\n\n", r.A, r.B, r.Images, c.Split, r.Data, c.Seed, c.Epoch)
	fmt.Fprintf(w, "%-12s %8s %9s %9s %9s\n", "step", "pictures", "max", "mean", "PSNR")
	for _, d := range r.Steps {
		psnr := "equal"
		switch {
		case d.Images == 0:
			fmt.Fprintf(w, "%-12s %8d %9s %9s %9s\n", d.Step, 0, "-", "-", "-")
			continue
		case d.PSNR != nil:
			psnr = fmt.Sprintf("%.1f dB", *d.PSNR)
		}
		fmt.Fprintf(w, "%-12s %8d %9.3f %9.4f %9s\n", d.Step, d.Images, d.Max, d.Mean, psnr)
	}
	fmt.Fprintln(w, "\nmax and mean are levels of 0 to 255; sample is what the network sees, times A's deviation")
	if r.Geometry > 0 {
		fmt.Fprintf(w, "geometry: %d of %d pictures have another crop or flip, so that other parts are compared", r.Geometry, r.Images)
		if !c.SameParams && !c.Eval {
			fmt.Fprint(w, " (--same-params gives B those of A)")
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "sheet of the %d that differ most: %s\n", min(c.Worst, len(r.Pictures)), r.Sheet)
}

// draw writes the sheet.
func (p *pair) draw(split *shards.Split, worst []pictureDiff) error {
	sheet, err := p.sheet(split, worst)
	if err != nil {
		return err
	}
	return writePNG(p.c.Out, sheet)
}
