package vision

// pixels is an 8-bit picture, RGB interleaved, rows without gaps.
type pixels struct {
	pix  []byte
	w, h int
}

// resize makes room for w x h pixels, in the memory it has where that suffices.
// Contents are arbitrary.
func (p *pixels) resize(w, h int) { p.w, p.h, p.pix = w, h, grow(p.pix, w*h*3) }

// keep cuts p down to the part that rect names.
func (p *pixels) keep(rect Rect) {
	for y := range rect.H {
		copy(p.pix[3*y*rect.W:][:3*rect.W], p.pix[3*((rect.Y+y)*p.w+rect.X):])
	}
	p.w, p.h, p.pix = rect.W, rect.H, p.pix[:3*rect.W*rect.H]
}

// lines is an 8-bit picture by lines of one colour: each row is a line of red, one
// of green and one of blue, pitch bytes each. So a row-wise filter can take the
// whole as one gray plane of 3h lines, and a column-wise one as a plane of h lines
// of 3*pitch pixels.
type lines struct {
	pix         []byte
	w, h, pitch int
}

// slack bytes follow the last line, since rez's vector loads may reach behind it.
const slack = 64

func (l *lines) resize(w, h int) {
	l.w, l.h, l.pitch = w, h, (w+15)&^15
	l.pix = grow(l.pix, 3*h*l.pitch+slack)
}

// row returns the three lines of row y.
func (l *lines) row(y int) (r, g, b []byte) {
	at := 3 * y * l.pitch
	return l.pix[at : at+l.w], l.pix[at+l.pitch : at+l.pitch+l.w], l.pix[at+2*l.pitch : at+2*l.pitch+l.w]
}

// split fills l with the part of src that rect names; what lies outside src becomes
// fill.
func (l *lines) split(src pixels, rect Rect, fill [3]byte) {
	if rect.W > 0 && rect.H > 0 && rect.X >= 0 && rect.Y >= 0 && rect.X+rect.W <= src.w && rect.Y+rect.H <= src.h {
		l.resize(rect.W, rect.H)
		splitRows(l, src, rect.X, rect.Y, levels)
		return
	}
	l.splitPlain(src, rect, fill)
}

// splitPlain is split for any part, and what splitRows is held against.
func (l *lines) splitPlain(src pixels, rect Rect, fill [3]byte) {
	l.resize(rect.W, rect.H)
	lo, hi := min(max(0, -rect.X), rect.W), max(0, min(rect.W, src.w-rect.X))
	for y := range rect.H {
		r, g, b := l.row(y)
		sy := rect.Y + y
		from, to := lo, hi
		if sy < 0 || sy >= src.h || from > to {
			from, to = rect.W, rect.W
		}
		paint(r, g, b, 0, from, fill)
		paint(r, g, b, to, rect.W, fill)
		if from == to {
			continue
		}
		in := src.pix[3*(sy*src.w+rect.X+from) : 3*(sy*src.w+rect.X+to)]
		r, g, b = r[from:to], g[from:to], b[from:to]
		for x := range r {
			px := in[3*x : 3*x+3 : 3*x+3]
			r[x], g[x], b[x] = px[0], px[1], px[2]
		}
	}
}

// cut fills l with the part of src that rect names; what lies outside becomes fill.
func (l *lines) cut(src *lines, rect Rect, fill [3]byte) {
	l.resize(rect.W, rect.H)
	lo, hi := min(max(0, -rect.X), rect.W), max(0, min(rect.W, src.w-rect.X))
	for y := range rect.H {
		r, g, b := l.row(y)
		sy := rect.Y + y
		from, to := lo, hi
		if sy < 0 || sy >= src.h || from > to {
			from, to = rect.W, rect.W
		}
		paint(r, g, b, 0, from, fill)
		paint(r, g, b, to, rect.W, fill)
		if from < to {
			sr, sg, sb := src.row(sy)
			copy(r[from:to], sr[rect.X+from:])
			copy(g[from:to], sg[rect.X+from:])
			copy(b[from:to], sb[rect.X+from:])
		}
	}
}

func paint(r, g, b []byte, from, to int, fill [3]byte) {
	for x := from; x < to; x++ {
		r[x], g[x], b[x] = fill[0], fill[1], fill[2]
	}
}

// grow returns a slice of n bytes, of buf's memory where that suffices.
func grow(buf []byte, n int) []byte {
	if cap(buf) < n {
		return make([]byte, n, n+n/4)
	}
	return buf[:n]
}

// join interleaves l into dst, which is of the same size.
func (l *lines) join(dst pixels) {
	for y := range l.h {
		r, g, b := l.row(y)
		out := dst.pix[3*y*l.w:][:3*l.w]
		for x := range r {
			px := out[3*x : 3*x+3 : 3*x+3]
			px[0], px[1], px[2] = r[x], g[x], b[x]
		}
	}
}
