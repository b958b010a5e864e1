package vision

import (
	"math"

	"github.com/bamiaux/rez"
)

// cutAntialiased makes p.lines from the decoded picture: crop, then resize, or the
// other way round for a centre crop.
func (p *Processor) cutAntialiased() {
	q := &p.params
	if q.Full.W == 0 {
		p.scaler.in.split(p.decoded, q.Crop, p.fill())
		p.scaler.resize(&p.lines, p.c.Size, p.c.Size)
		return
	}
	if q.Full.W == p.decoded.w && q.Full.H == p.decoded.h {
		p.lines.split(p.decoded, q.Crop, p.fill())
		return
	}
	p.scaler.in.split(p.decoded, Rect{0, 0, p.decoded.w, p.decoded.h}, p.fill())
	p.scaler.resize(&p.scaler.out, q.Full.W, q.Full.H)
	p.lines.cut(&p.scaler.out, q.Crop, p.fill())
}

// scaler resizes with a triangle filter as wide as the larger of the two pixel
// grids: "bilinear with antialias", as Pillow and torchvision call it. rez does
// it, rows first, with 14-bit weights and 8 bits between the passes.
type scaler struct {
	in, mid, out lines
	filters      map[filter]rez.Resizer
}

// filter names a table of weights.
type filter struct {
	from, to int
	vertical bool
}

// maxFilters bounds the memory of the tables: about 30 KB each.
const maxFilters = 512

// resize resizes s.in to w x h into out.
func (s *scaler) resize(out *lines, w, h int) {
	if !rezCan(s.in.w) || !rezCan(s.in.h) {
		out.resize(w, h)
		resizePlain(out, &s.in)
		return
	}
	from := &s.in
	if from.w != w {
		to := &s.mid
		if from.h == h {
			to = out
		}
		to.resize(w, from.h)
		s.filter(from.w, w, false).Resize(to.pix, from.pix, from.w, 3*from.h, to.pitch, from.pitch)
		from = to
	}
	switch {
	case from.h != h:
		out.resize(w, h)
		s.filter(from.h, h, true).Resize(out.pix, from.pix, 3*from.pitch, from.h, 3*out.pitch, 3*from.pitch)
	case from == &s.in:
		out.resize(w, h)
		copy(out.pix, from.pix[:3*h*from.pitch])
	}
}

// rezCan reports whether rez handles the extent: below 2 it has no taps left, and
// its offsets are 16-bit.
func rezCan(n int) bool { return n >= 4 && n < 1<<15 }

func (s *scaler) filter(from, to int, vertical bool) rez.Resizer {
	key := filter{from, to, vertical}
	if f, ok := s.filters[key]; ok {
		return f
	}
	if s.filters == nil || len(s.filters) >= maxFilters {
		s.filters = map[filter]rez.Resizer{}
	}
	f := rez.NewResize(&rez.ResizerConfig{Input: from, Output: to, Vertical: vertical, Threads: 1}, rez.NewBilinearFilter())
	s.filters[key] = f
	return f
}

// resizePlain is the same filter in plain floating point, for the extents that rez
// cannot take; it is also what the tests hold rez against.
func resizePlain(dst, src *lines) {
	for y := range dst.h {
		y0, wy := triangle(y, src.h, dst.h)
		var out [3][]byte
		out[0], out[1], out[2] = dst.row(y)
		for x := range dst.w {
			x0, wx := triangle(x, src.w, dst.w)
			var sum [3]float64
			for j, v := range wy {
				r, g, b := src.row(y0 + j)
				for i, u := range wx {
					sum[0] += u * v * float64(r[x0+i])
					sum[1] += u * v * float64(g[x0+i])
					sum[2] += u * v * float64(b[x0+i])
				}
			}
			for c := range out {
				out[c][x] = byte(math.Round(min(max(sum[c], 0), 255)))
			}
		}
	}
}

// triangle returns the first source position and the weights of output position i
// when n positions become m.
func triangle(i, n, m int) (first int, weights []float64) {
	scale := max(float64(n)/float64(m), 1)
	centre := (float64(i)+0.5)*float64(n)/float64(m) - 0.5
	first = max(0, int(math.Ceil(centre-scale)))
	last := min(n-1, int(math.Floor(centre+scale)))
	sum := 0.0
	for k := first; k <= last; k++ {
		w := max(0, 1-math.Abs(float64(k)-centre)/scale)
		weights = append(weights, w)
		sum += w
	}
	for k := range weights {
		weights[k] /= sum
	}
	return first, weights
}
