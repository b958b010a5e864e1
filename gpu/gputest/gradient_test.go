package gputest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"bagpipe/gpu"
	"bagpipe/gpu/graph"
)

// TestGradientsAreSlopes holds graph.Gradients of every differentiable op to central
// differences of the float64 interpreter, so that the rules, and the definitions of the
// backward ops that backends are compared with, are right and not only agreed upon. The
// loss weighs the op's output by a mask and random factors: each element counts
// differently.
func TestGradientsAreSlopes(t *testing.T) {
	in := func(g *graph.Graph, name string, shape ...int) *graph.Value {
		return g.Input(name, gpu.Float32, shape...)
	}
	norm := func(g *graph.Graph, x *graph.Value) *graph.Value {
		c := x.Shape[len(x.Shape)-1]
		return g.BatchNorm(x, in(g, "gamma", c), in(g, "beta", c), g.State("mean", 0, c), g.State("variance", 1, c), 1e-3, 0.9)
	}
	x4 := func(g *graph.Graph) *graph.Value { return in(g, "x", 2, 5, 4, 4) }
	for name, f := range map[string]func(g *graph.Graph) *graph.Value{
		"conv": func(g *graph.Graph) *graph.Value {
			return g.Conv2D(x4(g), in(g, "w", 3, 3, 3, 4), in(g, "b", 3), graph.Conv2D{Stride: 1, Pad: 1, Groups: 1})
		},
		"conv, strided, in groups": func(g *graph.Graph) *graph.Value {
			return g.Conv2D(x4(g), in(g, "w", 6, 3, 2, 2), nil, graph.Conv2D{Stride: 2, Pad: 1, Groups: 2})
		},
		"conv of itself": func(g *graph.Graph) *graph.Value {
			w := in(g, "w", 4, 1, 1, 4)
			c := graph.Conv2D{Stride: 1, Groups: 1}
			return g.Conv2D(g.Conv2D(x4(g), w, nil, c), w, nil, c)
		},
		"linear": func(g *graph.Graph) *graph.Value {
			return g.Linear(in(g, "x", 3, 5), in(g, "w", 4, 5), in(g, "b", 4))
		},
		"batch norm":      func(g *graph.Graph) *graph.Value { return norm(g, x4(g)) },
		"batch norm flat": func(g *graph.Graph) *graph.Value { return norm(g, in(g, "x", 6, 3)) },
		"relu":            func(g *graph.Graph) *graph.Value { return g.ReLU(x4(g)) },
		"add":             func(g *graph.Graph) *graph.Value { return g.Sum(x4(g), in(g, "z", 2, 5, 4, 4)) },
		"add of itself": func(g *graph.Graph) *graph.Value {
			x := x4(g)
			return g.Sum(g.ReLU(x), g.Sum(x, x))
		},
		"scale": func(g *graph.Graph) *graph.Value { return g.Add(graph.Scale{By: -1.5}, x4(g))[0] },
		"concat": func(g *graph.Graph) *graph.Value {
			x := x4(g)
			return g.Concat(x, in(g, "z", 2, 5, 4, 1), x)
		},
		"dropout": func(g *graph.Graph) *graph.Value {
			return g.Dropout(x4(g), g.Input("counter", gpu.Int32, 1), graph.Dropout{P: 0.4, Seed: 3})
		},
		"max pool": func(g *graph.Graph) *graph.Value { return g.MaxPool(x4(g), graph.Window{Kernel: 3, Stride: 2, Pad: 1}) },
		"max pool, ceil": func(g *graph.Graph) *graph.Value {
			return g.MaxPool(x4(g), graph.Window{Kernel: 2, Stride: 2, Ceil: true})
		},
		"average pool": func(g *graph.Graph) *graph.Value { return g.AvgPool(x4(g), graph.Window{Kernel: 3, Stride: 1, Pad: 1}) },
		"average pool, ceil": func(g *graph.Graph) *graph.Value {
			return g.AvgPool(x4(g), graph.Window{Kernel: 2, Stride: 2, Ceil: true})
		},
		"global average pool": func(g *graph.Graph) *graph.Value { return g.GlobalAvgPool(x4(g)) },
		"softmax cross-entropy": func(g *graph.Graph) *graph.Value {
			loss, _ := g.SoftmaxCrossEntropy(in(g, "x", 4, 5), in(g, "target*", 4, 5))
			return loss
		},
	} {
		t.Run(name, func(t *testing.T) { checkSlopes(t, f) })
	}
}

