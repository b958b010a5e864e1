package graph

import (
	"fmt"

	"bagpipe/gpu"
)

// Target makes the dense target [N,Classes] from labels: row n is
// Lambda[n]*smooth(A[n]) + (1-Lambda[n])*smooth(B[n]), where smooth puts On at
// the label and Off elsewhere. A label below 0 gives a row of zeros, which adds
// nothing to the loss: that is how a partial evaluation batch is padded.
// Operands: A [N] Int32, B [N] Int32, Lambda [N] Float32.
type Target struct {
	Classes int
	On, Off float32
}

// Name implements Op.
func (Target) Name() string { return "target" }

// Infer implements Op.
func (t Target) Infer(in []*Value) ([]Type, error) {
	if len(in[0].Shape) != 1 || !in[0].Shape.Equal(in[1].Shape) || !in[0].Shape.Equal(in[2].Shape) ||
		in[0].DType != gpu.Int32 || in[1].DType != gpu.Int32 || in[2].DType != gpu.Float32 {
		return nil, fmt.Errorf("operands are %v, %v, %v, want int32[N], int32[N], float32[N]", in[0], in[1], in[2])
	}
	if t.Classes < 1 {
		return nil, fmt.Errorf("%d classes", t.Classes)
	}
	return []Type{{gpu.Shape{in[0].Shape[0], t.Classes}, gpu.Float32}}, nil
}

// SoftmaxCrossEntropy computes -sum_k target[n,k]*log softmax(logits)[n,k] for
// each row. Operands: logits [N,K], target [N,K] Float32. Outputs: loss [N]
// Float32, softmax probabilities [N,K] Float32.
type SoftmaxCrossEntropy struct{}

// Name implements Op.
func (SoftmaxCrossEntropy) Name() string { return "softmaxcrossentropy" }

// Infer implements Op.
func (SoftmaxCrossEntropy) Infer(in []*Value) ([]Type, error) {
	if len(in[0].Shape) != 2 || !in[0].Shape.Equal(in[1].Shape) {
		return nil, fmt.Errorf("logits are %v and target %v, want [N,K] twice", in[0].Shape, in[1].Shape)
	}
	return []Type{{in[0].Shape[:1], gpu.Float32}, {in[0].Shape, gpu.Float32}}, nil
}

// SoftmaxCrossEntropyGrad computes dloss[n]*(p[n,k]*sum_j target[n,j] - target[n,k]).
// Operands: dloss [N], probabilities [N,K], target [N,K].
type SoftmaxCrossEntropyGrad struct{}

// Name implements Op.
func (SoftmaxCrossEntropyGrad) Name() string { return "softmaxcrossentropy.grad" }

// Infer implements Op.
func (SoftmaxCrossEntropyGrad) Infer(in []*Value) ([]Type, error) {
	if len(in[1].Shape) != 2 || !in[1].Shape.Equal(in[2].Shape) || !in[0].Shape.Equal(in[1].Shape[:1]) {
		return nil, fmt.Errorf("dloss is %v, softmax %v and target %v, want [N], [N,K], [N,K]", in[0].Shape, in[1].Shape, in[2].Shape)
	}
	return []Type{{in[1].Shape, gpu.Float32}}, nil
}

// Mean averages all elements to [1].
type Mean struct{}

// Name implements Op.
func (Mean) Name() string { return "mean" }

// Infer implements Op.
func (Mean) Infer(in []*Value) ([]Type, error) {
	return []Type{{gpu.Shape{1}, gpu.Float32}}, nil
}

// Fill makes a value of one constant; the gradient of Mean starts from it.
type Fill struct {
	Shape gpu.Shape
	With  float32
}

// Name implements Op.
func (Fill) Name() string { return "fill" }

// Infer implements Op.
func (f Fill) Infer([]*Value) ([]Type, error) {
	return []Type{{f.Shape, gpu.Float32}}, positive(f.Shape)
}

// positive refuses a shape with an extent below 1.
func positive(s gpu.Shape) error {
	for _, d := range s {
		if d < 1 {
			return fmt.Errorf("shape %v has an extent below 1", s)
		}
	}
	return nil
}

// Broadcast repeats dy [1] over Shape, times By: Mean's gradient. Operands: dy.
type Broadcast struct {
	Shape gpu.Shape
	By    float32
}

// Name implements Op.
func (Broadcast) Name() string { return "broadcast" }

// Infer implements Op.
func (b Broadcast) Infer(in []*Value) ([]Type, error) {
	if in[0].Shape.Elems() != 1 {
		return nil, fmt.Errorf("dy is %v, want [1]", in[0].Shape)
	}
	return []Type{{b.Shape, gpu.Float32}}, positive(b.Shape)
}

// TopK counts the rows whose label is among the K largest logits: a logit ties
// below the ones of smaller index. Labels below 0 are not counted. Operands:
// logits [N,C], labels [N] Int32. Output: the count as [1] Float32.
type TopK struct{ K int }

// Name implements Op.
func (TopK) Name() string { return "topk" }

// Infer implements Op.
func (k TopK) Infer(in []*Value) ([]Type, error) {
	if k.K < 1 {
		return nil, fmt.Errorf("top %d", k.K)
	}
	if len(in[0].Shape) != 2 || !in[1].Shape.Equal(in[0].Shape[:1]) || in[1].DType != gpu.Int32 {
		return nil, fmt.Errorf("logits are %v and labels %v, want [N,C] and int32[N]", in[0], in[1])
	}
	return []Type{{gpu.Shape{1}, gpu.Float32}}, nil
}

// Target adds the dense target of a labelled, possibly mixed batch.
func (g *Graph) Target(a, b, lambda *Value, attrs Target) *Value { return g.add1(attrs, a, b, lambda) }

// SoftmaxCrossEntropy adds the loss of each row and returns it with the softmax.
func (g *Graph) SoftmaxCrossEntropy(logits, target *Value) (loss, softmax *Value) {
	out := g.Add(SoftmaxCrossEntropy{}, logits, target)
	return out[0], out[1]
}

// Mean adds the mean of all elements.
func (g *Graph) Mean(x *Value) *Value { return g.add1(Mean{}, x) }

// TopK adds the count of rows whose label is among the k largest logits.
func (g *Graph) TopK(logits, labels *Value, k int) *Value { return g.add1(TopK{k}, logits, labels) }

// Fill adds a value of one constant.
func (g *Graph) Fill(with float32, shape ...int) *Value { return g.add1(Fill{shape, with}) }
