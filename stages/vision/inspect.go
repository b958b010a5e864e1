package vision

import (
	"fmt"
	"image"
	"slices"
	"unsafe"

	"bagpipe/gpu"
)

// Look makes the sample of Process as a picture to be looked at, normalisation undone,
// and returns the choices that were drawn for it. The Processor must be one of
// gpu.Float32.
func (p *Processor) Look(src []byte, seed uint64, epoch, index int) (*image.NRGBA, Params, error) {
	t, err := p.Trace(src, seed, epoch, index, nil)
	if err != nil {
		return nil, Params{}, err
	}
	img := image.NewNRGBA(image.Rect(0, 0, p.c.Size, p.c.Size))
	for i, v := range t.Levels {
		img.Pix[i/3*4+i%3] = toLevel(v)
		img.Pix[i/3*4+3] = 255
	}
	return img, t.Params, nil
}

// A Trace is a sample after each step of the chain, RGB row by row. It belongs to the
// caller.
type Trace struct {
	Params  Params
	Decoded []byte    // the part that was decoded: Params.Crop or, if Params.Full is set, the whole picture
	Cut     []byte    // cropped and resized, neither flipped nor coloured
	Levels  []float32 // coloured and flipped; 0..255, not rounded
	Sample  []float32 // Levels normalised, as Process writes them
}

// Trace is Process, step by step. With as it uses those parameters instead of drawing
// its own; they must have been drawn for the same picture and, where as.Full is set,
// for the same size. The Processor must be one of gpu.Float32.
func (p *Processor) Trace(src []byte, seed uint64, epoch, index int, as *Params) (Trace, error) {
	if p.t != gpu.Float32 {
		return Trace{}, fmt.Errorf("vision: trace of samples of %v, want float32", p.t)
	}
	info, err := p.dec.info(src)
	if err != nil {
		return Trace{}, err
	}
	p.draw(info.Width, info.Height, seed, epoch, index)
	if as != nil {
		p.params = *as
	}
	t := Trace{Params: p.params}
	if err := p.decode(src, info); err != nil {
		return Trace{}, err
	}
	if in := &p.scaler.in; p.inLines {
		p.decoded.resize(in.w, in.h)
		in.join(p.decoded)
	}
	t.Decoded = slices.Clone(p.decoded.pix)
	p.cutOut()
	n := 3 * p.c.Size * p.c.Size
	t.Cut, t.Levels, t.Sample = make([]byte, n), make([]float32, n), make([]float32, n)
	if p.c.Mode == MXNet2018 {
		copy(t.Cut, p.cut.pix)
	} else {
		p.lines.join(pixels{t.Cut, p.c.Size, p.c.Size})
	}
	p.colour(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(t.Sample))), 4*n))
	p.params.Crop = t.Params.Crop
	for i, v := range t.Sample {
		t.Levels[i] = float32(float64(v)*p.c.Std[i%3] + p.c.Mean[i%3])
	}
	return t, nil
}
