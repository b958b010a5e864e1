package graph

import (
	"fmt"

	"bagpipe/gpu"
)

// SGD updates a parameter in place. With gradient d = g + WeightDecay*w:
//
//	m = Momentum*m + d
//	w = w - lr*m                 (heavy ball)
//	w = w - lr*(d + Momentum*m)  (Nesterov: NAG as MXNet <= 1.4 and PyTorch do it)
//
// The learning rate stays outside m, so that a change of it acts at once.
// Operands: w, m, g, lr [1]. Outputs: new w, new m.
type SGD struct {
	Momentum, WeightDecay float32
	Nesterov              bool
}

// Name implements Op.
func (SGD) Name() string { return "sgd" }

// InPlace implements InPlace.
func (SGD) InPlace() [][2]int { return [][2]int{{0, 0}, {1, 1}} }

// Infer implements Op.
func (SGD) Infer(in []*Value) ([]Type, error) {
	if _, err := sameType(in[:3]); err != nil {
		return nil, err
	}
	if in[3].Shape.Elems() != 1 {
		return nil, fmt.Errorf("lr is %v, want [1]", in[3])
	}
	t := Type{in[0].Shape, in[0].DType}
	return []Type{t, t}, nil
}

// Accumulate adds x to acc in place: gradient accumulation. Operands: acc, x.
type Accumulate struct{}

// Name implements Op.
func (Accumulate) Name() string { return "accumulate" }

// InPlace implements InPlace.
func (Accumulate) InPlace() [][2]int { return [][2]int{{0, 0}} }

// Infer implements Op.
func (Accumulate) Infer(in []*Value) ([]Type, error) { return sameType(in) }

// Clear zeroes a state in place. Operands: acc.
type Clear struct{}

// Name implements Op.
func (Clear) Name() string { return "clear" }

// InPlace implements InPlace.
func (Clear) InPlace() [][2]int { return [][2]int{{0, 0}} }

// Infer implements Op.
func (Clear) Infer(in []*Value) ([]Type, error) { return sameType(in[:1]) }

// EMA moves an exponential moving average in place: avg = decay*avg +
// (1-decay)*w. Operands: avg, w, decay [1].
type EMA struct{}

// Name implements Op.
func (EMA) Name() string { return "ema" }

// InPlace implements InPlace.
func (EMA) InPlace() [][2]int { return [][2]int{{0, 0}} }

// Infer implements Op.
func (EMA) Infer(in []*Value) ([]Type, error) {
	if in[2].Shape.Elems() != 1 {
		return nil, fmt.Errorf("decay is %v, want [1]", in[2])
	}
	return sameType(in[:2])
}

// AllReduce replaces each operand, in place, by the sum over the data-parallel
// group times Scale. The sum is taken in rank order, so every member gets the
// same bits. A program compiled without a Comm only scales.
type AllReduce struct{ Scale float32 }

// Name implements Op.
func (AllReduce) Name() string { return "allreduce" }

// Infer implements Op.
func (AllReduce) Infer(in []*Value) ([]Type, error) {
	out := make([]Type, len(in))
	for i, v := range in {
		if v == nil || v.DType != gpu.Float32 {
			return nil, fmt.Errorf("%v is not float32", v)
		}
		out[i] = Type{v.Shape, v.DType}
	}
	return out, nil
}

// Aliases returns the {output, input} pairs of n that share storage.
func Aliases(n *Node) [][2]int {
	if _, ok := n.Op.(AllReduce); ok {
		pairs := make([][2]int, len(n.In))
		for i := range pairs {
			pairs[i] = [2]int{i, i}
		}
		return pairs
	}
	if p, ok := n.Op.(InPlace); ok {
		return p.InPlace()
	}
	return nil
}
