package vision

import (
	"os"
	"path/filepath"
	"testing"

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
