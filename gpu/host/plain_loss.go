package host

import (
	"math"

	"bagpipe/gpu/graph"
)

func plainTarget(b *binding, op graph.Target) kernel {
	a, z, lambda, y := b.inInts(0), b.inInts(1), b.in(2), b.out(0)
	// A label beyond the classes puts On nowhere.
	smooth := func(label int32, k int) float32 {
		switch {
		case label < 0:
			return 0
		case int(label) == k:
			return op.On
		}
		return op.Off
	}
	return b.loop(len(a), func(lo, hi int) {
		for n := lo; n < hi; n++ {
			for k := range op.Classes {
				y[n*op.Classes+k] = lambda[n]*smooth(a[n], k) + (1-lambda[n])*smooth(z[n], k)
			}
		}
	})
}

func plainSoftmaxCrossEntropy(b *binding) kernel {
	logits, target, loss, softmax := b.in(0), b.in(1), b.out(0), b.out(1)
	k := len(logits) / len(loss)
	return b.loop(len(loss), func(lo, hi int) {
		for n := lo; n < hi; n++ {
			row, p, t := logits[n*k:][:k], softmax[n*k:][:k], target[n*k:][:k]
			top := row[0]
			for _, v := range row {
				top = max(top, v)
			}
			var sum float64
			for _, v := range row {
				sum += math.Exp(float64(v) - float64(top))
			}
			logSum := float64(top) + math.Log(sum)
			var s float64
			for i, v := range row {
				l := float64(v) - logSum
				p[i] = float32(math.Exp(l))
				if t[i] != 0 {
					s -= float64(t[i]) * l
				}
			}
			loss[n] = float32(s)
		}
	})
}

func plainSoftmaxCrossEntropyGrad(b *binding) kernel {
	dloss, p, target, dx := b.in(0), b.in(1), b.in(2), b.out(0)
	k := len(p) / len(dloss)
	return b.loop(len(dloss), func(lo, hi int) {
		for n := lo; n < hi; n++ {
			var total float64
			for _, t := range target[n*k:][:k] {
				total += float64(t)
			}
			for i := n * k; i < (n+1)*k; i++ {
				dx[i] = float32(float64(dloss[n]) * (float64(p[i])*total - float64(target[i])))
			}
		}
	})
}

func plainTopK(b *binding, op graph.TopK) kernel {
	logits, labels, y := b.in(0), b.inInts(1), b.out(0)
	c := len(logits) / len(labels)
	return func() error {
		count := 0
		for n, label := range labels {
			if label < 0 || int(label) >= c {
				continue
			}
			row, better := logits[n*c:][:c], 0
			own := row[label]
			for i, v := range row {
				// Written so that a NaN among the logits never counts as a hit.
				if i != int(label) && !(v < own || v == own && i > int(label)) {
					better++
				}
			}
			if better < op.K {
				count++
			}
		}
		y[0] = float32(count)
		return nil
	}
}
