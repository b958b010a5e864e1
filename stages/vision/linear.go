package vision

import "math"

// linear resizes as OpenCV's INTER_LINEAR does for 8-bit pictures: no antialias,
// weights of 11 bits, and exactly its roundings (modules/imgproc/src/resize.cpp,
// 3.4 to 4.6). Halving both sides is its one special case: a mean of four.
type linear struct {
	x, y []tap
	a, b []int32 // two source rows, resized horizontally
	full pixels
}

// tap is one output position: source positions i and j and their weights.
type tap struct {
	i, j   int
	wi, wj int32
}

// cutLinear makes p.cut from the decoded picture.
func (p *Processor) cutLinear() {
	q := &p.params
	if q.Full.W == 0 {
		p.linear.resize(&p.cut, p.decoded, q.Crop, p.c.Size, p.c.Size)
		return
	}
	full := p.decoded
	if q.Full.W != full.w || q.Full.H != full.h {
		p.linear.resize(&p.linear.full, p.decoded, Rect{0, 0, full.w, full.h}, q.Full.W, q.Full.H)
		full = p.linear.full
	}
	p.lines.split(full, q.Crop, p.fill())
	p.cut.resize(p.c.Size, p.c.Size)
	p.lines.join(p.cut)
}

// resize resizes the part of src that rect names to w x h.
func (l *linear) resize(dst *pixels, src pixels, rect Rect, w, h int) {
	dst.resize(w, h)
	row := func(y int) []byte { return src.pix[3*((rect.Y+y)*src.w+rect.X):][:3*rect.W] }
	switch {
	case rect.W == w && rect.H == h:
		for y := range h {
			copy(dst.pix[3*y*w:], row(y))
		}
		return
	case rect.W == 2*w && rect.H == 2*h:
		for y := range h {
			a, b, out := row(2*y), row(2*y+1), dst.pix[3*y*w:][:3*w]
			for x := range out {
				k := x/3*6 + x%3
				out[x] = byte((int(a[k]) + int(a[k+3]) + int(b[k]) + int(b[k+3]) + 2) >> 2)
			}
		}
		return
	}
	l.x, l.y = taps(l.x[:0], rect.W, w, true), taps(l.y[:0], rect.H, h, false)
	if cap(l.a) < 3*w {
		l.a, l.b = make([]int32, 3*w), make([]int32, 3*w)
	}
	a, b := l.a[:3*w], l.b[:3*w]
	above, below := -1, -1 // the source rows that a and b hold
	for y, t := range l.y {
		if below == t.i {
			a, b, above, below = b, a, below, above
		}
		if above != t.i {
			l.horizontal(a, row(t.i))
			above = t.i
		}
		if below != t.j {
			l.horizontal(b, row(t.j))
			below = t.j
		}
		out := dst.pix[3*y*w:][:3*w]
		for x := range out {
			v := (t.wi*(a[x]>>4)>>16 + t.wj*(b[x]>>4)>>16 + 2) >> 2
			out[x] = byte(v)
		}
	}
}

// horizontal resizes one row; the results carry 11 fraction bits.
func (l *linear) horizontal(dst []int32, src []byte) {
	for x, t := range l.x {
		i, j, out := src[3*t.i:3*t.i+3], src[3*t.j:3*t.j+3], dst[3*x:3*x+3]
		for c := range out {
			out[c] = int32(i[c])*t.wi + int32(j[c])*t.wj
		}
	}
}

// taps fills in the positions and weights for n positions that become m. At the
// borders OpenCV clamps the weights of columns, but of rows only the positions:
// the same row twice, whose two products are truncated one by one.
func taps(ts []tap, n, m int, columns bool) []tap {
	scale := 1 / (float64(m) / float64(n)) // OpenCV inverts twice; the bits can differ from n/m
	for x := range m {
		f := float32((float64(x)+0.5)*scale - 0.5)
		i := int(math.Floor(float64(f)))
		f -= float32(i)
		if columns && i < 0 {
			i, f = 0, 0
		}
		if columns && i >= n-1 {
			i, f = n-1, 0
		}
		one := float32(2048)
		ts = append(ts, tap{min(max(i, 0), n-1), min(max(i+1, 0), n-1), int32(math.RoundToEven(float64((1 - f) * one))), int32(math.RoundToEven(float64(f * one)))})
	}
	return ts
}
