package vision

import (
	"unsafe"

	"bagpipe/gpu"
)

// finish maps p.lines to the sample: colour, flip, normalisation and the element
// type. In the fast form the whole colour chain is one affine map of RGB, applied
// once at the output size; Config.Exact applies its steps one by one and clamps to
// 0..255 after each. The two differ where a step overflows: see TestFastColour.
// The colour of mxnet-2018 is already in p.lines.
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

// write applies m to every pixel.
func (p *Processor) write(dst []byte, m affine) {
	var f [12]float32
	for i, row := range m {
		for k, v := range row {
			f[4*i+k] = float32(v)
		}
	}
	size := p.c.Size
	for y := range size {
		r, g, b := p.lines.row(y)
		out := dst[y*size*3*p.t.Size():][:size*3*p.t.Size()]
		if p.t == gpu.Float32 {
			mapRow(asFloats(out), r, g, b, &f, p.params.Flip)
			continue
		}
		narrow := gpu.ToFloat16
		if p.t == gpu.BFloat16 {
			narrow = gpu.ToBFloat16
		}
		mapRowHalf(asHalves(out), r, g, b, &f, p.params.Flip, narrow)
	}
}

// mapRow maps one row of pixels.
func mapRow(dst []float32, r, g, b []byte, m *[12]float32, flip bool) {
	n := len(r)
	g, b, dst = g[:n], b[:n], dst[:3*n]
	at, step := 0, 3
	if flip {
		at, step = 3*(n-1), -3
	}
	for x := range n {
		vr, vg, vb := float32(r[x]), float32(g[x]), float32(b[x])
		px := dst[at : at+3 : at+3]
		px[0] = m[0]*vr + m[1]*vg + m[2]*vb + m[3]
		px[1] = m[4]*vr + m[5]*vg + m[6]*vb + m[7]
		px[2] = m[8]*vr + m[9]*vg + m[10]*vb + m[11]
		at += step
	}
}

// mapRowHalf is mapRow for the 16-bit types.
func mapRowHalf(dst []uint16, r, g, b []byte, m *[12]float32, flip bool, narrow func(float32) uint16) {
	n := len(r)
	for x := range n {
		vr, vg, vb := float32(r[x]), float32(g[x]), float32(b[x])
		at := 3 * x
		if flip {
			at = 3 * (n - 1 - x)
		}
		dst[at] = narrow(m[0]*vr + m[1]*vg + m[2]*vb + m[3])
		dst[at+1] = narrow(m[4]*vr + m[5]*vg + m[6]*vb + m[7])
		dst[at+2] = narrow(m[8]*vr + m[9]*vg + m[10]*vb + m[11])
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
