package graph

import (
	"fmt"

	"bagpipe/gpu"
)

// BatchNorm normalises x [.., C] over all axes but the last by the statistics of
// the batch, then scales and shifts (arXiv:1502.03167). It also updates the
// running statistics in place: running = Momentum*running + (1-Momentum)*batch,
// the batch variance taken unbiased for that, as PyTorch does.
//
// Operands: x, gamma, beta, running mean, running variance and, only after
// fusion, a residual added before ReLU. Outputs: y, batch mean, 1/sqrt(var+Eps),
// new running mean, new running variance.
type BatchNorm struct {
	Eps, Momentum float32
	ReLU          bool // set by fusion only
	Sync          bool // statistics of the whole data-parallel group's batch; alone, the same as without
}

// Name implements Op.
func (BatchNorm) Name() string { return "batchnorm" }

// InPlace implements InPlace.
func (BatchNorm) InPlace() [][2]int { return [][2]int{{3, 3}, {4, 4}} }

// Infer implements Op.
func (BatchNorm) Infer(in []*Value) ([]Type, error) {
	c, err := channels(in)
	if err != nil {
		return nil, err
	}
	x, s := in[0], Type{gpu.Shape{c}, gpu.Float32}
	return []Type{{x.Shape, x.DType}, s, s, s, s}, nil
}

// BatchNormInfer applies gamma*(x-mean)/sqrt(var+Eps)+beta with the running
// statistics. Operands: x, gamma, beta, running mean, running variance and, only
// after fusion, a residual added before ReLU.
type BatchNormInfer struct {
	Eps  float32
	ReLU bool // set by fusion only
}

// Name implements Op.
func (BatchNormInfer) Name() string { return "batchnorm.infer" }

// Infer implements Op.
func (BatchNormInfer) Infer(in []*Value) ([]Type, error) {
	if _, err := channels(in); err != nil {
		return nil, err
	}
	return []Type{{in[0].Shape, in[0].DType}}, nil
}

// channels checks the operands that both batch norms have in common.
func channels(in []*Value) (int, error) {
	x := in[0].Shape
	if len(x) < 2 {
		return 0, fmt.Errorf("x is %v, want channels last after at least one axis", x)
	}
	c := x[len(x)-1]
	for i, v := range in[1:5] {
		if !v.Shape.Equal(gpu.Shape{c}) {
			return 0, fmt.Errorf("operand %d is %v, want [%d]", i+1, v.Shape, c)
		}
	}
	if len(in) > 5 && in[5] != nil && !in[5].Shape.Equal(x) {
		return 0, fmt.Errorf("residual is %v, want %v", in[5].Shape, x)
	}
	return c, nil
}

// BatchNormGrad is the gradient of BatchNorm. Operands: dy, x, gamma, batch mean,
// 1/sqrt(var+Eps) and, where BatchNorm was fused with ReLU, its output y: dy then
// counts only where y > 0. Outputs: dx, dgamma, dbeta and, with Residual, the
// gradient of the residual, which is dy after that mask.
type BatchNormGrad struct {
	ReLU, Residual bool // set by fusion only
	Sync           bool // as the BatchNorm; dgamma and dbeta are still this member's part of the sum
}

// Name implements Op.
func (BatchNormGrad) Name() string { return "batchnorm.grad" }

// Infer implements Op.
func (b BatchNormGrad) Infer(in []*Value) ([]Type, error) {
	x, s := in[1], Type{in[2].Shape, gpu.Float32}
	if !in[0].Shape.Equal(x.Shape) || len(x.Shape) < 2 {
		return nil, fmt.Errorf("dy is %v and x is %v, want the same with channels last", in[0].Shape, x.Shape)
	}
	c := x.Shape[len(x.Shape)-1]
	for i, v := range in[2:5] {
		if !v.Shape.Equal(gpu.Shape{c}) {
			return nil, fmt.Errorf("operand %d is %v, want [%d]", i+2, v.Shape, c)
		}
	}
	if b.ReLU && !in[5].Shape.Equal(x.Shape) {
		return nil, fmt.Errorf("y is %v and x is %v", in[5].Shape, x.Shape)
	}
	out := []Type{{x.Shape, x.DType}, s, s}
	if b.Residual {
		out = append(out, Type{x.Shape, x.DType})
	}
	return out, nil
}

// BatchNorm adds a batch norm in the form that g.Training and g.SyncNorm ask for.
func (g *Graph) BatchNorm(x, gamma, beta, mean, variance *Value, eps, momentum float32) *Value {
	if g.Training {
		return g.add1(BatchNorm{Eps: eps, Momentum: momentum, Sync: g.SyncNorm}, x, gamma, beta, mean, variance)
	}
	return g.add1(BatchNormInfer{Eps: eps}, x, gamma, beta, mean, variance)
}
