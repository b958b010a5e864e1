package graph

import (
	"fmt"

	"bagpipe/gpu"
)

// Conv2D convolves x [N,H,W,C] with w [O,KH,KW,C/Groups]. Optional operands:
// bias [O] and, only after fusion, a residual of the output's shape that is
// added before ReLU. Operands: x, w, bias, residual. The same Pad applies to
// both sides of both axes.
type Conv2D struct {
	Stride, Pad, Groups int
	ReLU                bool // set by fusion only
}

// Name implements Op.
func (Conv2D) Name() string { return "conv2d" }

// Infer implements Op.
func (c Conv2D) Infer(in []*Value) ([]Type, error) {
	x, w := in[0].Shape, in[1].Shape
	if len(x) != 4 || len(w) != 4 {
		return nil, fmt.Errorf("x is %v and w is %v, want NHWC and OHWI", x, w)
	}
	if c.Stride < 1 || c.Pad < 0 || c.Groups < 1 {
		return nil, fmt.Errorf("stride %d, pad %d, groups %d are out of range", c.Stride, c.Pad, c.Groups)
	}
	if x[3] != w[3]*c.Groups || w[0]%c.Groups != 0 {
		return nil, fmt.Errorf("x has %d channels and w is %v in %d groups", x[3], w, c.Groups)
	}
	y := gpu.Shape{x[0], convOut(x[1], w[1], c.Stride, c.Pad), convOut(x[2], w[2], c.Stride, c.Pad), w[0]}
	if y[1] < 1 || y[2] < 1 {
		return nil, fmt.Errorf("x of %dx%d is too small for a %dx%d kernel with pad %d", x[1], x[2], w[1], w[2], c.Pad)
	}
	if len(in) > 2 && in[2] != nil && !in[2].Shape.Equal(gpu.Shape{w[0]}) {
		return nil, fmt.Errorf("bias is %v, want [%d]", in[2].Shape, w[0])
	}
	if len(in) > 3 && in[3] != nil && !in[3].Shape.Equal(y) {
		return nil, fmt.Errorf("residual is %v, want %v", in[3].Shape, y)
	}
	return []Type{{y, in[0].DType}}, nil
}

// Conv2DGradX computes the gradient of Conv2D's x. Operands: dy, w.
type Conv2DGradX struct {
	Conv Conv2D
	X    gpu.Shape // shape of x
}

// Name implements Op.
func (Conv2DGradX) Name() string { return "conv2d.dx" }

// Infer implements Op.
func (c Conv2DGradX) Infer(in []*Value) ([]Type, error) {
	if err := makes(c.Conv, in[0], &Value{Shape: c.X}, in[1]); err != nil {
		return nil, err
	}
	return []Type{{c.X, in[0].DType}}, nil
}

// Conv2DGradW computes the gradient of Conv2D's w. Operands: x, dy.
type Conv2DGradW struct {
	Conv Conv2D
	W    gpu.Shape // shape of w
}

// Name implements Op.
func (Conv2DGradW) Name() string { return "conv2d.dw" }

// Infer implements Op. Weight gradients are float32 whatever the activations are.
func (c Conv2DGradW) Infer(in []*Value) ([]Type, error) {
	if err := makes(c.Conv, in[1], in[0], &Value{Shape: c.W}); err != nil {
		return nil, err
	}
	return []Type{{c.W, gpu.Float32}}, nil
}

// makes checks that op over in has an output of dy's shape.
func makes(op Op, dy *Value, in ...*Value) error {
	types, err := op.Infer(in)
	if err == nil && !dy.Shape.Equal(types[0].Shape) {
		err = fmt.Errorf("dy is %v, the output it belongs to %v", dy.Shape, types[0].Shape)
	}
	return err
}

// BiasGrad sums dy over all axes but the last. Operands: dy.
type BiasGrad struct{}

// Name implements Op.
func (BiasGrad) Name() string { return "bias.grad" }

// Infer implements Op.
func (BiasGrad) Infer(in []*Value) ([]Type, error) {
	s := in[0].Shape
	if len(s) == 0 {
		return nil, fmt.Errorf("dy has no axis")
	}
	return []Type{{gpu.Shape{s[len(s)-1]}, gpu.Float32}}, nil
}

// Linear computes x [N,I] times w [O,I] transposed, plus bias [O] if not nil.
type Linear struct{}

// Name implements Op.
func (Linear) Name() string { return "linear" }

// Infer implements Op.
func (Linear) Infer(in []*Value) ([]Type, error) {
	x, w := in[0].Shape, in[1].Shape
	if len(x) != 2 || len(w) != 2 || x[1] != w[1] {
		return nil, fmt.Errorf("x is %v and w is %v, want [N,I] and [O,I]", x, w)
	}
	if len(in) > 2 && in[2] != nil && !in[2].Shape.Equal(gpu.Shape{w[0]}) {
		return nil, fmt.Errorf("bias is %v, want [%d]", in[2].Shape, w[0])
	}
	return []Type{{gpu.Shape{x[0], w[0]}, in[0].DType}}, nil
}

// LinearGradX computes the gradient of Linear's x. Operands: dy, w.
type LinearGradX struct{}

// Name implements Op.
func (LinearGradX) Name() string { return "linear.dx" }

// Infer implements Op.
func (LinearGradX) Infer(in []*Value) ([]Type, error) {
	dy, w := in[0].Shape, in[1].Shape
	if len(dy) != 2 || len(w) != 2 || dy[1] != w[0] {
		return nil, fmt.Errorf("dy is %v and w is %v, want [N,O] and [O,I]", dy, w)
	}
	return []Type{{gpu.Shape{in[0].Shape[0], in[1].Shape[1]}, in[0].DType}}, nil
}

// LinearGradW computes the gradient of Linear's w. Operands: x, dy.
type LinearGradW struct{}

// Name implements Op.
func (LinearGradW) Name() string { return "linear.dw" }

// Infer implements Op.
func (LinearGradW) Infer(in []*Value) ([]Type, error) {
	x, dy := in[0].Shape, in[1].Shape
	if len(x) != 2 || len(dy) != 2 || x[0] != dy[0] {
		return nil, fmt.Errorf("x is %v and dy is %v, want [N,I] and [N,O]", x, dy)
	}
	return []Type{{gpu.Shape{in[1].Shape[1], in[0].Shape[1]}, gpu.Float32}}, nil
}

func convOut(n, k, stride, pad int) int { return (n+2*pad-k)/stride + 1 }

// Conv2D adds a convolution; bias may be nil.
func (g *Graph) Conv2D(x, w, bias *Value, attrs Conv2D) *Value {
	return g.add1(attrs, x, w, bias)
}

// Linear adds a fully connected layer; bias may be nil.
func (g *Graph) Linear(x, w, bias *Value) *Value { return g.add1(Linear{}, x, w, bias) }
