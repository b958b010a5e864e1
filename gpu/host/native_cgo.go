//go:build cgo && !cuda

package host

// #cgo CFLAGS: -std=gnu11 -O3 -fopenmp -Wall -Wextra
// #cgo LDFLAGS: -ldnnl -lgomp -lm
// #include <stdlib.h>
// #include "native.h"
import "C"

import (
	"errors"
	"fmt"
	"unsafe"

	"bagpipe/gpu/graph"
)

// native is the oneDNN engine of a device.
type native struct {
	machine *C.machine
	err     error // why there is none
	foreign bool  // leave all layers to oneDNN; benchmarks compare
}

// openNative must be called on the thread that will run the kernels.
func openNative(threads int) *native {
	var message [C.ERR_SIZE]C.char
	m := C.machine_new(C.int(threads), &message[0])
	if m == nil {
		return &native{err: errors.New(C.GoString(&message[0]))}
	}
	return &native{machine: m}
}

func (n *native) close() {
	C.machine_free(n.machine)
	n.machine = nil
}

func (*native) library() string {
	var text [64]C.char
	C.machine_describe(&text[0], C.size_t(len(text)))
	return C.GoString(&text[0])
}

// work is what the native kernels of one program share: the layers, and memory
// for rearranged weights and scratch, sized for the largest.
type work struct {
	layers  []*C.layer
	packed  *buffer
	scratch *buffer
	least   int // bytes of scratch that others than layers want
}

// newWork gives the layers that fast has made so far their shared memory.
func newWork(p *program) (*work, error) {
	w := p.work
	if w == nil {
		return nil, nil
	}
	packed, scratch := C.size_t(0), C.size_t(w.least)
	for _, l := range w.layers {
		packed, scratch = max(packed, C.layer_packed(l)), max(scratch, C.layer_scratch(l))
	}
	var err error
	if w.packed, err = allocate(int(packed)); err != nil {
		return w, err
	}
	if w.scratch, err = allocate(int(scratch)); err != nil {
		return w, err
	}
	for _, l := range w.layers {
		if C.layer_bind(l, start(w.packed), start(w.scratch)) != 0 {
			return w, errors.New("oneDNN refuses its scratch memory")
		}
	}
	return w, nil
}

func start(b *buffer) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b.bytes)) }

func (w *work) close() error {
	if w == nil {
		return nil
	}
	for _, l := range w.layers {
		C.layer_free(l)
	}
	w.layers = nil
	var err error
	for _, b := range []*buffer{w.packed, w.scratch} {
		if b != nil {
			err = errors.Join(err, b.Free())
		}
	}
	return err
}

// pointer is the start of xs for C, NULL if xs is empty.
func pointer(xs []float32) *C.float { return (*C.float)(unsafe.SliceData(xs)) }

// fast returns the native kernel of a node, or nil where the Go loop serves.
func fast(b *binding) (kernel, error) {
	switch op := b.node.Op.(type) {
	case graph.Conv2D:
		return convLayer(b, C.FORWARD, op.ReLU)
	case graph.Conv2DGradX:
		return convLayer(b, C.GRAD_X, false)
	case graph.Conv2DGradW:
		return convLayer(b, C.GRAD_W, false)
	case graph.Linear, graph.LinearGradX, graph.LinearGradW:
		return linearLayer(b)
	case graph.BatchNorm, graph.BatchNormInfer, graph.BatchNormGrad:
		return fastNorm(b)
	case graph.MaxPool, graph.MaxPoolGrad, graph.AvgPool, graph.AvgPoolGrad:
		return fastPool(b)
	case graph.GlobalAvgPool, graph.GlobalAvgPoolGrad:
		return fastGlobalPool(b)
	}
	return fastElements(b), nil
}

// operands returns x, w and y, or their gradients, of a convolution or linear
// layer in the given direction.
func operands(b *binding, direction C.int) (x, w, y []float32) {
	switch direction {
	case C.FORWARD:
		return b.in(0), b.in(1), b.out(0)
	case C.GRAD_X:
		return b.out(0), b.in(1), b.in(0)
	}
	return b.in(0), b.out(0), b.in(1)
}

