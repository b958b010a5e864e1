package vision

import (
	"bytes"
	"fmt"
	"math"
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

// Every level rounds to 16 bits as package gpu does: ties, a hair off them, subnormal
// results, the step to the normal ones, the step to infinity, and random bits.
func TestMapLinesRounds(t *testing.T) {
	l := inLines(pixels{pix: ramp(256), w: 256, h: 1})
	f := mapping{lo: [3]float32{-math.MaxFloat32, -math.MaxFloat32, -math.MaxFloat32}, hi: [3]float32{math.MaxFloat32, math.MaxFloat32, math.MaxFloat32}}
	for _, c := range []struct{ step, from float32 }{
		{0x1p-11, 1}, {-0x1p-11, -1}, {0x1p-11, 1 + 0x1p-23}, {0x1p-11, 1 - 0x1p-24},
		{0x1p-26, 0}, {-0x1p-25, 0}, {0x1p-26, 0x1p-14 - 0x1p-19}, {16, 63488}, {-16, -63488 - 0x1p-8},
		{0x1p-8, 1}, {-0x1p-8, -1}, {0x1p-8, 1 + 0x1p-23}, {0x1p-136, 0}, {0x1p112, 0x1.fep127},
	} {
		f.m = [12]float32{c.step, 0, 0, c.from, 0, c.step, 0, c.from, 0, 0, c.step, c.from}
		sameRounding(t, &l, &f)
	}
	r := rand.New(rand.NewPCG(3, 4))
	l = inLines(scene(1, 33, 1)) // the portable rounding comes behind the first 32
	for range 20000 {
		f.m = [12]float32{}
		for c := range 3 {
			f.m[4*c+3] = math.Float32frombits(r.Uint32())
			if v := f.m[4*c+3]; v != v || math.IsInf(float64(v), 0) {
				f.m[4*c+3] = 0
			}
		}
		sameRounding(t, &l, &f)
	}
}

// ramp is n gray pixels of the levels 0 up to n-1.
func ramp(n int) []byte {
	pix := make([]byte, 3*n)
	for i := range pix {
		pix[i] = byte(i / 3)
	}
	return pix
}

// sameRounding holds every level's 16-bit results to those that package gpu rounds
// from the float32 ones.
func sameRounding(t *testing.T, l *lines, f *mapping) {
	t.Helper()
	n := 3 * l.w * l.h
	exact, got := make([]byte, 4*n), make([]byte, 2*n)
	mapLinesPlain(exact, gpu.Float32, l, f, false)
	for dt, narrow := range map[gpu.DType]func(float32) uint16{gpu.Float16: gpu.ToFloat16, gpu.BFloat16: gpu.ToBFloat16} {
		for level := range levels + 1 {
			mapLines(got, dt, l, f, false, level)
			for i, v := range asFloats(exact) {
				if h := asHalves(got)[i]; h != narrow(v) {
					t.Fatalf("level %d: %x becomes %v %#04x, want %#04x", level, v, dt, h, narrow(v))
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
