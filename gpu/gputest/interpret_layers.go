package gputest

import (
	"math"

	"bagpipe/gpu"
	"bagpipe/gpu/graph"
)

// eachTap calls f with the indices of every product that a convolution sums:
// y[...] += x[...] * w[...].
func eachTap(op graph.Conv2D, x, w, y gpu.Shape, f func(x, w, y int)) {
	inGroup, outGroup := w[3], w[0]/op.Groups
	for at := range y.Elems() {
		o, ox, oy, n := at%y[3], at/y[3]%y[2], at/y[3]/y[2]%y[1], at/y[3]/y[2]/y[1]
		for tap := range w[1] * w[2] {
			ky, kx := tap/w[2], tap%w[2]
			iy, ix := oy*op.Stride+ky-op.Pad, ox*op.Stride+kx-op.Pad
			if iy < 0 || ix < 0 || iy >= x[1] || ix >= x[2] {
				continue
			}
			for i := range inGroup {
				f(((n*x[1]+iy)*x[2]+ix)*x[3]+o/outGroup*inGroup+i, (o*w[1]*w[2]+tap)*inGroup+i, at)
			}
		}
	}
}

func evalConv(op graph.Conv2D, in []tensor, y tensor) {
	eachTap(op, in[0].shape, in[1].shape, y.shape, func(xi, wi, yi int) { y.x[yi] += in[0].x[xi] * in[1].x[wi] })
	addBias(y, in)
	addResidual(y, in, 3, op.ReLU)
}

// eachProduct is eachTap for y [N,O] = x [N,I] times w [O,I] transposed.
func eachProduct(x, w gpu.Shape, f func(x, w, y int)) {
	for n := range x[0] {
		for o := range w[0] {
			for i := range w[1] {
				f(n*w[1]+i, o*w[1]+i, n*w[0]+o)
			}
		}
	}
}

// addBias adds operand 2, if it is there, along the last axis.
func addBias(y tensor, in []tensor) {
	if len(in) > 2 && in[2].x != nil {
		for i := range y.x {
			y.x[i] += in[2].x[i%len(in[2].x)]
		}
	}
}

// addResidual adds an operand, if it is there, and then applies ReLU.
func addResidual(y tensor, in []tensor, operand int, relu bool) {
	for i := range y.x {
		if len(in) > operand && in[operand].x != nil {
			y.x[i] += in[operand].x[i]
		}
		if relu {
			y.x[i] = max(y.x[i], 0)
		}
	}
}

func evalBatchNorm(op graph.BatchNorm, in, out []tensor) {
	c := in[0].last()
	rows := float64(len(in[0].x) / c)
	for ch := range c {
		var mean, variance float64
		for i := ch; i < len(in[0].x); i += c {
			mean += in[0].x[i] / rows
		}
		for i := ch; i < len(in[0].x); i += c {
			variance += (in[0].x[i] - mean) * (in[0].x[i] - mean) / rows
		}
		inv := 1 / math.Sqrt(variance+float64(op.Eps))
		out[1].x[ch], out[2].x[ch] = mean, inv
		k := float64(op.Momentum)
		out[3].x[ch] = k*in[3].x[ch] + (1-k)*mean
		out[4].x[ch] = k*in[4].x[ch] + (1-k)*variance*rows/max(rows-1, 1)
		for i := ch; i < len(in[0].x); i += c {
			out[0].x[i] = (in[0].x[i]-mean)*inv*in[1].x[ch] + in[2].x[ch]
		}
	}
	addResidual(out[0], in, 5, op.ReLU)
}

func evalBatchNormGrad(op graph.BatchNormGrad, in, out []tensor) {
	c := in[1].last()
	rows := float64(len(in[1].x) / c)
	masked := append([]float64(nil), in[0].x...)
	if op.ReLU {
		for i, y := range in[5].x {
			if !(y > 0) {
				masked[i] = 0
			}
		}
	}
	hat := func(i int) float64 { return (in[1].x[i] - in[3].x[i%c]) * in[4].x[i%c] }
	for i, d := range masked {
		out[1].x[i%c] += d * hat(i)
		out[2].x[i%c] += d
	}
	for i, d := range masked {
		ch := i % c
		out[0].x[i] = in[2].x[ch] * in[4].x[ch] * (d - out[2].x[ch]/rows - hat(i)*out[1].x[ch]/rows)
		if op.Residual {
			out[3].x[i] = d
		}
	}
}

// eachInside calls f for every pair of a window's output and an input position
// inside x, with the input's h*W+w and the number of inputs in the window.
func eachInside(win graph.Window, x, y gpu.Shape, f func(x, y, position, count int)) {
	covers := func(o, i int) bool { i += win.Pad; return i >= o*win.Stride && i < o*win.Stride+win.Kernel }
	count := func(o, n int) (c int) {
		for i := range n {
			if covers(o, i) {
				c++
			}
		}
		return c
	}
	for at := range y.Elems() {
		c, ox, oy, n := at%y[3], at/y[3]%y[2], at/y[3]/y[2]%y[1], at/y[3]/y[2]/y[1]
		inside := count(oy, x[1]) * count(ox, x[2])
		for p := range x[1] * x[2] {
			if covers(oy, p/x[2]) && covers(ox, p%x[2]) {
				f((n*x[1]*x[2]+p)*x[3]+c, at, p, inside)
			}
		}
	}
}
