package vision

import (
	"image"
	"unsafe"
)

// Look makes the sample of Process as a picture to be looked at, normalisation undone,
// and returns the choices that were drawn for it. The Processor must be one of
// gpu.Float32.
func (p *Processor) Look(src []byte, seed uint64, epoch, index int) (*image.NRGBA, Params, error) {
	size := p.c.Size
	floats := make([]float32, 3*size*size)
	if err := p.Process(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(floats))), 4*len(floats)), src, seed, epoch, index); err != nil {
		return nil, Params{}, err
	}
	img := image.NewNRGBA(image.Rect(0, 0, size, size))
	for i, v := range floats {
		c := i % 3
		img.Pix[i/3*4+c] = toLevel(float32(float64(v)*p.c.Std[c] + p.c.Mean[c]))
		img.Pix[i/3*4+3] = 255
	}
	return img, p.params, nil
}
