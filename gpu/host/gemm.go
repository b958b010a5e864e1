//go:build !cgo || cuda

package host

import (
	"gonum.org/v1/gonum/blas"
	gonum "gonum.org/v1/gonum/blas/gonum"

	"bagpipe/gpu/graph"
)

// sgemm is C = op(A)*op(B) + beta*C, row-major.
func sgemm(ta, tb blas.Transpose, m, n, k int, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	gonum.Implementation{}.Sgemm(ta, tb, m, n, k, 1, a, lda, b, ldb, beta, c, ldc)
}

// gemm returns the matrix form of a convolution or linear layer, and nil for
// other ops. Depthwise convolutions stay with the plain loop: their matrices
// have one row.
func gemm(b *binding) (kernel, error) {
	switch b.node.Op.(type) {
	case graph.Conv2D, graph.Conv2DGradX, graph.Conv2DGradW:
		g, err := b.convolution()
		if err != nil || g.groups == g.c {
			return nil, err
		}
		return gemmConv(b, g), nil
	case graph.Linear:
		return gemmLinear(b), nil
	}
	return nil, nil
}

// columns is a convolution as matrix products: the receptive field of each output
// position of one picture and one group is a row of taps elements.
type columns struct {
	convolution
	cg, og, area, taps int
}

func newColumns(g convolution) columns {
	return columns{g, g.c / g.groups, g.o / g.groups, g.oh * g.ow, g.kh * g.kw * g.c / g.groups}
}

func gemmConv(b *binding, g convolution) kernel {
	c := newColumns(g)
	scratch := make([]float32, b.dev.team.size()*c.area*c.taps)
	column := func(part int) []float32 { return scratch[part*c.area*c.taps:][:c.area*c.taps] }
	switch op := b.node.Op.(type) {
	case graph.Conv2D:
		return c.forward(b, op, column)
	case graph.Conv2DGradX:
		return c.gradX(b, column)
	}
	return c.gradW(b, column)
}

func (c *columns) forward(b *binding, op graph.Conv2D, column func(int) []float32) kernel {
	x, w, bias, residual, y := b.in(0), b.in(1), b.in(2), b.in(3), b.out(0)
	return b.parts(c.n, func(part, lo, hi int) {
		col := column(part)
		for n := lo; n < hi; n++ {
			for g := range c.groups {
				c.gather(col, x, n, g)
				sgemm(blas.NoTrans, blas.Trans, c.area, c.og, c.taps, col, c.taps, w[g*c.og*c.taps:], c.taps,
					0, y[n*c.area*c.o+g*c.og:], c.o)
			}
			c.finish(y[n*c.area*c.o:][:c.area*c.o], bias, residual, n, op.ReLU)
		}
	})
}

// finish adds what may follow a convolution to one picture's y.
func (c *columns) finish(y, bias, residual []float32, n int, relu bool) {
	for i := range y {
		if bias != nil {
			y[i] += bias[i%c.o]
		}
		if residual != nil {
			y[i] += residual[n*len(y)+i]
		}
		if relu {
			y[i] = max(y[i], 0)
		}
	}
}

func (c *columns) gradX(b *binding, column func(int) []float32) kernel {
	dy, w, dx := b.in(0), b.in(1), b.out(0)
	size := c.h * c.w * c.c
	return b.parts(c.n, func(part, lo, hi int) {
		col := column(part)
		for n := lo; n < hi; n++ {
			clear(dx[n*size:][:size])
			for g := range c.groups {
				sgemm(blas.NoTrans, blas.NoTrans, c.area, c.taps, c.og, dy[n*c.area*c.o+g*c.og:], c.o,
					w[g*c.og*c.taps:], c.taps, 0, col, c.taps)
				c.scatter(dx, col, n, g)
			}
		}
	})
}

func (c *columns) gradW(b *binding, column func(int) []float32) kernel {
	x, dy, dw := b.in(0), b.in(1), b.out(0)
	t := b.dev.team
	sums := make([]float32, t.size()*len(dw))
	pictures := b.parts(c.n, func(part, lo, hi int) {
		col, sum := column(part), sums[part*len(dw):][:len(dw)]
		clear(sum)
		for n := lo; n < hi; n++ {
			for g := range c.groups {
				c.gather(col, x, n, g)
				sgemm(blas.Trans, blas.NoTrans, c.og, c.taps, c.area, dy[n*c.area*c.o+g*c.og:], c.o,
					col, c.taps, 1, sum[g*c.og*c.taps:], c.taps)
			}
		}
	})
	parts := min(t.size(), c.n)
	total := b.loop(len(dw), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			var s float32
			for part := range parts {
				s += sums[part*len(dw)+i]
			}
			dw[i] = s
		}
	})
	return func() error {
		_ = pictures()
		return total()
	}
}

// gather copies the receptive fields of picture n and group g to col, zeros where
// they reach outside.
func (c *columns) gather(col, x []float32, n, g int) {
	c.walk(n, g, func(at, from int) {
		dst := col[at:][:c.cg]
		if from < 0 {
			clear(dst)
			return
		}
		copy(dst, x[from:])
	})
}

// scatter adds col back to the places that gather read.
func (c *columns) scatter(dx, col []float32, n, g int) {
	c.walk(n, g, func(at, to int) {
		if to < 0 {
			return
		}
		dst := dx[to:][:c.cg]
		for i, v := range col[at:][:c.cg] {
			dst[i] += v
		}
	})
}

// walk calls f for each run of cg elements of the columns with its place in x, or
// -1 where it is padding.
func (c *columns) walk(n, g int, f func(at, place int)) {
	at := 0
	for oy := range c.oh {
		for ox := range c.ow {
			for ky := range c.kh {
				iy := oy*c.stride - c.pad + ky
				for kx := range c.kw {
					ix := ox*c.stride - c.pad + kx
					place := -1
					if iy >= 0 && iy < c.h && ix >= 0 && ix < c.w {
						place = ((n*c.h+iy)*c.w+ix)*c.c + g*c.cg
					}
					f(at, place)
					at += c.cg
				}
			}
		}
	}
}

func gemmLinear(b *binding) kernel {
	x, w, bias, y := b.in(0), b.in(1), b.in(2), b.out(0)
	k, outs := b.node.In[0].Shape[1], b.node.In[1].Shape[0]
	rows := len(x) / k
	return func() error {
		sgemm(blas.NoTrans, blas.Trans, rows, outs, k, x, k, w, k, 0, y, outs)
		if bias != nil {
			for i := range y {
				y[i] += bias[i%outs]
			}
		}
		return nil
	}
}
