// Package vision turns an encoded picture into a finished sample: decode, crop,
// resize, flip, colour jitter, PCA lighting, normalise, each step in a file of its
// own, all fused in Processor.Process on one goroutine, so that a picture stays in
// one core's cache and is written once, straight into its slot of a batch.
//
// Three named modes say what the words mean; constants are in PAPER sections 1.1
// to 1.3 of the project's notes, golden tests in testdata/reference:
//
//   - paper: the prose of arXiv:1812.01187 section 2.1. Antialiased bilinear
//     resizing (by rez, on planes); hue, saturation and brightness scaled, PCA
//     noise and normalisation as one affine map of RGB.
//   - mxnet-2018: what the authors' code did: aspect drawn uniformly, then width and
//     height swapped half of the time; OpenCV's INTER_LINEAR without antialias;
//     brightness, contrast and saturation in random order, rounded to 8 bits after
//     each, with the luma weights of red and blue swapped; noise truncated; flip last.
//   - torchvision: aspect drawn log-uniformly, antialiased bilinear resizing.
//
// A sample's randomness is a function of (seed, epoch, record index) alone.
//
// A Processor owns its scratch memory and serves one goroutine. It never keeps src
// or dst.
package vision

import (
	"fmt"
	"math"
	"math/rand/v2"

	"bagpipe/gpu"
)

// A Processor turns encoded pictures into samples; one a worker.
type Processor struct {
	c     Config
	t     gpu.DType
	train bool

	pcg    rand.PCG
	rnd    *rand.Rand
	params Params

	dec     decoder
	decoded pixels  // the picture, or the part of it that is needed
	inLines bool    // it is in scaler.in instead
	scaler  scaler  // antialiased resizing
	linear  linear  // OpenCV's resizing
	cut     pixels  // mxnet-2018: the output-sized picture before its jitter
	lines   lines   // the output-sized picture as finish reads it
	mapping mapping // what finish applies to them; here, since C is passed its address
	level   int     // of the kernels' instruction set
}

// NewTrain returns a Processor that augments.
func NewTrain(c Config, t gpu.DType) (*Processor, error) { return newProcessor(c, t, true) }

// NewEval returns a Processor that resizes the short side, cuts the centre and
// normalises.
func NewEval(c Config, t gpu.DType) (*Processor, error) { return newProcessor(c, t, false) }

func newProcessor(c Config, t gpu.DType, train bool) (*Processor, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if t > gpu.BFloat16 {
		return nil, fmt.Errorf("vision: samples of %v, want float32, float16 or bfloat16", t)
	}
	p := &Processor{c: c, t: t, train: train, level: levels}
	p.rnd = rand.New(&p.pcg)
	p.lines.resize(c.Size, c.Size)
	return p, nil
}

// Close frees the decoder's memory.
func (p *Processor) Close() { p.dec.close() }

// Process decodes src and writes the sample, Size x Size x 3 elements in RGB order,
// into dst. Seed, epoch and index decide the randomness.
func (p *Processor) Process(dst, src []byte, seed uint64, epoch, index int) error {
	if want := p.c.Size * p.c.Size * 3 * p.t.Size(); len(dst) != want {
		return fmt.Errorf("vision: slot of %d bytes, want %d", len(dst), want)
	}
	info, err := p.dec.info(src)
	if err != nil {
		return err
	}
	p.draw(info.Width, info.Height, seed, epoch, index)
	drawn := p.params.Crop
	if err := p.decode(src, info); err != nil {
		return err
	}
	p.apply(dst)
	p.params.Crop = drawn
	return nil
}

// decode decodes what the drawn crop needs of src, to where the next step reads it
// (mxnet-2018 resizes pixels, the other modes lines), and makes the crop one of that.
func (p *Processor) decode(src []byte, info Info) (err error) {
	part := Rect{0, 0, info.Width, info.Height}
	if p.params.Full.W == 0 { // the crop is all that is needed
		part = p.params.Crop
		p.params.Crop = Rect{0, 0, part.W, part.H}
	}
	p.inLines = false
	if p.c.Mode != MXNet2018 {
		if p.inLines, err = p.dec.lines(&p.scaler.in, src, part); p.inLines || err != nil {
			return err
		}
	}
	return p.dec.part(&p.decoded, src, info, part)
}

// draw draws the parameters for a picture of w x h.
func (p *Processor) draw(w, h int, seed uint64, epoch, index int) {
	if p.train {
		p.pcg.Seed(seed^uint64(epoch)*0x9e3779b97f4a7c15, uint64(index)*0xbf58476d1ce4e5b9+1)
		p.params.draw(p.c, p.rnd, w, h)
	} else {
		p.params.centre(p.c, w, h)
	}
}

// apply runs the chain on the decoded picture with the drawn parameters.
func (p *Processor) apply(dst []byte) {
	p.cutOut()
	p.colour(dst)
}

// cutOut makes the output-sized picture: in p.cut for mxnet-2018, else in p.lines.
func (p *Processor) cutOut() {
	if p.c.Mode == MXNet2018 {
		p.cutLinear()
	} else {
		p.cutAntialiased()
	}
}

// colour makes the sample of what cutOut made, which it may overwrite.
func (p *Processor) colour(dst []byte) {
	if p.c.Mode == MXNet2018 {
		p.lines.split(p.cut, Rect{0, 0, p.c.Size, p.c.Size}, p.fill())
		jitterLevels(&p.lines, p.params, p.level)
	}
	p.finish(dst)
}

// fill is the level of the pixels that pad adds: the mean colour, so about 0 after
// normalisation.
func (p *Processor) fill() (levels [3]byte) {
	for i, m := range p.c.Mean {
		levels[i] = byte(math.RoundToEven(m))
	}
	return levels
}