func convLayer(b *binding, direction C.int, relu bool) (kernel, error) {
	c, err := b.convolution()
	if err != nil {
		return nil, err
	}
	if c.pad >= min(c.kh, c.kw) {
		// Some windows see nothing but padding: oneDNN 2.6.3 crashes in their ReLU,
		// and no network needs them. The plain loop does.
		return nil, nil
	}
	g := C.geometry{direction: direction, n: C.int(c.n), h: C.int(c.h), w: C.int(c.w), c: C.int(c.c), o: C.int(c.o),
		kh: C.int(c.kh), kw: C.int(c.kw), oh: C.int(c.oh), ow: C.int(c.ow),
		stride: C.int(c.stride), pad: C.int(c.pad), groups: C.int(c.groups)}
	if relu {
		g.relu = 1
	}
	return newLayer(b, g)
}

func linearLayer(b *binding) (kernel, error) {
	in, out := b.node.In, b.node.Out
	x, w, y := in[0].Shape, in[1].Shape, out[0].Shape
	g := C.geometry{direction: C.FORWARD, groups: 1}
	switch b.node.Op.(type) {
	case graph.LinearGradX:
		x, y = out[0].Shape, in[0].Shape
		g.direction = C.GRAD_X
	case graph.LinearGradW:
		w, y = out[0].Shape, in[1].Shape
		g.direction = C.GRAD_W
	}
	if y[0] != x[0] || y[1] != w[0] || x[1] != w[1] {
		return nil, fmt.Errorf("x %v, w %v and y %v do not fit", x, w, y)
	}
	g.n, g.c, g.o = C.int(x[0]), C.int(x[1]), C.int(w[0])
	return newLayer(b, g)
}

// newLayer makes the kernel of a convolution or linear layer: this
// package's own where it serves, oneDNN's otherwise.
func newLayer(b *binding, g C.geometry) (kernel, error) {
	if b.dev.native.err != nil {
		return nil, b.dev.native.err
	}
	x, w, y := operands(b, g.direction)
	var bias, residual []float32
	if g.direction == C.FORWARD {
		bias, residual = b.in(2), b.in(3)
	}
	if b.err != nil {
		return nil, b.err
	}
	if b.work == nil {
		b.work = &work{}
	}
	if bias == nil && residual == nil && !b.dev.native.foreign {
		if k := b.work.own(&g, C.int(b.dev.threads), pointer(x), pointer(w), pointer(y)); k != nil {
			return k, nil
		}
	}
	var message [C.ERR_SIZE]C.char
	l := C.layer_new(b.dev.native.machine, &g, pointer(x), pointer(w), pointer(y), pointer(bias), pointer(residual), &message[0])
	if l == nil {
		return nil, errors.New(C.GoString(&message[0]))
	}
	b.work.layers = append(b.work.layers, l)
	return func() error {
		if s := C.layer_run(l); s != 0 {
			return fmt.Errorf("oneDNN: status %d in %s", s, C.GoString(C.layer_implementation(l)))
		}
		return nil
	}, nil
}

// own returns the kernel of a convolution in this package's own code, or nil where
// oneDNN's serves better.
func (w *work) own(g *C.geometry, threads C.int, x, weights, y *C.float) kernel {
	want := func(scratch C.size_t) { w.least = max(w.least, int(scratch)) }
	switch {
	case C.winograd_serves(g, threads) != 0 && g.direction == C.GRAD_W:
		want(C.winograd_scratch(g, threads))
		return always(func() { C.winograd_weights(g, x, y, weights, start(w.scratch)) })
	case C.winograd_serves(g, threads) != 0:
		want(C.winograd_scratch(g, threads))
		if g.direction == C.GRAD_X {
			x, y = y, x
		}
		return always(func() { C.winograd(g, x, weights, y, start(w.scratch)) })
	case C.taps_serve(g, threads) != 0:
		want(C.taps_scratch(g, threads))
		return always(func() { C.taps_weights(g, x, y, weights, start(w.scratch)) })
	}
	return nil
}
