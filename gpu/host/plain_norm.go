package host

import (
	"fmt"
	"math"

	"bagpipe/gpu/graph"
)

func plainBatchNorm(b *binding, op graph.BatchNorm) kernel {
	x, gamma, beta, residual := b.in(0), b.in(1), b.in(2), b.in(5)
	y, mean, inv, runMean, runVar := b.out(0), b.out(1), b.out(2), b.out(3), b.out(4)
	c := len(gamma)
	rows := float64(len(x) / c)
	means, variances := newMoments(c)
	total := rows // of the group
	// Made once, like all bodies of loops: a run allocates nothing.
	find := func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			var sum, squares float64
			for at := i; at < len(x); at += c {
				sum += float64(x[at])
			}
			m := sum / rows
			for at := i; at < len(x); at += c {
				squares += (float64(x[at]) - m) * (float64(x[at]) - m)
			}
			means[i], variances[i] = m, squares/rows
		}
	}
	use := func(_, lo, hi int) {
		// One row has no unbiased variance; it counts as 0, like the biased one.
		unbiased := total / max(total-1, 1)
		for i := lo; i < hi; i++ {
			m, v := means[i], variances[i]
			r := 1 / math.Sqrt(v+float64(op.Eps))
			mean[i], inv[i] = float32(m), float32(r)
			k := float64(op.Momentum)
			runMean[i] = float32(k*float64(runMean[i]) + (1-k)*m)
			runVar[i] = float32(k*float64(runVar[i]) + (1-k)*v*unbiased)
			for at := i; at < len(x); at += c {
				s := (float64(x[at])-m)*r*float64(gamma[i]) + float64(beta[i])
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
	return b.pooled(op.Sync, rows, means, variances, poolMoments,
		func() { b.dev.team.split(c, find) },
		func(rows float64) { total = rows; b.dev.team.split(c, use) })
}

func plainBatchNormInfer(b *binding, op graph.BatchNormInfer) kernel {
	x, gamma, beta, mean, variance, residual, y := b.in(0), b.in(1), b.in(2), b.in(3), b.in(4), b.in(5), b.out(0)
	c := len(gamma)
	return b.loop(c, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			r := 1 / math.Sqrt(float64(variance[i])+float64(op.Eps))
			for at := i; at < len(x); at += c {
				s := (float64(x[at])-float64(mean[i]))*r*float64(gamma[i]) + float64(beta[i])
				if residual != nil {
					s += float64(residual[at])
				}
				if op.ReLU {
					s = max(s, 0)
				}
				y[at] = float32(s)
			}
		}
	})
}

func plainBatchNormGrad(b *binding, op graph.BatchNormGrad) (kernel, error) {
	dy, x, gamma, mean, inv := b.in(0), b.in(1), b.in(2), b.in(3), b.in(4)
	dx, dgamma, dbeta := b.out(0), b.out(1), b.out(2)
	var y, residual []float32
	if op.ReLU {
		if y = b.in(5); len(y) != len(x) {
			return nil, fmt.Errorf("the fused ReLU needs y as operand 5")
		}
	}
	if op.Residual {
		residual = b.out(3)
	}
	c := len(gamma)
	sums, dots := newMoments(c)
	rows := float64(len(x) / c) // of the group, later
	find := func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			var sum, dot float64
			for at := i; at < len(x); at += c {
				d := masked(dy, y, at)
				sum += float64(d)
				dot += float64(d) * (float64(x[at]) - float64(mean[i])) * float64(inv[i])
			}
			sums[i], dots[i] = sum, dot
			dgamma[i], dbeta[i] = float32(dot), float32(sum)
		}
	}
	use := func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			for at := i; at < len(x); at += c {
				d := masked(dy, y, at)
				hat := (float64(x[at]) - float64(mean[i])) * float64(inv[i])
				dx[at] = float32(float64(gamma[i]) * float64(inv[i]) * (float64(d) - sums[i]/rows - hat*dots[i]/rows))
				if residual != nil {
					residual[at] = d
				}
			}
		}
	}
	return b.pooled(op.Sync, rows, sums, dots, poolSums,
		func() { b.dev.team.split(c, find) },
		func(total float64) { rows = total; b.dev.team.split(c, use) }), nil
}

// masked is dy where y > 0; a nil y masks nothing.
func masked(dy, y []float32, i int) float32 {
	if y != nil && !(y[i] > 0) {
		return 0
	}
	return dy[i]
}
