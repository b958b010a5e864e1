package vision

import (
	"unsafe"

	"bagpipe/gpu"
)

// finish maps p.lines to the sample: colour, flip, normalisation and the element
// type. In the fast form the whole colour chain is one affine map of RGB, applied
// once at the output size and clamped to 0..255 once; Config.Exact applies its steps
// one by one and clamps after each. The two differ where a step before the last one
// overflows: on photographs by 0.07 levels in the mean, and without the one clamp by
// 1.0 (TestFastColour, docs/augmentation.md). The colour of mxnet-2018 is already in
// p.lines.
func (p *Processor) finish(dst []byte) {
	norm := normalize(p.c.Mean, p.c.Std)
	switch {
	case p.c.Mode == MXNet2018 || !p.train:
		p.write(dst, norm)
	case p.c.Exact:
		p.writeExact(dst, norm)
	default:
		steps := p.params.steps(p.meanLuma())
		m := steps[0]
		for _, s := range steps[1:] {
			m = m.then(s)
		}
		p.write(dst, m.then(norm))
	}
}

// meanLuma returns the mean luma of the output-sized picture, which contrast turns
// around; 0 if contrast is off.
func (p *Processor) meanLuma() float64 {
	if p.params.Contrast == 1 {
		return 0
	}
	var sum [3]int
	for y := range p.lines.h {
		r, g, b := p.lines.row(y)
		for x := range r {
			sum[0] += int(r[x])
			sum[1] += int(g[x])
			sum[2] += int(b[x])
		}
	}
	n := float64(p.lines.w * p.lines.h)
	return (lumaR*float64(sum[0]) + lumaG*float64(sum[1]) + lumaB*float64(sum[2])) / n
}

// mapping is an affine map of RGB and the normalised levels 0 and 255, which bound
// its results.
type mapping struct {
	m      [12]float32
	lo, hi [3]float32
}

// clamp keeps v between lo and hi: half the time of min and max, which mind NaN.
func clamp(v, lo, hi float32) float32 {
	if v < lo {
		v = lo
	}
	if v > hi {
		v = hi
	}
	return v
}

// write applies m to every pixel.
func (p *Processor) write(dst []byte, m affine) {
	f := &p.mapping
	for i, row := range m {
		for k, v := range row {
			f.m[4*i+k] = float32(v)
		}
		f.lo[i], f.hi[i] = float32(-p.c.Mean[i]/p.c.Std[i]), float32((255-p.c.Mean[i])/p.c.Std[i])
	}
	mapLines(dst, p.t, &p.lines, f, p.params.Flip, p.level)
}

// mapLinesPlain maps all rows of l into dst: what mapLines is held against, and the
// portable build's.
func mapLinesPlain(dst []byte, t gpu.DType, l *lines, f *mapping, flip bool) {
	for y := range l.h {
		r, g, b := l.row(y)
		out := dst[y*l.w*3*t.Size():][:l.w*3*t.Size()]
		if t == gpu.Float32 {
			mapRow(asFloats(out), r, g, b, f, flip)
			continue
		}
		narrow := gpu.ToFloat16
		if t == gpu.BFloat16 {
			narrow = gpu.ToBFloat16
		}
		mapRowHalf(asHalves(out), r, g, b, f, flip, narrow)
	}
}

// mapRow maps one row of pixels.
func mapRow(dst []float32, r, g, b []byte, f *mapping, flip bool) {
	n := len(r)
	g, b, dst = g[:n], b[:n], dst[:3*n]
	m := &f.m
	at, step := 0, 3
	if flip {
		at, step = 3*(n-1), -3
	}
	for x := range n {
		vr, vg, vb := float32(r[x]), float32(g[x]), float32(b[x])
		px := dst[at : at+3 : at+3]
		px[0] = clamp(m[0]*vr+m[1]*vg+m[2]*vb+m[3], f.lo[0], f.hi[0])
		px[1] = clamp(m[4]*vr+m[5]*vg+m[6]*vb+m[7], f.lo[1], f.hi[1])
		px[2] = clamp(m[8]*vr+m[9]*vg+m[10]*vb+m[11], f.lo[2], f.hi[2])
		at += step
	}
}

// mapRowHalf is mapRow for the 16-bit types.
func mapRowHalf(dst []uint16, r, g, b []byte, f *mapping, flip bool, narrow func(float32) uint16) {
	n, m := len(r), &f.m
	for x := range n {
		vr, vg, vb := float32(r[x]), float32(g[x]), float32(b[x])
		at := 3 * x
		if flip {
			at = 3 * (n - 1 - x)
		}
		dst[at] = narrow(clamp(m[0]*vr+m[1]*vg+m[2]*vb+m[3], f.lo[0], f.hi[0]))
		dst[at+1] = narrow(clamp(m[4]*vr+m[5]*vg+m[6]*vb+m[7], f.lo[1], f.hi[1]))
		dst[at+2] = narrow(clamp(m[8]*vr+m[9]*vg+m[10]*vb+m[11], f.lo[2], f.hi[2]))
	}
}

// writeExact applies the colour steps one by one, clamped after each.
func (p *Processor) writeExact(dst []byte, norm affine) {
	size, steps := p.c.Size, p.params.steps(p.meanLuma())
	for y := range size {
		r, g, b := p.lines.row(y)
		for x := range size {
			v := [3]float64{float64(r[x]), float64(g[x]), float64(b[x])}
			for _, s := range steps {
				v = s.at(v[0], v[1], v[2])
				for c := range v {
					v[c] = min(max(v[c], 0), 255)
				}
			}
			v = norm.at(v[0], v[1], v[2])
			at := y*size + x
			if p.params.Flip {
				at = y*size + size - 1 - x
			}
			for c := range v {
				put(dst, p.t, 3*at+c, float32(v[c]))
			}
		}
	}
}

// put stores element i.
func put(dst []byte, t gpu.DType, i int, v float32) {
	switch t {
	case gpu.Float32:
		asFloats(dst)[i] = v
	case gpu.Float16:
		asHalves(dst)[i] = gpu.ToFloat16(v)
	case gpu.BFloat16:
		asHalves(dst)[i] = gpu.ToBFloat16(v)
	}
}

// asFloats and asHalves view a slot, which is aligned to its element type.
func asFloats(b []byte) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}

func asHalves(b []byte) []uint16 {
	return unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/2)
}
