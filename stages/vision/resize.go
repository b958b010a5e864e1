package vision

import (
	"math"

	"github.com/bamiaux/rez"
)

// cutAntialiased makes p.lines from the decoded picture: crop, then resize, or the
// other way round for a centre crop.
func (p *Processor) cutAntialiased() {
	q, in := &p.params, &p.scaler.in
	if q.Full.W == 0 {
		if !p.inLines {
			in.split(p.decoded, q.Crop, p.fill())
		}
		p.scaler.resize(&p.lines, p.c.Size, p.c.Size)
		return
	}
	if !p.inLines {
		in.split(p.decoded, Rect{0, 0, p.decoded.w, p.decoded.h}, p.fill())
	}
	if q.Full.W == in.w && q.Full.H == in.h {
		p.lines.cut(in, q.Crop, p.fill())
		return
	}
	if !rezCan(in.w) || !rezCan(in.h) || q.Full.W*q.Full.H > maxFull {
		p.scaler.plain(&p.lines, in, q.Full.W, q.Full.H, q.Crop, p.fill())
		return
	}
	p.scaler.resize(&p.scaler.out, q.Full.W, q.Full.H)
	p.lines.cut(&p.scaler.out, q.Crop, p.fill())
}

// maxFull bounds the pixels of a resized whole picture: a strip of 60000x1 becomes
// 4 Gpx at a short side of 256, of which the plain filter makes the crop alone.
const maxFull = 1 << 24

// scaler resizes with a triangle filter as wide as the larger of the two pixel
// grids: "bilinear with antialias", as Pillow and torchvision call it, weights that
// fall outside the picture left out and the others scaled up. rez does it, rows
// first, with 14-bit weights and 8 bits between the passes; but rez repeats the
// border pixels instead, so the first and last output of each pass, the only ones
// to reach outside, are made here.
type scaler struct {
	in, mid, out lines
	filters      map[filter]rez.Resizer
	held         int // bytes of filters
	across, down []weights
}

// filter names a table of weights.
type filter struct {
	from, to int
	vertical bool
}

// bytes estimates the size of the filter's table: 16-bit weights, which rez lays
// out eight times over for a vertical pass.
func (f filter) bytes() int {
	taps := 2 * ((max(f.from, f.to) + f.to - 1) / f.to)
	if f.vertical {
		taps *= 8
	}
	return 512 + f.to*(2*taps+2)
}

// maxFilters bounds the bytes of the tables that one Processor keeps. A random crop
// has hundreds of extents, and making a table takes some hundred allocations: the
// 830 tables of 500x375 pictures are 9 MB.
const maxFilters = 32 << 20

// resize resizes s.in to w x h into out.
func (s *scaler) resize(out *lines, w, h int) {
	if !rezCan(s.in.w) || !rezCan(s.in.h) {
		s.plain(out, &s.in, w, h, Rect{0, 0, w, h}, [3]byte{})
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
		if from.w > w {
			s.sides(to, from)
		}
		from = to
	}
	switch {
	case from.h != h:
		out.resize(w, h)
		s.filter(from.h, h, true).Resize(out.pix, from.pix, 3*from.pitch, from.h, 3*out.pitch, 3*from.pitch)
		if from.h > h {
			s.ends(out, from)
		}
	case from == &s.in:
		out.resize(w, h)
		copy(out.pix, from.pix[:3*h*from.pitch])
	}
}

// sides makes the first and the last column of dst, the picture src made narrower.
func (s *scaler) sides(dst, src *lines) {
	for _, x := range [2]int{0, dst.w - 1} {
		s.across = triangles(s.across, src.w, dst.w, x, 1)
		t := s.across[0]
		for line := range 3 * dst.h {
			in, sum := src.pix[line*src.pitch+t.first:], 0.5
			for i, u := range t.of {
				sum += u * float64(in[i])
			}
			dst.pix[line*dst.pitch+x] = byte(sum)
		}
	}
}

// ends makes the first and the last row of dst, the picture src made lower.
func (s *scaler) ends(dst, src *lines) {
	for _, y := range [2]int{0, dst.h - 1} {
		s.down = triangles(s.down, src.h, dst.h, y, 1)
		t := s.down[0]
		out := dst.pix[3*y*dst.pitch:][:3*dst.pitch]
		for x := range out {
			at, sum := 3*t.first*src.pitch+x, 0.5
			for _, v := range t.of {
				sum += v * float64(src.pix[at])
				at += 3 * src.pitch
			}
			out[x] = byte(sum)
		}
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
	if s.filters == nil {
		s.filters = map[filter]rez.Resizer{}
	}
	for old := range s.filters { // in random order
		if s.held+key.bytes() <= maxFilters {
			break
		}
		delete(s.filters, old)
		s.held -= old.bytes()
	}
	f := rez.NewResize(&rez.ResizerConfig{Input: from, Output: to, Vertical: vertical, Threads: 1}, rez.NewBilinearFilter())
	s.filters[key] = f
	s.held += key.bytes()
	return f
}

// plain is the same filter in floating point, for the extents that rez cannot take;
// it is also what the tests hold rez against. dst becomes the part of the w x h
// picture that at names; what lies outside becomes fill.
func (s *scaler) plain(dst, src *lines, w, h int, at Rect, fill [3]byte) {
	dst.resize(at.W, at.H)
	x0, x1 := min(max(0, at.X), w), max(min(w, at.X+at.W), 0)
	y0, y1 := min(max(0, at.Y), h), max(min(h, at.Y+at.H), 0)
	s.across = triangles(s.across, src.w, w, x0, x1-x0)
	s.down = triangles(s.down, src.h, h, y0, y1-y0)
	var out [3][]byte
	for y := range at.H {
		out[0], out[1], out[2] = dst.row(y)
		for x := range at.W {
			px, py := at.X+x, at.Y+y
			if px < x0 || px >= x1 || py < y0 || py >= y1 {
				paint(out[0], out[1], out[2], x, x+1, fill)
				continue
			}
			across, down := s.across[px-x0], s.down[py-y0]
			var sum [3]float64
			for j, v := range down.of {
				r, g, b := src.row(down.first + j)
				for i, u := range across.of {
					sum[0] += u * v * float64(r[across.first+i])
					sum[1] += u * v * float64(g[across.first+i])
					sum[2] += u * v * float64(b[across.first+i])
				}
			}
			for c := range out {
				out[c][x] = byte(sum[c] + 0.5)
			}
		}
	}
}

// weights are those of one output position, for the source positions from first on.
type weights struct {
	first int
	of    []float64
}

// triangles returns the weights of count output positions from start on when n
// positions become m, in the memory of ts.
func triangles(ts []weights, n, m, start, count int) []weights {
	for len(ts) < count {
		ts = append(ts, weights{})
	}
	ts = ts[:max(0, count)]
	scale := max(float64(n)/float64(m), 1)
	for i := range ts {
		t := &ts[i]
		centre := (float64(start+i)+0.5)*float64(n)/float64(m) - 0.5
		t.first = max(0, int(math.Ceil(centre-scale)))
		t.of = t.of[:0]
		sum := 0.0
		for k := t.first; k <= min(n-1, int(math.Floor(centre+scale))); k++ {
			w := max(0, 1-math.Abs(float64(k)-centre)/scale)
			t.of = append(t.of, w)
			sum += w
		}
		for k := range t.of {
			t.of[k] /= sum
		}
	}
	return ts
}
