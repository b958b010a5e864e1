package vision

import "math"

// linear resizes as OpenCV's INTER_LINEAR does for 8-bit pictures: no antialias,
// weights of 11 bits, and exactly its roundings (modules/imgproc/src/resize.cpp,
// 3.4 to 4.6). Halving both sides is its one special case: a mean of four.
type linear struct {
	x, y []tap
	two  []int32 // two source rows, resized horizontally
	full pixels
}

// tap is one output position: source positions i and j and their weights.
type tap struct{ i, j, wi, wj int32 }

// cutLinear makes p.cut from the decoded picture.
func (p *Processor) cutLinear() {
	q := &p.params
	if q.Full.W == 0 {
		size := p.c.Size
		p.linear.resize(&p.cut, p.decoded, q.Crop, size, size, Rect{0, 0, size, size}, p.level)
		return
	}
	// Of the resized picture only the crop is made: all of it can be 65535 times as
	// long as high.
	x0, y0 := max(0, q.Crop.X), max(0, q.Crop.Y)
	inside := Rect{x0, y0, min(q.Full.W, q.Crop.X+q.Crop.W) - x0, min(q.Full.H, q.Crop.Y+q.Crop.H) - y0}
	whole := Rect{0, 0, p.decoded.w, p.decoded.h}
	if inside == q.Crop {
		p.linear.resize(&p.cut, p.decoded, whole, q.Full.W, q.Full.H, inside, p.level)
		return
	}
	p.cut.resize(p.c.Size, p.c.Size)
	if inside.W < 1 || inside.H < 1 { // padding alone
		p.linear.full.resize(0, 0)
	} else {
		p.linear.resize(&p.linear.full, p.decoded, whole, q.Full.W, q.Full.H, inside, p.level)
	}
	p.lines.split(p.linear.full, Rect{q.Crop.X - x0, q.Crop.Y - y0, q.Crop.W, q.Crop.H}, p.fill())
	p.lines.join(p.cut)
}

// resize resizes the part of src that rect names to w x h and keeps of that what at
// names.
func (l *linear) resize(dst *pixels, src pixels, rect Rect, w, h int, at Rect, level int) {
	dst.resize(at.W, at.H)
	row := func(y int) []byte { return src.pix[3*((rect.Y+y)*src.w+rect.X):][:3*rect.W] }
	switch {
	case rect.W == w && rect.H == h:
		for y := range at.H {
			copy(dst.pix[3*y*at.W:][:3*at.W], row(at.Y + y)[3*at.X:])
		}
		return
	case rect.W == 2*w && rect.H == 2*h:
		for y := range at.H {
			a, b, out := row(2 * (at.Y + y))[6*at.X:], row(2*(at.Y+y) + 1)[6*at.X:], dst.pix[3*y*at.W:][:3*at.W]
			for x := range out {
				k := x/3*6 + x%3
				out[x] = byte((int(a[k]) + int(a[k+3]) + int(b[k]) + int(b[k+3]) + 2) >> 2)
			}
		}
		return
	}
	l.x, l.y = taps(l.x[:0], rect.W, w, at.X, at.W, true), taps(l.y[:0], rect.H, h, at.Y, at.H, false)
	if cap(l.two) < 6*at.W {
		l.two = make([]int32, 6*at.W)
	}
	l.two = l.two[:6*at.W]
	blend(dst, src.pix[3*(rect.Y*src.w+rect.X):], 3*src.w, l, level)
}

// blendPlain fills dst from src, rows of pitch bytes, by l's taps: the portable build's,
// and what blend is held against.
func blendPlain(dst *pixels, src []byte, pitch int, l *linear) {
	n := 3 * dst.w
	a, b := l.two[:n], l.two[n:2*n]
	above, below := -1, -1 // the source rows that a and b hold
	for y, t := range l.y {
		i, j := int(t.i), int(t.j)
		if below == i {
			a, b, above, below = b, a, below, above
		}
		if above != i {
			l.horizontal(a, src[i*pitch:])
			above = i
		}
		if below != j {
			l.horizontal(b, src[j*pitch:])
			below = j
		}
		out := dst.pix[y*n:][:n]
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

// taps fills in the positions and weights of n positions that become m, count of them
// from start on. At the borders OpenCV clamps the weights of columns, but of rows only
// the positions: the same row twice, whose two products are truncated one by one.
func taps(ts []tap, n, m, start, count int, columns bool) []tap {
	scale := 1 / (float64(m) / float64(n)) // OpenCV inverts twice; the bits can differ from n/m
	for x := range count {
		f := float32((float64(start+x)+0.5)*scale - 0.5)
		i := int(math.Floor(float64(f)))
		f -= float32(i)
		if columns && i < 0 {
			i, f = 0, 0
		}
		if columns && i >= n-1 {
			i, f = n-1, 0
		}
		one := float32(2048)
		ts = append(ts, tap{int32(min(max(i, 0), n-1)), int32(min(max(i+1, 0), n-1)), int32(math.RoundToEven(float64((1 - f) * one))), int32(math.RoundToEven(float64(f * one)))})
	}
	return ts
}
