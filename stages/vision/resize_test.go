package vision

import (
	"math/rand/v2"
	"testing"
)

// scene returns a picture of smooth colours, an edge and noise that differs by seed.
func scene(seed uint64, w, h int) pixels {
	r := rand.New(rand.NewPCG(seed, 5))
	p := pixels{make([]byte, 3*w*h), w, h}
	var slope, at [3]float64
	for c := range 3 {
		slope[c], at[c] = 2*r.Float64()-1, 255*r.Float64()
	}
	ex, ey, noise := r.IntN(w), r.IntN(h), 30*r.Float64()
	for y := range h {
		for x := range w {
			for c := range 3 {
				v := at[c] + slope[c]*200*float64(x-y)/float64(w+h) + noise*r.NormFloat64()
				if x > ex && y > ey {
					v = 255 - v
				}
				p.pix[3*(y*w+x)+c] = toLevel(float32(v))
			}
		}
	}
	return p
}

func inLines(p pixels) (l lines) {
	l.split(p, Rect{0, 0, p.w, p.h}, [3]byte{})
	return l
}

// differ returns the largest difference of two pictures.
func differ(a, b *lines) (worst int) {
	for y := range a.h {
		ar, ag, ab := a.row(y)
		br, bg, bb := b.row(y)
		for x := range ar {
			for _, d := range [3]int{int(ar[x]) - int(br[x]), int(ag[x]) - int(bg[x]), int(ab[x]) - int(bb[x])} {
				worst = max(worst, d, -d)
			}
		}
	}
	return worst
}

// rez's 14-bit weights and the 8 bits between the passes keep it within a level of
// the plain filter, borders included, for any extents that it takes. It is 5 times as
// fast (BenchmarkResize).
func TestScalerIsTheTriangle(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var s, exact scaler
	var got, want lines
	counts := map[int]int{}
	extents := [][4]int{{4, 4, 1, 1}, {5, 5, 1, 1}, {4, 7, 3, 2}, {6, 6, 2, 3}, {300, 4, 224, 224}, {500, 375, 224, 224}, {16, 16, 224, 224}, {224, 224, 224, 224},
		{100, 224, 224, 224}, {224, 100, 224, 224}, {1023, 5, 1, 224}, {32767, 4, 7, 7}}
	for range 250 {
		extents = append(extents, [4]int{4 + r.IntN(120), 4 + r.IntN(120), 1 + r.IntN(60), 1 + r.IntN(60)})
	}
	for i, e := range extents {
		s.in = inLines(scene(uint64(i), e[0], e[1]))
		s.resize(&got, e[2], e[3])
		exact.plain(&want, &s.in, e[2], e[3], Rect{0, 0, e[2], e[3]}, [3]byte{})
		if got.w != e[2] || got.h != e[3] {
			t.Fatalf("%v: result of %dx%d", e, got.w, got.h)
		}
		d := differ(&got, &want)
		counts[d]++
		if d > 1 {
			t.Errorf("%dx%d to %dx%d: %d levels from the triangle filter", e[0], e[1], e[2], e[3], d)
		}
	}
	t.Logf("resizings by their largest difference in levels: %v", counts)
}

// A window of the plain filter is that part of the whole, with fill around it.
func TestPlainWindow(t *testing.T) {
	in := inLines(scene(1, 30, 3))
	var s scaler
	var whole, part, want lines
	s.plain(&whole, &in, 70, 9, Rect{0, 0, 70, 9}, [3]byte{})
	fill := [3]byte{1, 2, 3}
	for _, at := range []Rect{{0, 0, 70, 9}, {10, 2, 20, 5}, {-3, -2, 12, 14}, {65, 8, 9, 9}, {80, 0, 4, 4}, {-9, -9, 4, 4}} {
		s.plain(&part, &in, 70, 9, at, fill)
		want.cut(&whole, at, fill)
		if d := differ(&part, &want); d != 0 {
			t.Errorf("window %+v differs by %d levels", at, d)
		}
	}
}

// The same of OpenCV's filter, halving and copying included.
func TestLinearWindow(t *testing.T) {
	src := scene(2, 30, 20)
	rect := Rect{2, 4, 24, 14}
	var l linear
	for _, full := range [][2]int{{24, 14}, {12, 7}, {31, 17}, {9, 30}, {48, 28}} {
		var whole, part pixels
		l.resize(&whole, src, rect, full[0], full[1], Rect{0, 0, full[0], full[1]}, levels)
		for _, at := range []Rect{{0, 0, 5, 5}, {3, 2, 6, 5}, {full[0] - 4, full[1] - 3, 4, 3}} {
			l.resize(&part, src, rect, full[0], full[1], at, levels)
			for y := range at.H {
				got, want := part.pix[3*y*at.W:][:3*at.W], whole.pix[3*((at.Y+y)*full[0]+at.X):][:3*at.W]
				if string(got) != string(want) {
					t.Fatalf("to %v: row %d of window %+v differs", full, y, at)
				}
			}
		}
	}
}

// The tables that a scaler keeps stay within their budget.
func TestFilterBudget(t *testing.T) {
	var s scaler
	for from := 1000; from < 2200; from++ {
		s.filter(from, 224, true)
		s.filter(from, 224, false)
	}
	held := 0
	for f := range s.filters {
		held += f.bytes()
	}
	if held != s.held || held > maxFilters || held < maxFilters/2 {
		t.Errorf("%d tables of %d bytes, counted as %d, budget %d", len(s.filters), held, s.held, maxFilters)
	}
}

func BenchmarkResize(b *testing.B) {
	var s scaler
	var l linear
	var out lines
	var dst pixels
	src := scene(1, 500, 375)
	whole := Rect{0, 0, 500, 375}
	for name, f := range map[string]func(){
		"rez": func() { s.in.split(src, whole, [3]byte{}); s.resize(&out, 224, 224) },
		"plain": func() {
			s.in.split(src, whole, [3]byte{})
			s.plain(&out, &s.in, 224, 224, Rect{0, 0, 224, 224}, [3]byte{})
		},
		"linear": func() { l.resize(&dst, src, whole, 224, 224, Rect{0, 0, 224, 224}, levels) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "img/s")
		})
	}
}
