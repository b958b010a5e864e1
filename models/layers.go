package models

import (
	"fmt"

	"bagpipe/gpu/graph"
)

// net is a graph with a place in it: the prefix that names the next layer's
// parameters, as torchvision and timm name them.
type net struct {
	*graph.Graph
	prefix string
}

// at returns the net inside the named module.
func (n net) at(format string, args ...any) net {
	n.prefix += fmt.Sprintf(format, args...) + "."
	return n
}

// conv adds a square convolution without bias, padded to keep the extent at
// stride 1.
func (n net) conv(name string, x *graph.Value, out, kernel, stride int) *graph.Value {
	n.Scope = n.prefix + name
	w := n.Param(n.Scope+".weight", graph.ConvWeight, out, kernel, kernel, x.Shape[3])
	return n.Conv2D(x, w, nil, graph.Conv2D{Stride: stride, Pad: kernel / 2, Groups: 1})
}

// Batch norm as in PAPER section 1.4: eps 1e-5, running = 0.9*running + 0.1*batch.
const (
	bnEps      = 1e-5
	bnMomentum = 0.9
)

// norm adds a batch norm whose scale has the given role.
func (n net) norm(name string, x *graph.Value, gamma graph.Role) *graph.Value {
	n.Scope = n.prefix + name
	c := x.Shape[len(x.Shape)-1]
	return n.BatchNorm(x,
		n.Param(n.Scope+".weight", gamma, c), n.Param(n.Scope+".bias", graph.Beta, c),
		n.State(n.Scope+".running_mean", 0, c), n.State(n.Scope+".running_var", 1, c), bnEps, bnMomentum)
}

// linear adds a fully connected layer with bias.
func (n net) linear(name string, x *graph.Value, out int) *graph.Value {
	n.Scope = n.prefix + name
	return n.Linear(x, n.Param(n.Scope+".weight", graph.LinearWeight, out, x.Shape[1]), n.Param(n.Scope+".bias", graph.Bias, out))
}
