package graph

import (
	"fmt"

	"bagpipe/gpu"
)

// Window is the geometry that the pooling ops share. Outside positions never
// count: a max ignores them and an average divides by the positions inside
// (count_include_pad=False in PyTorch's terms).
type Window struct {
	Kernel, Stride, Pad int
	Ceil                bool // round the output extent up, as ResNet-D's shortcut pool does
}

func (w Window) infer(in []*Value) (gpu.Shape, error) {
	x := in[0].Shape
	if len(x) != 4 {
		return nil, fmt.Errorf("x is %v, want NHWC", x)
	}
	if w.Kernel < 1 || w.Stride < 1 || w.Pad < 0 || 2*w.Pad > w.Kernel {
		return nil, fmt.Errorf("window %+v is out of range", w)
	}
	y := gpu.Shape{x[0], w.out(x[1]), w.out(x[2]), x[3]}
	if y[1] < 1 || y[2] < 1 {
		return nil, fmt.Errorf("x of %dx%d is too small for window %+v", x[1], x[2], w)
	}
	return y, nil
}

func (w Window) out(n int) int {
	if !w.Ceil {
		return convOut(n, w.Kernel, w.Stride, w.Pad)
	}
	o := (n+2*w.Pad-w.Kernel+w.Stride-1)/w.Stride + 1
	if (o-1)*w.Stride >= n+w.Pad { // the last window must start inside, as PyTorch demands
		o--
	}
	return o
}

// MaxPool takes the maximum of each window of x [N,H,W,C]. Outputs: y, and the
// Int32 position of the (first) maximum, h*W+w, for the gradient.
type MaxPool struct{ Window }

// Name implements Op.
func (MaxPool) Name() string { return "maxpool" }

// Infer implements Op.
func (p MaxPool) Infer(in []*Value) ([]Type, error) {
	y, err := p.infer(in)
	return []Type{{y, in[0].DType}, {y, gpu.Int32}}, err
}

// MaxPoolGrad routes dy to the maxima. Operands: dy, positions.
type MaxPoolGrad struct {
	Window
	X gpu.Shape
}

// Name implements Op.
func (MaxPoolGrad) Name() string { return "maxpool.grad" }

// Infer implements Op.
func (p MaxPoolGrad) Infer(in []*Value) ([]Type, error) {
	if !in[1].Shape.Equal(in[0].Shape) || in[1].DType != gpu.Int32 {
		return nil, fmt.Errorf("dy is %v and positions %v, want one int32 an element", in[0], in[1])
	}
	return []Type{{p.X, in[0].DType}}, makes(MaxPool{p.Window}, in[0], &Value{Shape: p.X})
}

// AvgPool averages each window of x [N,H,W,C].
type AvgPool struct{ Window }

// Name implements Op.
func (AvgPool) Name() string { return "avgpool" }

// Infer implements Op.
func (p AvgPool) Infer(in []*Value) ([]Type, error) {
	y, err := p.infer(in)
	return []Type{{y, in[0].DType}}, err
}

// AvgPoolGrad spreads dy evenly over each window. Operands: dy.
type AvgPoolGrad struct {
	Window
	X gpu.Shape
}

// Name implements Op.
func (AvgPoolGrad) Name() string { return "avgpool.grad" }

// Infer implements Op.
func (p AvgPoolGrad) Infer(in []*Value) ([]Type, error) {
	return []Type{{p.X, in[0].DType}}, makes(AvgPool{p.Window}, in[0], &Value{Shape: p.X})
}

// GlobalAvgPool averages x [N,H,W,C] over H and W to [N,C].
type GlobalAvgPool struct{}

// Name implements Op.
func (GlobalAvgPool) Name() string { return "globalavgpool" }

// Infer implements Op.
func (GlobalAvgPool) Infer(in []*Value) ([]Type, error) {
	x := in[0].Shape
	if len(x) != 4 {
		return nil, fmt.Errorf("x is %v, want NHWC", x)
	}
	return []Type{{gpu.Shape{x[0], x[3]}, in[0].DType}}, nil
}

// GlobalAvgPoolGrad spreads dy [N,C] over H and W. Operands: dy.
type GlobalAvgPoolGrad struct{ X gpu.Shape }

// Name implements Op.
func (GlobalAvgPoolGrad) Name() string { return "globalavgpool.grad" }

// Infer implements Op.
func (p GlobalAvgPoolGrad) Infer(in []*Value) ([]Type, error) {
	return []Type{{p.X, in[0].DType}}, makes(GlobalAvgPool{}, in[0], &Value{Shape: p.X})
}

// MaxPool adds a max pooling.
func (g *Graph) MaxPool(x *Value, w Window) *Value { return g.add1(MaxPool{w}, x) }

// AvgPool adds an average pooling.
func (g *Graph) AvgPool(x *Value, w Window) *Value { return g.add1(AvgPool{w}, x) }

// GlobalAvgPool adds an average over height and width.
func (g *Graph) GlobalAvgPool(x *Value) *Value { return g.add1(GlobalAvgPool{}, x) }
