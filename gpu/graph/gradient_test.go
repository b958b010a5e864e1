package graph

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"bagpipe/gpu"
)

// Each use of a value adds to its gradient; what was not asked for is not computed.
// That the numbers are right is gpu/gputest's to check.
func TestGradientsOfManyUses(t *testing.T) {
	var p, d *Value
	g := must(t, func(g *Graph) {
		x := g.Input("x", gpu.Float32, 3)
		p = g.Param("p", Bias, 3)
		a := g.Sum(p, x)
		b := g.Sum(a, p)
		c := g.Sum(b, b)
		d = Gradients(g, g.Mean(c), []*Value{p})[0]
	})
	// Mean's broadcast goes through c twice to b, once to a, and p has two uses.
	if want := []string{"add", "add", "add", "mean", "fill", "broadcast", "add", "add"}; !slices.Equal(names(g), want) {
		t.Errorf("nodes %v, want %v", names(g), want)
	}
	if !d.Shape.Equal(p.Shape) || d.From != g.Nodes[len(g.Nodes)-1] {
		t.Errorf("gradient %v from %v", d, d.From)
	}
}

func TestGradientsInOrderAndOnDemand(t *testing.T) {
	g := must(t, func(g *Graph) {
		x := g.Input("x", gpu.Float32, 2, 4)
		w, b := g.Param("w", LinearWeight, 3, 4), g.Param("b", Bias, 3)
		v := g.Param("v", LinearWeight, 1, 3)
		g.Scope = "first"
		y := g.Linear(x, w, b)
		g.Scope = "second"
		z := g.Linear(g.ReLU(y), v, nil)
		g.Scope = "loss"
		loss := g.Mean(z)
		for i, d := range Gradients(g, loss, []*Value{b, v, w}) {
			if want := []*Value{b, v, w}[i]; !d.Shape.Equal(want.Shape) || d.DType != gpu.Float32 {
				t.Errorf("gradient %v of %v", d, want)
			}
		}
		if g.Scope != "loss" {
			t.Errorf("scope is left as %q", g.Scope)
		}
	})
	for _, n := range g.Nodes {
		if n.Op.Name() == "linear.dx" && n.Scope == "first" {
			t.Error("the gradient of the input is computed, which nobody wants")
		}
		if n.Op == (BiasGrad{}) && n.Scope != "first" {
			t.Errorf("a backward node carries the scope %q, want its forward node's", n.Scope)
		}
	}
}

// A frozen stem costs no backward nodes.
func TestGradientsStopAtWhatIsWanted(t *testing.T) {
	g := must(t, func(g *Graph) {
		x := g.Input("x", gpu.Float32, 1, 8, 8, 3)
		y := g.ReLU(g.Conv2D(x, g.Param("stem", ConvWeight, 4, 3, 3, 3), nil, Conv2D{Stride: 1, Pad: 1, Groups: 1}))
		fc := g.Param("fc", LinearWeight, 2, 4)
		Gradients(g, g.Mean(g.Linear(g.GlobalAvgPool(y), fc, nil)), []*Value{fc})
	})
	if want := []string{"conv2d", "relu", "globalavgpool", "linear", "mean", "fill", "broadcast", "linear.dw"}; !slices.Equal(names(g), want) {
		t.Errorf("nodes %v, want %v", names(g), want)
	}
}

func TestGradientsRefuse(t *testing.T) {
	for want, f := range map[string]func(g *Graph, x, p *Value){
		"graph: q: gradient: the loss does not depend on it": func(g *Graph, x, p *Value) {
			Gradients(g, g.Mean(g.Sum(x, p)), []*Value{p, g.Param("q", Bias, 2, 3)})
		},
		"graph: head: topk: has no gradient": func(g *Graph, x, p *Value) {
			g.Scope = "head"
			Gradients(g, g.TopK(g.Sum(x, p), g.Input("labels", gpu.Int32, 2), 1), []*Value{p})
		},
		"graph: head: gradient: the loss is": func(g *Graph, x, p *Value) {
			g.Scope = "head"
			Gradients(g, g.Sum(x, p), []*Value{p})
		},
		"depends on output 1, which has no gradient": func(g *Graph, x, p *Value) {
			_, softmax := g.SoftmaxCrossEntropy(g.Sum(x, p), g.Input("target", gpu.Float32, 2, 3))
			Gradients(g, g.Mean(softmax), []*Value{p})
		},
		"batchnorm: the loss depends on output 1": func(g *Graph, x, p *Value) {
			c := func(name string) *Value { return g.Param(name, NoRole, 3) }
			out := g.Add(BatchNorm{}, g.Sum(x, p), c("gamma"), c("beta"), g.State("mean", 0, 3), g.State("var", 1, 3))
			Gradients(g, g.Mean(g.Sum(g.Mean(out[0]), g.Mean(out[1]))), []*Value{p})
		},
	} {
		_, err := Build(true, func(g *Graph) { f(g, g.Input("x", gpu.Float32, 2, 3), g.Param("p", Bias, 2, 3)) })
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an *Error with %q", err, want)
		}
	}
}

// Gradients of 16-bit activations: weights and biases get float32.
func TestGradientTypes(t *testing.T) {
	must(t, func(g *Graph) {
		x := g.Input("x", gpu.BFloat16, 2, 8, 8, 3)
		w, b := g.Param("w", ConvWeight, 4, 3, 3, 3), g.Param("b", Bias, 4)
		gamma, beta := g.Param("gamma", Gamma, 4), g.Param("beta", Beta, 4)
		y := g.Conv2D(x, w, b, Conv2D{Stride: 1, Pad: 1, Groups: 1})
		y = g.BatchNorm(y, gamma, beta, g.State("mean", 0, 4), g.State("var", 1, 4), 1e-5, 0.9)
		if y.DType != gpu.BFloat16 {
			t.Errorf("activation %v", y)
		}
		fc := g.Param("fc", LinearWeight, 2, 4)
		for _, d := range Gradients(g, g.Mean(g.Linear(g.GlobalAvgPool(y), fc, nil)), []*Value{w, b, gamma, beta, fc}) {
			if d.DType != gpu.Float32 {
				t.Errorf("gradient %v, want float32", d)
			}
		}
	})
}
