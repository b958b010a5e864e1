package graph

import (
	"fmt"
	"slices"
)

// Gradients appends to g the nodes that compute d loss / d p for every p of wrt
// and returns them in the order of wrt; loss has shape [1]. Gradients of params
// are float32. A p that loss does not depend on is an *Error for Build.
func Gradients(g *Graph, loss *Value, wrt []*Value) []*Value {
	if loss.Shape.Elems() != 1 {
		panic(&Error{Scope: g.Scope, Op: "gradient", Err: fmt.Errorf("the loss is %v, want [1]", loss)})
	}
	b := backward{g: g, needs: make([]bool, len(g.Values)), grad: make([]*Value, len(g.Values))}
	for _, p := range wrt {
		b.needs[p.ID] = true
	}
	for _, n := range g.Nodes {
		for _, v := range n.In {
			if v != nil && b.needs[v.ID] {
				for _, o := range n.Out {
					b.needs[o.ID] = true
				}
			}
		}
	}
	forward, scope := g.Nodes, g.Scope
	b.grad[loss.ID] = g.add1(Fill{loss.Shape, 1})
	for _, n := range slices.Backward(forward) {
		for i, o := range n.Out[1:] {
			if b.grad[o.ID] != nil {
				panic(&Error{Scope: n.Scope, Op: n.Op.Name(), Err: fmt.Errorf("the loss depends on output %d, which has no gradient", i+1)})
			}
		}
		if y := n.Out[0].ID; b.needs[y] && b.grad[y] != nil {
			g.Scope = n.Scope
			b.node(n, b.grad[y])
		}
	}
	g.Scope = scope
	grads := make([]*Value, len(wrt))
	for i, p := range wrt {
		if grads[i] = b.grad[p.ID]; grads[i] == nil {
			panic(&Error{Scope: p.Name, Op: "gradient", Err: fmt.Errorf("the loss does not depend on it")})
		}
	}
	return grads
}

// backward is the state of one reverse sweep.
type backward struct {
	g     *Graph
	needs []bool   // by Value.ID: leads from a wrt value
	grad  []*Value // by Value.ID: sum of the contributions so far
}

// send adds a contribution to the gradient of v.
func (b *backward) send(v, d *Value) {
	if old := b.grad[v.ID]; old != nil {
		d = b.g.Sum(old, d)
	}
	b.grad[v.ID] = d
}

// want reports whether v's gradient is asked for.
func (b *backward) want(v *Value) bool { return v != nil && b.needs[v.ID] }

// operand returns operand i or nil.
func operand(n *Node, i int) *Value {
	if i < len(n.In) {
		return n.In[i]
	}
	return nil
}

// node sends the gradients of n's operands, given the one of its first output:
// no other output of an op has a gradient.
func (b *backward) node(n *Node, dy *Value) {
	g, x := b.g, n.In[0]
	one := func(i int, op Op, in ...*Value) {
		if v := operand(n, i); b.want(v) {
			b.send(v, g.add1(op, in...))
		}
	}
	switch op := n.Op.(type) {
	case Conv2D:
		w := n.In[1]
		one(0, Conv2DGradX{op, x.Shape}, dy, w)
		one(1, Conv2DGradW{op, w.Shape}, x, dy)
		one(2, BiasGrad{}, dy)
	case Linear:
		one(0, LinearGradX{}, dy, n.In[1])
		one(1, LinearGradW{}, x, dy)
		one(2, BiasGrad{}, dy)
	case BatchNorm:
		out := g.Add(BatchNormGrad{Sync: op.Sync}, dy, x, n.In[1], n.Out[1], n.Out[2])
		for i, d := range out {
			if b.want(n.In[i]) {
				b.send(n.In[i], d)
			}
		}
	case ReLU:
		one(0, ReLUGrad{}, dy, n.Out[0])
	case Add:
		for _, v := range n.In {
			if b.want(v) {
				b.send(v, dy)
			}
		}
	case Scale:
		one(0, op, dy)
	case Concat:
		start := 0
		for i, v := range n.In {
			width := v.Shape[len(v.Shape)-1]
			one(i, Slice{start, width}, dy)
			start += width
		}
	case Dropout:
		one(0, op, dy, n.In[1])
	case MaxPool:
		one(0, MaxPoolGrad{op.Window, x.Shape}, dy, n.Out[1])
	case AvgPool:
		one(0, AvgPoolGrad{op.Window, x.Shape}, dy)
	case GlobalAvgPool:
		one(0, GlobalAvgPoolGrad{x.Shape}, dy)
	case SoftmaxCrossEntropy:
		one(0, SoftmaxCrossEntropyGrad{}, dy, n.Out[1], n.In[1])
	case Mean:
		one(0, Broadcast{x.Shape, 1 / float32(x.Shape.Elems())}, dy)
	default:
		panic(&Error{Scope: n.Scope, Op: op.Name(), Err: fmt.Errorf("has no gradient")})
	}
}
