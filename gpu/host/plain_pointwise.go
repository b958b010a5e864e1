package host

import (
	"fmt"

	"bagpipe/gpu/graph"
)

func plainReLU(b *binding) kernel {
	x, y := b.in(0), b.out(0)
	return b.loop(len(y), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			y[i] = max(x[i], 0)
		}
	})
}

func plainReLUGrad(b *binding) kernel {
	dy, y, dx := b.in(0), b.in(1), b.out(0)
	return b.loop(len(dx), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			dx[i] = masked(dy, y, i)
		}
	})
}

func plainAdd(b *binding, op graph.Add) kernel {
	x, z, y := b.in(0), b.in(1), b.out(0)
	return b.loop(len(y), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			s := x[i] + z[i]
			if op.ReLU {
				s = max(s, 0)
			}
			y[i] = s
		}
	})
}

func plainScale(b *binding, op graph.Scale) kernel {
	x, y := b.in(0), b.out(0)
	return b.loop(len(y), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			y[i] = x[i] * op.By
		}
	})
}

func plainConcat(b *binding) kernel {
	y := b.out(0)
	shape := b.node.Out[0].Shape
	width := shape[len(shape)-1]
	var parts [][]float32
	var widths []int
	for i, v := range b.node.In {
		parts = append(parts, b.in(i))
		widths = append(widths, v.Shape[len(v.Shape)-1])
	}
	return b.loop(len(y)/width, func(lo, hi int) {
		for row := lo; row < hi; row++ {
			dst := y[row*width:]
			for i, c := range widths {
				copy(dst[:c], parts[i][row*c:])
				dst = dst[c:]
			}
		}
	})
}

func plainSlice(b *binding, op graph.Slice) kernel {
	x, y := b.in(0), b.out(0)
	shape := b.node.In[0].Shape
	width := shape[len(shape)-1]
	return b.loop(len(y)/op.Len, func(lo, hi int) {
		for row := lo; row < hi; row++ {
			copy(y[row*op.Len:][:op.Len], x[row*width+op.Start:])
		}
	})
}

func plainDropout(b *binding, op graph.Dropout) kernel {
	x, counter, y := b.in(0), b.inInts(1), b.out(0)
	scale := 1 / (1 - op.P)
	return b.loop(len(y), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			if y[i] = 0; graph.DropoutMask(op.Seed, counter[0], i, op.P) {
				y[i] = x[i] * scale
			}
		}
	})
}

func plainMean(b *binding) kernel {
	x, y := b.in(0), b.out(0)
	return func() error {
		var s float64
		for _, v := range x {
			s += float64(v)
		}
		y[0] = float32(s / float64(len(x)))
		return nil
	}
}

func plainFill(b *binding, op graph.Fill) kernel {
	y := b.out(0)
	return func() error {
		fill(y, op.With)
		return nil
	}
}

func plainBroadcast(b *binding, op graph.Broadcast) kernel {
	dy, y := b.in(0), b.out(0)
	return func() error {
		fill(y, dy[0]*op.By)
		return nil
	}
}

func fill(y []float32, with float32) {
	for i := range y {
		y[i] = with
	}
}

// allReduce adds the operands up over the group; alone, it only scales.
func allReduce(b *binding, op graph.AllReduce) kernel {
	var operands [][]float32
	for i := range b.node.Out {
		operands = append(operands, b.out(i))
	}
	if b.comm == nil {
		return func() error {
			if op.Scale == 1 {
				return nil
			}
			for _, x := range operands {
				for i := range x {
					x[i] *= op.Scale
				}
			}
			return nil
		}
	}
	c := b.comm
	return func() error {
		if err := c.allReduce(operands, op.Scale); err != nil {
			return fmt.Errorf("rank %d: %w", c.rank, err)
		}
		return nil
	}
}
