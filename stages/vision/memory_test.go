package vision

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"runtime"
	"testing"

	"bagpipe/gpu"
)

// TestScratchBoundsWhatIsAllocated holds Scratch to all that a fresh Processor allocates on
// the Go heap for one picture, garbage included.
func TestScratchBoundsWhatIsAllocated(t *testing.T) {
	for _, size := range []image.Point{{1600, 1200}, {40, 3000}, {3000, 40}, {17, 17}} {
		r := image.Rectangle{Max: size}
		for name, img := range map[string]image.Image{"gray": image.NewGray(r), "colour": image.NewRGBA(r), "16 bits": image.NewNRGBA64(r)} {
			for format, src := range encodings(t, img) {
				for _, mode := range []string{Paper, MXNet2018} {
					for _, train := range []bool{true, false} {
						t.Run(fmt.Sprintf("%v,%s,%s,%s,train=%t", size, name, format, mode, train), func(t *testing.T) { holdScratch(t, src, mode, train) })
					}
				}
			}
		}
	}
}

// encodings are the files of a picture, by format.
func encodings(t *testing.T, img image.Image) map[string][]byte {
	t.Helper()
	if m, ok := img.(*image.NRGBA64); ok { // else PNG drops the alpha, and JPEG cannot have it
		m.Set(0, 0, color.NRGBA64{1, 2, 3, 4})
	}
	var j, p bytes.Buffer
	if err := jpeg.Encode(&j, img, nil); err != nil {
		t.Fatal(err)
	}
	if err := png.Encode(&p, img); err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"jpeg": j.Bytes(), "png": p.Bytes()}
}

func holdScratch(t *testing.T, src []byte, mode string, train bool) {
	c := Default(mode, 64)
	meta, err := Meta(src)
	if err != nil {
		t.Fatal(err)
	}
	dst := make([]byte, 64*64*3*4)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	p, err := newProcessor(c, gpu.Float32, train)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Process(dst, src, 1, 0, 3); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	const tables = 1 << 20 // of one picture, and what decoders need for themselves
	got, most := int64(after.TotalAlloc-before.TotalAlloc), c.Scratch(meta, train)
	if got > most+tables {
		t.Errorf("%d bytes allocated, want at most %d", got, most)
	}
}
