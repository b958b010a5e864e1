package models

import (
	"hash/fnv"
	"math"
	"math/rand/v2"

	"bagpipe/gpu/graph"
)

// Init is a way of filling fresh parameters.
type Init string

// The schemes of PAPER section 1.4. In both, a convolution's fans count channels
// times kernel area, as MXNet has it.
const (
	Xavier    Init = "xavier"    // uniform in +-sqrt(6/(fan_in+fan_out)): arXiv:1812.01187 section 2.1
	MSRAPrelu Init = "msraprelu" // Gaussian, variance 2/(1+0.25^2)/mean fan: what the authors' code calls
)

// Values returns the initial contents of p: weights by the scheme, biases and
// shifts 0, scales 1, and GammaLast 0. They depend on seed and p's name alone.
func (i Init) Values(p *graph.Value, seed uint64) []float32 {
	data := make([]float32, p.Shape.Elems())
	switch p.Role {
	case graph.Gamma:
		for k := range data {
			data[k] = 1
		}
	case graph.ConvWeight, graph.LinearWeight:
		h := fnv.New64a()
		h.Write([]byte(p.Name))
		i.fill(data, fans(p), rand.New(rand.NewPCG(seed, h.Sum64())))
	}
	return data
}

// fans returns fan_in + fan_out of a weight, OHWI or [out, in].
func fans(p *graph.Value) float64 {
	out, in := p.Shape[0], p.Shape[len(p.Shape)-1]
	area := p.Shape.Elems() / (out * in)
	return float64((in + out) * area)
}

func (i Init) fill(data []float32, fans float64, rnd *rand.Rand) {
	if i == Xavier {
		a := math.Sqrt(6 / fans)
		for k := range data {
			data[k] = float32(a * (2*rnd.Float64() - 1))
		}
		return
	}
	sigma := math.Sqrt(2 / (1 + 0.25*0.25) / (fans / 2))
	for k := range data {
		data[k] = float32(sigma * rnd.NormFloat64())
	}
}
