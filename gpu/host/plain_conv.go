package host

import (
	"fmt"

	"bagpipe/gpu"
	"bagpipe/gpu/graph"
)

// A convolution is the geometry of a Conv2D and its gradients.
type convolution struct {
	n, h, w, c  int // x
	o, kh, kw   int // weights; kernel channels are c/groups
	oh, ow      int // y
	stride, pad int
	groups      int
}

// newConvolution checks that the three shapes belong together.
func newConvolution(op graph.Conv2D, x, w, y gpu.Shape) (g convolution, err error) {
	t, err := op.Infer([]*graph.Value{{Shape: x}, {Shape: w}})
	if err != nil {
		return g, err
	}
	if !t[0].Shape.Equal(y) {
		return g, fmt.Errorf("y is %v, want %v from x %v and w %v", y, t[0].Shape, x, w)
	}
	return convolution{n: x[0], h: x[1], w: x[2], c: x[3], o: w[0], kh: w[1], kw: w[2],
		oh: y[1], ow: y[2], stride: op.Stride, pad: op.Pad, groups: op.Groups}, nil
}

// convolution is the geometry of the node's op.
func (b *binding) convolution() (convolution, error) {
	in, out := b.node.In, b.node.Out
	switch op := b.node.Op.(type) {
	case graph.Conv2D:
		return newConvolution(op, in[0].Shape, in[1].Shape, out[0].Shape)
	case graph.Conv2DGradX:
		return newConvolution(op.Conv, op.X, in[1].Shape, in[0].Shape)
	case graph.Conv2DGradW:
		return newConvolution(op.Conv, in[0].Shape, op.W, in[1].Shape)
	}
	return convolution{}, fmt.Errorf("not a convolution")
}

// output returns the one output position below n, if any, that reads input
// position i through kernel offset k: o*stride - pad + k = i.
func (g *convolution) output(i, k, n int) (o int, ok bool) {
	o = i + g.pad - k
	if o < 0 || o%g.stride != 0 || o/g.stride >= n {
		return 0, false
	}
	return o / g.stride, true
}

func plainConv(b *binding, op graph.Conv2D) (kernel, error) {
	g, err := b.convolution()
	if err != nil {
		return nil, err
	}
	x, w, bias, residual, y := b.in(0), b.in(1), b.in(2), b.in(3), b.out(0)
	cg, og := g.c/g.groups, g.o/g.groups
	return b.loop(g.n*g.oh, func(lo, hi int) {
		for row := lo; row < hi; row++ {
			n, oy := row/g.oh, row%g.oh
			for ox := range g.ow {
				for o := range g.o {
					var s float64
					if bias != nil {
						s = float64(bias[o])
					}
					for ky := range g.kh {
						iy := oy*g.stride - g.pad + ky
						if iy < 0 || iy >= g.h {
							continue
						}
						for kx := range g.kw {
							ix := ox*g.stride - g.pad + kx
							if ix < 0 || ix >= g.w {
								continue
							}
							xs := x[((n*g.h+iy)*g.w+ix)*g.c+o/og*cg:][:cg]
							ws := w[((o*g.kh+ky)*g.kw+kx)*cg:][:cg]
							for i, v := range xs {
								s += float64(v) * float64(ws[i])
							}
						}
					}
					at := (row*g.ow+ox)*g.o + o
					if residual != nil {
						s += float64(residual[at])
					}
					if op.ReLU {
						s = max(s, 0)
					}
					y[at] = float32(s)
				}
			}
		}
	}), nil
}

func plainConvGradX(b *binding, _ graph.Conv2DGradX) (kernel, error) {
	g, err := b.convolution()
	if err != nil {
		return nil, err
	}
	dy, w, dx := b.in(0), b.in(1), b.out(0)
	cg, og := g.c/g.groups, g.o/g.groups
	sums := make([]float64, b.dev.team.size()*g.c)
	return b.parts(g.n*g.h, func(part, lo, hi int) {
		sum := sums[part*g.c:][:g.c]
		for row := lo; row < hi; row++ {
			n, iy := row/g.h, row%g.h
			for ix := range g.w {
				clear(sum)
				for ky := range g.kh {
					oy, ok := g.output(iy, ky, g.oh)
					if !ok {
						continue
					}
					for kx := range g.kw {
						ox, ok := g.output(ix, kx, g.ow)
						if !ok {
							continue
						}
						for o, d := range dy[((n*g.oh+oy)*g.ow+ox)*g.o:][:g.o] {
							s := sum[o/og*cg:][:cg]
							for i, v := range w[((o*g.kh+ky)*g.kw+kx)*cg:][:cg] {
								s[i] += float64(d) * float64(v)
							}
						}
					}
				}
				for i, s := range sum {
					dx[(row*g.w+ix)*g.c+i] = float32(s)
				}
			}
		}
	}), nil
}

