package graph

import "slices"

// Fuse rewrites g so that a batch norm or an addition absorbs what follows it:
//
//	batch norm [+ residual] + ReLU           -> one node, forward
//	Add + ReLU                               -> one node
//	ReLUGrad + BatchNormGrad [+ other uses]  -> one node, backward
//
// Each saves a pass over an activation, and training on a CPU is bound by those
// passes as soon as the convolutions are fast. The values that others read keep
// their identity; the ones that vanish have no other reader and are no output.
// Backends that implement the fused forms call it first.
func Fuse(g *Graph) {
	f := fuser{g: g, readers: map[*Value][]*Node{}, kept: map[*Value]bool{}, drop: map[*Node]bool{}, at: map[*Node]int{}}
	for i, n := range g.Nodes {
		f.at[n] = i
		for _, v := range n.In {
			if v != nil {
				f.readers[v] = append(f.readers[v], n)
			}
		}
	}
	for _, v := range g.Outputs {
		f.kept[v] = true
	}
	for i, n := range g.Nodes {
		switch n.Op.(type) {
		case ReLU:
			f.relu(i, n)
		case ReLUGrad:
			f.reluGrad(i, n)
		}
	}
	g.Nodes = slices.DeleteFunc(g.Nodes, func(n *Node) bool { return f.drop[n] })
}

type fuser struct {
	g       *Graph
	readers map[*Value][]*Node
	kept    map[*Value]bool
	drop    map[*Node]bool
	at      map[*Node]int // index in g.Nodes
}

// movable reports whether node n may run as late as at: nothing in between reads what
// else it makes or writes over, or writes over what it reads.
func (f *fuser) movable(n *Node, at int) bool {
	var made []*Value
	made = append(made, n.Out[1:]...)
	for _, a := range Aliases(n) {
		made = append(made, n.In[a[1]])
	}
	for _, m := range f.g.Nodes[f.at[n]+1 : at] {
		if f.drop[m] {
			continue
		}
		if slices.ContainsFunc(m.In, func(v *Value) bool { return v != nil && slices.Contains(made, v) }) {
			return false
		}
		for _, a := range Aliases(m) {
			if slices.Contains(n.In, m.In[a[1]]) {
				return false
			}
		}
	}
	return true
}

// ready reports whether v exists before node index at.
func (f *fuser) ready(v *Value, at int) bool { return v.From == nil || f.at[v.From] < at }

// only returns the node that makes v if nothing but its one reader wants v.
func (f *fuser) only(v *Value) *Node {
	if v.From == nil || len(f.readers[v]) != 1 || f.kept[v] || f.drop[v.From] || v.From.Out[0] != v {
		return nil
	}
	return v.From
}

// relu puts the fused node in the place of the ReLU: there its operands, the
// residual among them, have all been made.
func (f *fuser) relu(at int, relu *Node) {
	maker := f.only(relu.In[0])
	if maker == nil || !f.movable(maker, at) {
		return
	}
	if op, ok := withReLU(maker, nil); ok {
		f.replace(at, relu, op, maker.In, maker)
		return
	}
	add, ok := maker.Op.(Add)
	if !ok || add.ReLU {
		return
	}
	for i := range 2 {
		residual := maker.In[1-i]
		if norm := f.only(maker.In[i]); norm != nil && residual != maker.In[i] && f.movable(norm, at) {
			if op, ok := withReLU(norm, residual); ok {
				f.replace(at, relu, op, append(slices.Clone(norm.In), residual), norm, maker)
				return
			}
		}
	}
	f.replace(at, relu, Add{ReLU: true}, maker.In, maker)
}

// withReLU returns n's op with a ReLU behind it, and whether n is a batch norm
// that is still free to take one and, if not nil, the residual.
func withReLU(n *Node, residual *Value) (Op, bool) {
	switch op := n.Op.(type) {
	case BatchNorm:
		free := !op.ReLU && operand(n, 5) == nil
		op.ReLU = true
		return op, free
	case BatchNormInfer:
		free := !op.ReLU && operand(n, 5) == nil
		op.ReLU = true
		return op, free
	}
	return nil, false
}

// replace turns node at, which was old, into op over in. It makes old's output
// and the other outputs of first; all of gone are dropped.
func (f *fuser) replace(at int, old *Node, op Op, in []*Value, gone ...*Node) {
	first := gone[0]
	n := &Node{Op: op, In: in, Scope: first.Scope, Out: []*Value{old.Out[0]}}
	if _, isAdd := op.(Add); !isAdd {
		n.Out = append(n.Out, first.Out[1:]...)
	}
	f.put(at, n, append(gone, old)...)
}

// put places n at index at, in the stead of gone.
func (f *fuser) put(at int, n *Node, gone ...*Node) {
	for _, v := range n.Out {
		v.From = n
	}
	for _, v := range n.In {
		if v != nil {
			f.readers[v] = append(f.readers[v], n)
		}
	}
	for _, o := range gone {
		f.drop[o] = true
		for _, v := range o.In {
			if v != nil {
				f.readers[v] = slices.DeleteFunc(f.readers[v], func(r *Node) bool { return r == o })
			}
		}
	}
	f.g.Nodes[at], f.at[n] = n, at
}

// reluGrad lets the batch norm's gradient do the masking. If the masked gradient
// has other readers (the shortcut), the fused node hands it out as well.
func (f *fuser) reluGrad(at int, mask *Node) {
	d := mask.Out[0]
	for _, n := range f.readers[d] {
		op, ok := n.Op.(BatchNormGrad)
		if !ok || op.ReLU || f.drop[n] || n.In[0] != d || slices.Contains(n.In[1:], d) ||
			slices.ContainsFunc(n.In[1:], func(v *Value) bool { return !f.ready(v, at) }) {
			continue
		}
		fused := &Node{
			Op:    BatchNormGrad{ReLU: true, Residual: len(f.readers[d]) > 1 || f.kept[d], Sync: op.Sync},
			In:    append([]*Value{mask.In[0]}, append(slices.Clone(n.In[1:5]), mask.In[1])...),
			Out:   slices.Clone(n.Out),
			Scope: n.Scope,
		}
		if fused.Op.(BatchNormGrad).Residual {
			fused.Out = append(fused.Out, d)
		}
		f.put(at, fused, mask, n)
		return
	}
}
