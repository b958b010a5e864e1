package host

import (
	"fmt"
	"math"

	"bagpipe/gpu"
	"bagpipe/gpu/graph"
)

// pooling is the geometry of a pooling op and its gradient.
type pooling struct {
	n, h, w, c int // x
	oh, ow     int // y
	graph.Window
}

func newPooling(w graph.Window, x, y gpu.Shape) pooling {
	return pooling{n: x[0], h: x[1], w: x[2], c: x[3], oh: y[1], ow: y[2], Window: w}
}

// poolingGrad checks the shapes that a gradient's Infer cannot.
func poolingGrad(w graph.Window, x, dy gpu.Shape) (pooling, error) {
	t, err := graph.AvgPool{Window: w}.Infer([]*graph.Value{{Shape: x}})
	if err == nil && !t[0].Shape.Equal(dy) {
		err = fmt.Errorf("dy is %v, want %v", dy, t[0].Shape)
	}
	if err != nil {
		return pooling{}, err
	}
	return newPooling(w, x, dy), nil
}

// rows and cols return the part of the window of output (oy, ox) inside x.
func (p *pooling) rows(oy int) (lo, hi int) {
	lo = oy*p.Stride - p.Pad
	return max(lo, 0), min(lo+p.Kernel, p.h)
}

func (p *pooling) cols(ox int) (lo, hi int) {
	lo = ox*p.Stride - p.Pad
	return max(lo, 0), min(lo+p.Kernel, p.w)
}

func plainMaxPool(b *binding, op graph.MaxPool) kernel {
	p := newPooling(op.Window, b.node.In[0].Shape, b.node.Out[0].Shape)
	x, y, where := b.in(0), b.out(0), b.outInts(1)
	return b.loop(p.n*p.oh, func(lo, hi int) {
		for row := lo; row < hi; row++ {
			y0, y1 := p.rows(row % p.oh)
			image := x[row/p.oh*p.h*p.w*p.c:]
			for ox := range p.ow {
				x0, x1 := p.cols(ox)
				for c := range p.c {
					best, at := float32(math.Inf(-1)), y0*p.w+x0
					for iy := y0; iy < y1; iy++ {
						for ix := x0; ix < x1; ix++ {
							// A NaN wins, so that it is seen in the loss.
							if v := image[(iy*p.w+ix)*p.c+c]; v > best || v != v && best == best {
								best, at = v, iy*p.w+ix
							}
						}
					}
					y[(row*p.ow+ox)*p.c+c], where[(row*p.ow+ox)*p.c+c] = best, int32(at)
				}
			}
		}
	})
}

func plainMaxPoolGrad(b *binding, op graph.MaxPoolGrad) (kernel, error) {
	p, err := poolingGrad(op.Window, op.X, b.node.In[0].Shape)
	if err != nil {
		return nil, err
	}
	dy, where, dx := b.in(0), b.inInts(1), b.out(0)
	if len(where) != len(dy) {
		return nil, fmt.Errorf("positions are %v and dy is %v", b.node.In[1].Shape, b.node.In[0].Shape)
	}
	in, out := p.h*p.w*p.c, p.oh*p.ow*p.c
	return b.loop(p.n, func(lo, hi int) {
		for n := lo; n < hi; n++ {
			dst := dx[n*in:][:in]
			clear(dst)
			for i, d := range dy[n*out:][:out] {
				dst[int(where[n*out+i])*p.c+i%p.c] += d
			}
		}
	}), nil
}

func plainAvgPool(b *binding, op graph.AvgPool) kernel {
	p := newPooling(op.Window, b.node.In[0].Shape, b.node.Out[0].Shape)
	x, y := b.in(0), b.out(0)
	return b.loop(p.n*p.oh, func(lo, hi int) {
		for row := lo; row < hi; row++ {
			y0, y1 := p.rows(row % p.oh)
			image := x[row/p.oh*p.h*p.w*p.c:]
			for ox := range p.ow {
				x0, x1 := p.cols(ox)
				for c := range p.c {
					var s float64
					for iy := y0; iy < y1; iy++ {
						for ix := x0; ix < x1; ix++ {
							s += float64(image[(iy*p.w+ix)*p.c+c])
						}
					}
					y[(row*p.ow+ox)*p.c+c] = float32(s / float64((y1-y0)*(x1-x0)))
				}
			}
		}
	})
}

func plainAvgPoolGrad(b *binding, op graph.AvgPoolGrad) (kernel, error) {
	p, err := poolingGrad(op.Window, op.X, b.node.In[0].Shape)
	if err != nil {
		return nil, err
	}
	dy, dx := b.in(0), b.out(0)
	in := p.h * p.w * p.c
	return b.loop(p.n, func(lo, hi int) {
		for n := lo; n < hi; n++ {
			dst := dx[n*in:][:in]
			clear(dst)
			for oy := range p.oh {
				y0, y1 := p.rows(oy)
				for ox := range p.ow {
					x0, x1 := p.cols(ox)
					share := 1 / float32((y1-y0)*(x1-x0))
					for c, d := range dy[((n*p.oh+oy)*p.ow+ox)*p.c:][:p.c] {
						for iy := y0; iy < y1; iy++ {
							for ix := x0; ix < x1; ix++ {
								dst[(iy*p.w+ix)*p.c+c] += d * share
							}
						}
					}
				}
			}
		}
	}), nil
}

func plainGlobalAvgPool(b *binding) kernel {
	x, y, s := b.in(0), b.out(0), b.node.In[0].Shape
	area, c := s[1]*s[2], s[3]
	return b.loop(len(y), func(lo, hi int) {
		for at := lo; at < hi; at++ {
			var sum float64
			for i := range area {
				sum += float64(x[(at/c*area+i)*c+at%c])
			}
			y[at] = float32(sum / float64(area))
		}
	})
}

func plainGlobalAvgPoolGrad(b *binding, op graph.GlobalAvgPoolGrad) (kernel, error) {
	dy, dx := b.in(0), b.out(0)
	area, c := op.X[1]*op.X[2], op.X[3]
	if len(dy) != op.X[0]*c {
		return nil, fmt.Errorf("dy is %v, want [%d,%d]", b.node.In[0].Shape, op.X[0], c)
	}
	share := 1 / float32(area)
	return b.loop(op.X[0]*area, func(lo, hi int) {
		for at := lo; at < hi; at++ {
			for i, d := range dy[at/area*c:][:c] {
				dx[at*c+i] = d * share
			}
		}
	}), nil
}
