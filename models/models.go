// Package models holds the network families, one a file, their variants as data.
// A model is a function that adds ops to a graph; parameters carry torchvision's
// and timm's names.
package models

import (
	"math/rand/v2"

	"bagpipe/gpu/graph"
)

// Options complete a named model.
type Options struct {
	Classes   int
	ZeroGamma bool    // mark the last gamma of each residual block GammaLast
	Dropout   float32 // before the classifier; 0 for none
}

// Names returns every model name, sorted.
func Names() []string { panic("pending") }

// InputSize returns the training resolution of the named model (224, 299, 32).
func InputSize(name string) (int, error) { panic("pending") }

// Add adds the named model to g, from x [N,H,W,3] to logits [N,Classes]. An
// unknown name is an error that suggests the nearest one.
func Add(g *graph.Graph, name string, x *graph.Value, opt Options) (logits *graph.Value, err error) {
	panic("pending")
}

// Init is a way of filling fresh parameters.
type Init string

// The schemes of PAPER.md 1.4.
const (
	Xavier    Init = "xavier"    // uniform +-sqrt(6/(fan_in+fan_out)), fans times kernel area
	MSRAPrelu Init = "msraprelu" // Gaussian, factor avg, slope 0.25
)

// Values returns the initial contents of p: weights by scheme, biases and betas
// 0, gammas 1, GammaLast 0 (with zero gamma) ... It is a function of the seed and p's name alone.
func (i Init) Values(p *graph.Value, seed uint64) []float32 { _ = rand.Float32; panic("pending") }