// checkSlopes compares the gradients of all float inputs of f but the ones marked *.
func checkSlopes(t *testing.T, f func(g *graph.Graph) *graph.Value) {
	var wrt []*graph.Value
	g := build(t, true, func(g *graph.Graph) {
		y := f(g)
		for _, v := range g.Inputs() {
			if v.DType == gpu.Float32 && v.Name[len(v.Name)-1] != '*' {
				wrt = append(wrt, v)
			}
		}
		c := y.Shape[len(y.Shape)-1]
		switch len(y.Shape) {
		case 4:
			y = g.ReLU(g.Sum(y, g.Input("noise*", gpu.Float32, y.Shape...)))
			y = g.Conv2D(y, g.Input("weigh*", gpu.Float32, 2, 3, 3, c), nil, graph.Conv2D{Stride: 1, Pad: 1, Groups: 1})
		case 2:
			y = g.ReLU(g.Sum(y, g.Input("noise*", gpu.Float32, y.Shape...)))
			y = g.Linear(y, g.Input("weigh*", gpu.Float32, 2, c), nil)
		}
		loss := g.Output("loss", g.Mean(y))
		for i, d := range graph.Gradients(g, loss, wrt) {
			// Two gradients can be one value; a copy can have its own name.
			g.Output(fmt.Sprint("d", i), g.Add(graph.Scale{By: 1}, d)[0])
		}
	})
	c := testCase{feed: feed{"counter": constant(7)}}
	leaves := c.contents(g)
	got := interpret(g, leaves)
	const h = 1e-6
	for i, v := range wrt {
		d := got[fmt.Sprint("d", i)]
		if len(d) != v.Shape.Elems() {
			t.Fatalf("gradient of %v has %d elements", v, len(d))
		}
		xs, slopes, scale := leaves[v.Name], make([]float64, len(d)), 0.0
		for k, x := range xs {
			xs[k] = x + h
			up := interpret(g, leaves)["loss"][0]
			xs[k] = x - h
			slopes[k] = (up - interpret(g, leaves)["loss"][0]) / (2 * h)
			xs[k] = x
			scale = max(scale, math.Abs(slopes[k]))
		}
		for k, want := range slopes {
			if math.Abs(d[k]-want) > 1e-6*max(scale, 1e-3) {
				t.Fatalf("element %d of the gradient of %v is %v, the slope is %v", k, v, d[k], want)
			}
		}
		if scale == 0 {
			t.Errorf("the loss does not move with %v: the test shows nothing", v)
		}
	}
}

// TestFusionKeepsTheNumbers interprets whole training steps before and after Fuse: the
// same outputs, and the same params and states left behind.
func TestFusionKeepsTheNumbers(t *testing.T) {
	for _, c := range stepCases() {
		plain, fused := c.graph(t, gpu.Float32), c.graph(t, gpu.Float32)
		nodes := len(fused.Nodes)
		graph.Fuse(fused)
		if len(fused.Nodes) >= nodes {
			t.Errorf("%s: nothing was fused", c.name)
		}
		leaves := c.contents(plain)
		want, got := interpret(plain, leaves), interpret(fused, leaves)
		for name, w := range want {
			if fault := compare(got[name], w, 1e-12); fault != "" {
				t.Errorf("%s: %s: %s", c.name, name, fault)
			}
		}
	}
}

// The reference's own conversions, which are written another way than gpu's, agree
// with them in every 16-bit value and between.
func TestConversionsAgree(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for h := range uint32(1 << 16) {
		b := []byte{byte(h), byte(h >> 8)}
		if a, b := decode(b, gpu.Float16), float64(gpu.FromFloat16(uint16(h))); a != b && (a == a || b == b) {
			t.Fatalf("binary16 %#04x is %v and %v", h, a, b)
		}
		f := math.Float32frombits(h<<16 | r.Uint32()&0xffff)
		if f != f {
			continue
		}
		if a, b := float16(float64(f)), gpu.ToFloat16(f); a != b {
			t.Fatalf("%v becomes binary16 %#04x and %#04x", f, a, b)
		}
		if a, b := bfloat16(float64(f)), gpu.ToBFloat16(f); a != b {
			t.Fatalf("%v becomes bfloat16 %#04x and %#04x", f, a, b)
		}
	}
}
