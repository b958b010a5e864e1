package host

import "bagpipe/gpu/graph"

func plainSGD(b *binding, op graph.SGD) kernel {
	w, m, g, lr := b.out(0), b.out(1), b.in(2), b.in(3)
	return b.loop(len(w), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			d := g[i] + op.WeightDecay*w[i]
			m[i] = op.Momentum*m[i] + d
			step := m[i]
			if op.Nesterov {
				step = d + op.Momentum*m[i]
			}
			w[i] -= lr[0] * step
		}
	})
}

func plainAccumulate(b *binding) kernel {
	acc, x := b.out(0), b.in(1)
	return b.loop(len(acc), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			acc[i] += x[i]
		}
	})
}

func plainClear(b *binding) kernel {
	acc := b.out(0)
	return func() error {
		clear(acc)
		return nil
	}
}

func plainEMA(b *binding) kernel {
	avg, w, decay := b.out(0), b.in(1), b.in(2)
	return b.loop(len(avg), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			avg[i] = decay[0]*avg[i] + (1-decay[0])*w[i]
		}
	})
}
