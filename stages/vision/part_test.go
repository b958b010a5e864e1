package vision

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// A part is decoded to the same pixels as in the whole, whatever the sampling and the
// coding: its border lies inside the picture, where smoothed chroma has neighbours.
func TestPartIsOfTheWhole(t *testing.T) {
	names, _ := filepath.Glob("testdata/seeds/*")
	odd, _ := filepath.Glob(oddPictures + "/*")
	r := rand.New(rand.NewPCG(1, 9))
	var d decoder
	defer d.close()
	var whole, part pixels
	tried := 0
	for _, name := range append(names, odd...) {
		src, err := os.ReadFile(name)
		if err != nil || !small(src) || d.decode(&whole, src) != nil {
			continue
		}
		for i := range 60 {
			w, h := 1+r.IntN(whole.w), 1+r.IntN(whole.h)
			at := Rect{r.IntN(whole.w - w + 1), r.IntN(whole.h - h + 1), w, h}
			if i%4 == 0 {
				at.X, at.W = 0, whole.w
			}
			info, err := d.info(src)
			if err == nil {
				err = d.part(&part, src, info, at)
			}
			if err != nil {
				t.Fatalf("%s: part %+v: %v", name, at, err)
			}
			for y := range at.H {
				got, want := part.pix[3*y*at.W:][:3*at.W], whole.pix[3*((at.Y+y)*whole.w+at.X):][:3*at.W]
				if !bytes.Equal(got, want) {
					t.Fatalf("%s of %dx%d: row %d of part %+v differs", name, whole.w, whole.h, y, at)
				}
			}
			tried++
		}
	}
	t.Logf("%d parts", tried)
	if tried < 60*15 {
		t.Errorf("%d parts compared, want more", tried)
	}
}

// BenchmarkDecode compares a whole decode with that of a quarter in the middle.
func BenchmarkDecode(b *testing.B) {
	src := asJPEG(b, scene(6, 500, 375))
	for name, at := range map[string]Rect{"whole": {0, 0, 500, 375}, "quarter": {125, 94, 250, 187}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var d decoder
			defer d.close()
			var p pixels
			for b.Loop() {
				info, err := d.info(src)
				if err == nil {
					err = d.part(&p, src, info, at)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "img/s")
		})
	}
}
