package vision

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// Every kernel of the levels and of the resizer without antialias gives the plain form's
// bits, at every level of the instruction set.
func TestLevelKernels(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for range 40 {
		src := pixels{make([]byte, 3*97*61), 97, 61}
		for i := range src.pix {
			src.pix[i] = byte(r.Uint32())
		}
		w, h := 1+r.IntN(97), 1+r.IntN(61)
		at := Rect{r.IntN(97 - w + 1), r.IntN(61 - h + 1), w, h}
		a, b := float32(0.5+r.Float64()), float32(40*r.Float64()-20)
		noise := [3]float32{float32(30 * r.NormFloat64()), float32(30 * r.NormFloat64()), float32(30 * r.NormFloat64())}
		for level := range levels + 1 {
			for name, run := range map[string][2]func(l *lines){
				"scale":    {func(l *lines) { scaleLevelsPlain(l, a, b) }, func(l *lines) { scaleLevels(l, a, b, level) }},
				"saturate": {func(l *lines) { saturateLevelsPlain(l, a) }, func(l *lines) { saturateLevels(l, a, level) }},
				"noise":    {func(l *lines) { noiseLevelsPlain(l, noise) }, func(l *lines) { noiseLevels(l, noise, level) }},
			} {
				var want, got lines
				want.splitPlain(src, at, [3]byte{})
				got.splitPlain(src, at, [3]byte{})
				run[0](&want)
				run[1](&got)
				equalLines(t, name, &got, &want)
				if x, y := graySum(&want, level), graySumPlain(&want); x != y {
					t.Fatalf("gray sum %d at level %d, want %d", x, level, y)
				}
			}
			var l linear
			var got pixels
			ow, oh := 1+r.IntN(120), 1+r.IntN(80)
			if ow == w && oh == h || 2*ow == w && 2*oh == h {
				continue // special cases, without taps
			}
			l.resize(&got, src, at, ow, oh, Rect{0, 0, ow, oh}, level)
			want := pixels{make([]byte, 3*ow*oh), ow, oh}
			blendPlain(&want, src.pix[3*(at.Y*src.w+at.X):], 3*src.w, &l)
			if !bytes.Equal(got.pix, want.pix) {
				t.Fatalf("%+v to %dx%d at level %d differs from the plain loop", at, ow, oh, level)
			}
		}
	}
}

func equalLines(t *testing.T, name string, got, want *lines) {
	t.Helper()
	if got.w != want.w || got.h != want.h {
		t.Fatalf("%s: lines of %dx%d, want %dx%d", name, got.w, got.h, want.w, want.h)
	}
	for y := range want.h {
		r, g, b := got.row(y)
		wr, wg, wb := want.row(y)
		if !bytes.Equal(r, wr) || !bytes.Equal(g, wg) || !bytes.Equal(b, wb) {
			t.Fatalf("%s: row %d in lines differs", name, y)
		}
	}
}