func plainConvGradW(b *binding, _ graph.Conv2DGradW) (kernel, error) {
	g, err := b.convolution()
	if err != nil {
		return nil, err
	}
	x, dy, dw := b.in(0), b.in(1), b.out(0)
	cg, og := g.c/g.groups, g.o/g.groups
	sums := make([]float64, b.dev.team.size()*cg)
	return b.parts(g.o*g.kh*g.kw, func(part, lo, hi int) {
		sum := sums[part*cg:][:cg]
		for at := lo; at < hi; at++ {
			o, ky, kx := at/(g.kh*g.kw), at/g.kw%g.kh, at%g.kw
			clear(sum)
			for row := range g.n * g.oh {
				n, iy := row/g.oh, row%g.oh*g.stride-g.pad+ky
				if iy < 0 || iy >= g.h {
					continue
				}
				for ox := range g.ow {
					ix := ox*g.stride - g.pad + kx
					if ix < 0 || ix >= g.w {
						continue
					}
					d := float64(dy[(row*g.ow+ox)*g.o+o])
					for i, v := range x[((n*g.h+iy)*g.w+ix)*g.c+o/og*cg:][:cg] {
						sum[i] += d * float64(v)
					}
				}
			}
			for i, s := range sum {
				dw[at*cg+i] = float32(s)
			}
		}
	}), nil
}

func plainBiasGrad(b *binding) kernel {
	dy, db := b.in(0), b.out(0)
	c := len(db)
	return b.loop(c, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			var s float64
			for at := i; at < len(dy); at += c {
				s += float64(dy[at])
			}
			db[i] = float32(s)
		}
	})
}

func plainLinear(b *binding) kernel {
	x, w, bias, y := b.in(0), b.in(1), b.in(2), b.out(0)
	k, outs := b.node.In[0].Shape[1], b.node.In[1].Shape[0]
	return b.loop(len(y), func(lo, hi int) {
		for at := lo; at < hi; at++ {
			n, o := at/outs, at%outs
			s := dot(x[n*k:][:k], w[o*k:][:k])
			if bias != nil {
				s += float64(bias[o])
			}
			y[at] = float32(s)
		}
	})
}

func plainLinearGradX(b *binding) (kernel, error) {
	dy, w, dx := b.in(0), b.in(1), b.out(0)
	outs, k := b.node.In[1].Shape[0], b.node.In[1].Shape[1]
	if len(dy) != len(dx)/k*outs {
		return nil, fmt.Errorf("dy %v does not fit w %v", b.node.In[0].Shape, b.node.In[1].Shape)
	}
	return b.loop(len(dx), func(lo, hi int) {
		for at := lo; at < hi; at++ {
			n, i := at/k, at%k
			var s float64
			for o, d := range dy[n*outs:][:outs] {
				s += float64(d) * float64(w[o*k+i])
			}
			dx[at] = float32(s)
		}
	}), nil
}

func plainLinearGradW(b *binding) (kernel, error) {
	x, dy, dw := b.in(0), b.in(1), b.out(0)
	k, outs := b.node.In[0].Shape[1], b.node.In[1].Shape[1]
	rows := len(x) / k
	if len(dy) != rows*outs {
		return nil, fmt.Errorf("dy %v does not fit x %v", b.node.In[1].Shape, b.node.In[0].Shape)
	}
	return b.loop(len(dw), func(lo, hi int) {
		for at := lo; at < hi; at++ {
			o, i := at/k, at%k
			var s float64
			for n := range rows {
				s += float64(dy[n*outs+o]) * float64(x[n*k+i])
			}
			dw[at] = float32(s)
		}
	}), nil
}

func dot(a, b []float32) (s float64) {
	for i, v := range a {
		s += float64(v) * float64(b[i])
	}
	return s
}
