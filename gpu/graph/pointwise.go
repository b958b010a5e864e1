package graph

import (
	"fmt"

	"bagpipe/gpu"
)

// ReLU is max(x, 0).
type ReLU struct{}

// Name implements Op.
func (ReLU) Name() string { return "relu" }

// Infer implements Op.
func (ReLU) Infer(in []*Value) ([]Type, error) { return sameType(in[:1]) }

// ReLUGrad is dy where y > 0. Operands: dy, y.
type ReLUGrad struct{}

// Name implements Op.
func (ReLUGrad) Name() string { return "relu.grad" }

// Infer implements Op.
func (ReLUGrad) Infer(in []*Value) ([]Type, error) { return sameType(in) }

// Add sums two values of the same shape; with ReLU, set by fusion only, followed
// by max(., 0).
type Add struct{ ReLU bool }

// Name implements Op.
func (Add) Name() string { return "add" }

// Infer implements Op.
func (Add) Infer(in []*Value) ([]Type, error) { return sameType(in) }

// Scale multiplies by a constant.
type Scale struct{ By float32 }

// Name implements Op.
func (Scale) Name() string { return "scale" }

// Infer implements Op.
func (Scale) Infer(in []*Value) ([]Type, error) { return sameType(in[:1]) }

// Concat joins values along the last axis.
type Concat struct{}

// Name implements Op.
func (Concat) Name() string { return "concat" }

// Infer implements Op.
func (Concat) Infer(in []*Value) ([]Type, error) {
	s := append(gpu.Shape(nil), in[0].Shape...)
	last := len(s) - 1
	if last < 0 {
		return nil, fmt.Errorf("%v has no axis", in[0])
	}
	s[last] = 0
	for _, v := range in {
		if v == nil || len(v.Shape) != len(s) || !v.Shape[:last].Equal(s[:last]) || v.DType != in[0].DType {
			return nil, fmt.Errorf("cannot join %v and %v along the last axis", in[0], v)
		}
		s[last] += v.Shape[last]
	}
	return []Type{{s, in[0].DType}}, nil
}

// Slice takes Len elements of the last axis from Start on: Concat's gradient.
type Slice struct{ Start, Len int }

// Name implements Op.
func (Slice) Name() string { return "slice" }

// Infer implements Op.
func (o Slice) Infer(in []*Value) ([]Type, error) {
	s := append(gpu.Shape(nil), in[0].Shape...)
	last := len(s) - 1
	if last < 0 || o.Start < 0 || o.Len < 1 || o.Start+o.Len > s[last] {
		return nil, fmt.Errorf("range %d+%d of %v", o.Start, o.Len, s)
	}
	s[last] = o.Len
	return []Type{{s, in[0].DType}}, nil
}

// Dropout zeroes elements with probability P and scales the rest by 1/(1-P)
// (Srivastava et al. 2014). The mask is a function of Seed, the run counter and
// the element's index alone, by the counter-based generator that DropoutMask
// specifies, so it needs no storage. Operands: x, counter [1] Int32.
type Dropout struct {
	P    float32
	Seed uint64
}

// Name implements Op.
func (Dropout) Name() string { return "dropout" }

// Infer implements Op.
func (d Dropout) Infer(in []*Value) ([]Type, error) {
	if !(d.P >= 0 && d.P < 1) {
		return nil, fmt.Errorf("probability %v, want 0 to below 1", d.P)
	}
	if in[1].Shape.Elems() != 1 || in[1].DType != gpu.Int32 {
		return nil, fmt.Errorf("counter is %v, want int32[1]", in[1])
	}
	return sameType(in[:1])
}

// DropoutMask reports whether element i is kept in run number counter: the first
// 32 bits of a splitmix64 finaliser (Steele, Lea, Flood 2014) of the mixed
// counters, compared with P. Every backend computes exactly this.
func DropoutMask(seed uint64, counter int32, i int, p float32) bool {
	z := seed + uint64(uint32(counter))*0x9e3779b97f4a7c15 + uint64(i)*0xd1342543de82ef95
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	return float32(z>>40)*(1.0/(1<<24)) >= p
}

// Dropout adds a dropout when g.Training is set and returns x otherwise.
func (g *Graph) Dropout(x, counter *Value, attrs Dropout) *Value {
	if !g.Training || attrs.P == 0 {
		return x
	}
	return g.add1(attrs, x, counter)
}

// ReLU adds max(x, 0).
func (g *Graph) ReLU(x *Value) *Value { return g.add1(ReLU{}, x) }

// Sum adds the sum of two values of one shape.
func (g *Graph) Sum(a, b *Value) *Value { return g.add1(Add{}, a, b) }

// Concat joins values along the channel axis.
func (g *Graph) Concat(vs ...*Value) *Value { return g.add1(Concat{}, vs...) }

// sameType checks that all operands agree and returns their type.
func sameType(in []*Value) ([]Type, error) {
	for _, v := range in[1:] {
		if !v.Shape.Equal(in[0].Shape) || v.DType != in[0].DType {
			return nil, fmt.Errorf("%v and %v differ", in[0], v)
		}
	}
	return []Type{{in[0].Shape, in[0].DType}}, nil
}
