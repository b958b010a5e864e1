package vision

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"bagpipe/gpu"
)

// Every level of the kernel gives the plain loop's bits, for widths with and without a
// rest behind the last whole chunk, and for results that are subnormal or overflow in
// 16 bits.
func TestMapLines(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, scale := range []float32{1. / 58, 1e-7, 300} {
		var f mapping
		for i := range f.m {
			f.m[i] = scale * (2*r.Float32() - 0.7)
		}
		for c := range 3 {
			f.lo[c], f.hi[c] = -124*scale, 131*scale
		}
		for _, w := range []int{1, 5, 31, 32, 33, 64, 100, 224} {
			l := inLines(scene(uint64(w), w, 9))
			for _, dt := range []gpu.DType{gpu.Float32, gpu.Float16, gpu.BFloat16} {
				for _, flip := range []bool{false, true} {
					want, got := make([]byte, w*9*3*dt.Size()), make([]byte, w*9*3*dt.Size())
					mapLinesPlain(want, dt, &l, &f, flip)
					for level := range levels + 1 {
						mapLines(got, dt, &l, &f, flip, level)
						if !bytes.Equal(got, want) {
							t.Fatalf("level %d, %v, %d wide, flip %v, scale %g: differs from the plain loop", level, dt, w, flip, scale)
						}
					}
				}
			}
		}
	}
}

// Every level takes pixels apart as the plain loop does.
func TestSplitRows(t *testing.T) {
	src := scene(3, 150, 20)
	for _, w := range []int{1, 7, 31, 32, 64, 100, 150} {
		at := Rect{150 - w, 3, w, 17}
		var got, want lines
		want.splitPlain(src, at, [3]byte{})
		for level := range levels + 1 {
			got.resize(w, 17)
			splitRows(&got, src, at.X, at.Y, level)
			if d := differ(&got, &want); d != 0 {
				t.Fatalf("level %d, %d wide: differs by %d levels", level, w, d)
			}
		}
	}
}

func BenchmarkFinish(b *testing.B) {
	l := inLines(scene(1, 224, 224))
	f := mapping{m: [12]float32{0: 0.02, 5: 0.02, 10: 0.02}, lo: [3]float32{-2, -2, -2}, hi: [3]float32{2, 2, 2}}
	dst := make([]byte, 4*3*224*224)
	for _, dt := range []gpu.DType{gpu.Float32, gpu.Float16, gpu.BFloat16} {
		for level := -1; level <= levels; level++ {
			b.Run(fmt.Sprintf("%v/level=%d", dt, level), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if level < 0 {
						mapLinesPlain(dst[:dt.Size()*3*224*224], dt, &l, &f, true)
					} else {
						mapLines(dst[:dt.Size()*3*224*224], dt, &l, &f, true, level)
					}
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "img/s")
			})
		}
	}
}
