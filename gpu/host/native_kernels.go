//go:build cgo && !cuda

package host

// #include "native.h"
import "C"

import (
	"fmt"
	"unsafe"

	"bagpipe/gpu/graph"
)

// small is the number of elements below which a Go loop on one core is done
// before a team of threads has met.
const small = 4096

// always makes a kernel of a call that cannot fail.
func always(call func()) kernel {
	return func() error {
		call()
		return nil
	}
}

func flag(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

func doubles(xs []float64) *C.double { return (*C.double)(unsafe.SliceData(xs)) }

func positions(xs []int32) *C.int32_t { return (*C.int32_t)(unsafe.SliceData(xs)) }

// fastNorm makes the batch norms: one pass for the statistics and one that
// applies them, with the residual and ReLU in it.
func fastNorm(b *binding) (kernel, error) {
	channels := len(b.in(2))
	k := &C.norm{c: C.int64_t(channels), threads: C.int(b.dev.threads)}
	scratch, err := b.own(4 * int(C.batch_norm_scratch(k.c, k.threads)))
	if err != nil {
		return nil, err
	}
	k.scratch = (*C.float)(start(scratch))
	in := func(i int) *C.float { return pointer(b.in(i)) }
	switch op := b.node.Op.(type) {
	case graph.BatchNorm:
		k.rows, k.eps, k.momentum, k.relu = C.int64_t(len(b.in(0))/channels), C.float(op.Eps), C.float(op.Momentum), flag(op.ReLU)
		x, gamma, beta, residual := in(0), in(1), in(2), in(5)
		y, mean, inv, runMean, runVar := pointer(b.out(0)), pointer(b.out(1)), pointer(b.out(2)), pointer(b.out(3)), pointer(b.out(4))
		m, v := newMoments(channels)
		return b.pooled(op.Sync, float64(k.rows), m, v, poolMoments, func() {
			C.batch_norm_moments(k, x, doubles(m), doubles(v))
		}, func(rows float64) {
			C.batch_norm_apply(k, x, doubles(m), doubles(v), C.double(rows), gamma, beta, residual, y, mean, inv, runMean, runVar)
		}), nil
	case graph.BatchNormInfer:
		k.rows, k.eps, k.relu = C.int64_t(len(b.in(0))/channels), C.float(op.Eps), flag(op.ReLU)
		x, gamma, beta, mean, variance, residual, y := in(0), in(1), in(2), in(3), in(4), in(5), pointer(b.out(0))
		return always(func() { C.batch_norm_infer(k, x, gamma, beta, mean, variance, residual, y) }), nil
	case graph.BatchNormGrad:
		k.rows = C.int64_t(len(b.in(1)) / channels)
		var y, dresidual *C.float
		if op.ReLU {
			if len(b.in(5)) != len(b.in(1)) {
				return nil, fmt.Errorf("the fused ReLU needs y as operand 5")
			}
			y = in(5)
		}
		if op.Residual {
			dresidual = pointer(b.out(3))
		}
		dy, x, gamma, mean, inv := in(0), in(1), in(2), in(3), in(4)
		dx, dgamma, dbeta := pointer(b.out(0)), b.out(1), b.out(2)
		sum, dot := newMoments(channels)
		return b.pooled(op.Sync, float64(k.rows), sum, dot, poolSums, func() {
			C.batch_norm_grad_sums(k, dy, x, mean, inv, y, dresidual, doubles(sum), doubles(dot))
			narrow(dbeta, sum)
			narrow(dgamma, dot)
		}, func(rows float64) {
			C.batch_norm_grad_apply(k, doubles(sum), doubles(dot), C.double(rows), dy, x, gamma, mean, inv, y, dx, dresidual)
		}), nil
	}
	return nil, nil
}

func (p pooling) native() *C.window {
	return &C.window{n: C.int(p.n), h: C.int(p.h), w: C.int(p.w), c: C.int(p.c), oh: C.int(p.oh), ow: C.int(p.ow),
		kernel: C.int(p.Kernel), stride: C.int(p.Stride), pad: C.int(p.Pad)}
}

func fastPool(b *binding) (kernel, error) {
	in, out := b.node.In, b.node.Out
	switch op := b.node.Op.(type) {
	case graph.MaxPool:
		w := newPooling(op.Window, in[0].Shape, out[0].Shape).native()
		x, y, where := pointer(b.in(0)), pointer(b.out(0)), positions(b.outInts(1))
		return always(func() { C.max_pool(w, x, y, where) }), nil
	case graph.AvgPool:
		w := newPooling(op.Window, in[0].Shape, out[0].Shape).native()
		x, y := pointer(b.in(0)), pointer(b.out(0))
		return always(func() { C.avg_pool(w, x, y) }), nil
	case graph.MaxPoolGrad:
		p, err := poolingGrad(op.Window, op.X, in[0].Shape)
		if err == nil && !in[1].Shape.Equal(in[0].Shape) {
			err = fmt.Errorf("dy is %v and positions are %v", in[0].Shape, in[1].Shape)
		}
		if err != nil {
			return nil, err
		}
		w, dy, where, dx := p.native(), pointer(b.in(0)), positions(b.inInts(1)), pointer(b.out(0))
		return always(func() { C.max_pool_grad(w, dy, where, dx) }), nil
	case graph.AvgPoolGrad:
		p, err := poolingGrad(op.Window, op.X, in[0].Shape)
		if err != nil {
			return nil, err
		}
		w, dy, dx := p.native(), pointer(b.in(0)), pointer(b.out(0))
		return always(func() { C.avg_pool_grad(w, dy, dx) }), nil
	}
	return nil, nil
}

func fastGlobalPool(b *binding) (kernel, error) {
	out, in, forward := pointer(b.out(0)), pointer(b.in(0)), true
	x, y := b.node.In[0].Shape, b.node.Out[0].Shape
	if op, ok := b.node.Op.(graph.GlobalAvgPoolGrad); ok {
		x, y, forward = op.X, b.node.In[0].Shape, false
	}
	if len(y) != 2 || y[0] != x[0] || y[1] != x[3] {
		return nil, fmt.Errorf("x is %v and y %v, want [N,H,W,C] and [N,C]", x, y)
	}
	n, area, c := C.int64_t(x[0]), C.int64_t(x[1]*x[2]), C.int64_t(x[3])
	if forward {
		return always(func() { C.global_avg_pool(out, in, n, area, c) }), nil
	}
	return always(func() { C.global_avg_pool_grad(out, in, n, area, c) }), nil
}

// fastElements makes the element-wise ops on large values.
func fastElements(b *binding) kernel {
	if len(b.node.Out) == 0 || b.node.Out[0].Shape.Elems() < small {
		return nil
	}
	n := C.int64_t(b.node.Out[0].Shape.Elems())
	switch op := b.node.Op.(type) {
	case graph.ReLU:
		y, x := pointer(b.out(0)), pointer(b.in(0))
		return always(func() { C.relu(y, x, n) })
	case graph.ReLUGrad:
		dx, dy, y := pointer(b.out(0)), pointer(b.in(0)), pointer(b.in(1))
		return always(func() { C.relu_grad(dx, dy, y, n) })
	case graph.Add:
		y, x, z, relu := pointer(b.out(0)), pointer(b.in(0)), pointer(b.in(1)), flag(op.ReLU)
		return always(func() { C.add(y, x, z, n, relu) })
	case graph.Accumulate:
		acc, x := pointer(b.out(0)), pointer(b.in(1))
		return always(func() { C.add(acc, acc, x, n, 0) })
	case graph.SGD:
		w, m, g, lr := pointer(b.out(0)), pointer(b.out(1)), pointer(b.in(2)), pointer(b.in(3))
		momentum, decay, nesterov := C.float(op.Momentum), C.float(op.WeightDecay), flag(op.Nesterov)
		return always(func() { C.sgd(w, m, g, lr, momentum, decay, nesterov, n) })
	case graph.EMA:
		avg, w, decay := pointer(b.out(0)), pointer(b.in(1)), pointer(b.in(2))
		return always(func() { C.ema(avg, w, decay, n) })
	case graph.Dropout:
		y, x, counter := pointer(b.out(0)), pointer(b.in(0)), positions(b.inInts(1))
		seed, p := C.uint64_t(op.Seed), C.float(op.P)
		return always(func() { C.dropout(y, x, counter, seed, p, n) })
	}
	return nil
}
