package models

import (
	"math"
	"slices"
	"strings"
	"testing"

	"bagpipe/gpu"
	"bagpipe/gpu/graph"
)

// PAPER 1.4: weights by the scheme, with fans that count the kernel's area; biases and
// shifts 0, scales 1, and 0 for the last of a block if asked for.
func TestInit(t *testing.T) {
	g := build(t, "resnet50d", Options{ZeroGamma: true})
	last := 0
	for _, p := range g.Params() {
		for _, scheme := range []Init{Xavier, MSRAPrelu} {
			values := scheme.Values(p, 1)
			if len(values) != p.Shape.Elems() {
				t.Fatalf("%s: %d values of %v", p.Name, len(values), p.Shape)
			}
			switch p.Role {
			case graph.Gamma, graph.GammaLast, graph.Bias, graph.Beta:
				want := float32(0)
				if p.Role == graph.Gamma {
					want = 1
				}
				if slices.Min(values) != want || slices.Max(values) != want {
					t.Errorf("%s: %v to %v, want %v", p.Name, slices.Min(values), slices.Max(values), want)
				}
			case graph.ConvWeight, graph.LinearWeight:
				checkWeights(t, scheme, p, values)
			default:
				t.Errorf("%s has no role", p.Name)
			}
		}
		if p.Role == graph.GammaLast {
			if last++; !strings.HasSuffix(p.Name, "bn3.weight") {
				t.Errorf("%s is taken for a block's last scale", p.Name)
			}
		}
	}
	if last != 3+4+6+3 {
		t.Errorf("%d last scales, want one in each of 16 blocks", last)
	}
	for _, p := range build(t, "resnet18", Options{}).Params() {
		if p.Role == graph.GammaLast {
			t.Errorf("%s starts at 0 unasked", p.Name)
		}
	}
	for _, p := range build(t, "resnet18", Options{ZeroGamma: true}).Params() {
		if (p.Role == graph.GammaLast) != (strings.HasPrefix(p.Name, "layer") && strings.HasSuffix(p.Name, "bn2.weight")) {
			t.Errorf("%s: role %v", p.Name, p.Role)
		}
	}
	for _, s := range g.States() {
		want := float32(0)
		if strings.HasSuffix(s.Name, "var") {
			want = 1
		}
		if s.Fill != want {
			t.Errorf("%s starts at %v", s.Name, s.Fill)
		}
	}
}

// checkWeights holds the first three moments to those of the law.
func checkWeights(t *testing.T, scheme Init, p *graph.Value, values []float32) {
	t.Helper()
	s := torchShape(p) // O, I, H, W
	area := float64(p.Shape.Elems()) / float64(s[0]*s[1])
	in, out := float64(s[1])*area, float64(s[0])*area
	bound := math.Sqrt(6 / (in + out))
	sigma, kurtosis := bound/math.Sqrt(3), 1.8
	if scheme == MSRAPrelu {
		sigma, kurtosis = math.Sqrt(2/(1+0.25*0.25)/((in+out)/2)), 3
	}
	var sum, square float64
	for _, v := range values {
		sum += float64(v)
		square += float64(v) * float64(v)
		if scheme == Xavier && math.Abs(float64(v)) > bound {
			t.Fatalf("%s: %v, want at most %v", p.Name, v, bound)
		}
	}
	n := float64(len(values))
	if mean := sum / n; math.Abs(mean) > 5*sigma/math.Sqrt(n) {
		t.Errorf("%s %s: mean %v of %v draws of deviation %v", scheme, p.Name, mean, n, sigma)
	}
	if got := square / n; math.Abs(got/(sigma*sigma)-1) > 5*math.Sqrt((kurtosis-1)/n) {
		t.Errorf("%s %s: deviation %v, want %v", scheme, p.Name, math.Sqrt(got), sigma)
	}
	if scheme == Xavier && float64(slices.Max(values)) < bound*(1-20/n) {
		t.Errorf("%s: largest of %v is %v, want about %v", p.Name, n, slices.Max(values), bound)
	}
}

// Contents depend on seed and name alone: not on the order, the model or the machine.
func TestInitDependsOnSeedAndName(t *testing.T) {
	v := func(name string) *graph.Value {
		return &graph.Value{Name: name, Shape: gpu.Shape{16, 3, 3, 8}, Role: graph.ConvWeight}
	}
	for _, scheme := range []Init{Xavier, MSRAPrelu} {
		a := scheme.Values(v("a"), 1)
		if !slices.Equal(a, scheme.Values(v("a"), 1)) || slices.Equal(a, scheme.Values(v("b"), 1)) || slices.Equal(a, scheme.Values(v("a"), 2)) {
			t.Errorf("%s: values do not follow seed and name", scheme)
		}
	}
}
