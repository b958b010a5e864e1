// Package models holds the network families, one a file, their variants as data.
// A model is a function that adds ops to a graph; parameters carry torchvision's
// and timm's names.
package models

import (
	"fmt"
	"maps"
	"slices"

	"bagpipe/gpu/graph"
	"bagpipe/internal/nearest"
)

// Options complete a named model.
type Options struct {
	Classes   int
	ZeroGamma bool    // mark the last gamma of each residual block GammaLast
	Dropout   float32 // probability before the classifier; 0 for none
	Seed      uint64  // of dropout's masks
}

// Names returns every model name, sorted.
func Names() []string { return slices.Sorted(maps.Keys(resnets)) }

// InputSize returns the training resolution of the named model in pixels.
func InputSize(name string) (int, error) {
	r, err := find(name)
	return r.size(), err
}

// Add adds the named model to g, from x [N,H,W,3] to logits [N,Classes]. An
// unknown name is an error that suggests the nearest one.
func Add(g *graph.Graph, name string, x *graph.Value, opt Options) (logits *graph.Value, err error) {
	r, err := find(name)
	if err != nil {
		return nil, err
	}
	return r.add(net{Graph: g}, x, opt), nil
}

func find(name string) (ResNet, error) {
	if r, ok := resnets[name]; ok {
		return r, nil
	}
	return ResNet{}, fmt.Errorf("models: no model %q; nearest is %q (pipe show lists all)", name, nearest.Word(name, Names()))
}

// classifier adds dropout, if asked for, and the last linear layer. The mask is
// counted by the input "counter", which the trainer sets to the step number.
func (n net) classifier(name string, x *graph.Value, opt Options) *graph.Value {
	if n.Training && opt.Dropout > 0 {
		x = n.Dropout(x, n.Lookup("counter"), graph.Dropout{P: opt.Dropout, Seed: opt.Seed})
	}
	return n.linear(name, x, opt.Classes)
}
