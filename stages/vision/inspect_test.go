package vision

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"unsafe"

	"bagpipe/gpu"
)

// TestLook undoes the normalisation of evaluation, whose colours are the picture's own.
func TestLook(t *testing.T) {
	src, err := os.ReadFile(filepath.Join(reference, "decode.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	c := Default(Paper, 29)
	c.Crop, c.EvalShort = None, 29 // as it is, but for the sides
	p, err := NewEval(c, gpu.Float32)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	img, q, err := p.Look(src, 1, 0, 3)
	if err != nil || q.Flip || q.Hue != 1 {
		t.Fatal(q, err)
	}
	pix, w, _, err := Decode(src)
	if err != nil {
		t.Fatal(err)
	}
	for y := range 29 {
		for x := range 29 {
			want := pix[3*((q.Crop.Y+y)*w+q.Crop.X+x):][:3]
			if got := img.NRGBAAt(x, y); got.R != want[0] || got.G != want[1] || got.B != want[2] || got.A != 255 {
				t.Fatalf("(%d,%d): %v, want %v", x, y, got, want)
			}
		}
	}
}

// TestLookTellsWhereTheCropLay in the whole picture, though only it was decoded.
func TestLookTellsWhereTheCropLay(t *testing.T) {
	src, err := os.ReadFile(filepath.Join(reference, "decode.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewTrain(Default(Paper, 16), gpu.Float32)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	seen := map[Rect]bool{}
	for epoch := range 20 {
		_, q, err := p.Look(src, 1, epoch, 3)
		if err != nil {
			t.Fatal(err)
		}
		seen[Rect{q.Crop.X, q.Crop.Y, 0, 0}] = true
	}
	if len(seen) < 5 {
		t.Errorf("20 crops begin at %d places only", len(seen))
	}
}

// TestTraceIsProcess holds the steps to the sample that Process makes, and a trace with
// another one's parameters to those.
func TestTraceIsProcess(t *testing.T) {
	src, err := os.ReadFile(filepath.Join(reference, "decode.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{Paper, MXNet2018, Torchvision} {
		p, err := NewTrain(Default(mode, 16), gpu.Float32)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		want := make([]float32, 3*16*16)
		dst := unsafe.Slice((*byte)(unsafe.Pointer(&want[0])), 4*len(want))
		for index := range 5 {
			if err := p.Process(dst, src, 1, 0, index); err != nil {
				t.Fatal(err)
			}
			got, err := p.Trace(src, 1, 0, index, nil)
			if err != nil || !slices.Equal(got.Sample, want) || got.Params != p.params {
				t.Fatalf("%s, sample %d: the trace ends elsewhere than Process, %v", mode, index, err)
			}
			if n := 3 * got.Params.Crop.W * got.Params.Crop.H; len(got.Decoded) != n {
				t.Errorf("%s, sample %d: %d bytes decoded for a crop of %d", mode, index, len(got.Decoded), n)
			}
			again, err := p.Trace(src, 2, 7, index+1, &got.Params)
			if err != nil || !slices.Equal(again.Sample, want) || !slices.Equal(again.Cut, got.Cut) {
				t.Errorf("%s, sample %d: given parameters were not used, %v", mode, index, err)
			}
		}
	}
}
