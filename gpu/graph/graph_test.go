package graph

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"bagpipe/gpu"
)

// must builds a training graph or ends the test.
func must(t *testing.T, f func(g *Graph)) *Graph {
	t.Helper()
	g, err := Build(true, f)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestInferRefuses: every op names scope, op and fault when its operands misfit, and
// takes what fits.
func TestInferRefuses(t *testing.T) {
	type s = []int
	value := func(shape []int, dt gpu.DType) *Value { return &Value{Name: "v", Shape: shape, DType: dt} }
	f := func(shapes ...[]int) (vs []*Value) {
		for _, shape := range shapes {
			if shape == nil {
				vs = append(vs, nil)
				continue
			}
			vs = append(vs, value(shape, gpu.Float32))
		}
		return vs
	}
	i32 := func(shape ...int) *Value { return value(shape, gpu.Int32) }
	conv, window := Conv2D{Stride: 2, Pad: 1, Groups: 1}, Window{Kernel: 3, Stride: 2, Pad: 1}
	x, w, y := s{2, 8, 6, 4}, s{5, 3, 3, 4}, s{2, 4, 3, 5}
	c4 := s{4}
	for _, c := range []struct {
		op   Op
		in   []*Value
		want string // "" where it fits
	}{
		{conv, f(x, w), ""}, {conv, f(x, w, s{5}, y), ""}, {conv, f(x, w, nil, y), ""},
		{conv, f(x), "1 operands"}, {conv, f(x, nil), "operand 1 is missing"}, {conv, f(x, w, s{5}, y, y), "5 operands"},
		{conv, f(s{2, 8, 6}, w), "NHWC"}, {conv, f(x, s{5, 4}), "OHWI"}, {conv, f(s{2, 8, 6, 3}, w), "3 channels"},
		{conv, f(x, w, s{4}), "bias"}, {conv, f(x, w, s{5}, x), "residual"}, {conv, f(s{2, 1, 1, 4}, s{5, 7, 7, 4}), "too small"},
		{Conv2D{Pad: 1, Groups: 1}, f(x, w), "stride 0"}, {Conv2D{Stride: 1, Pad: -1, Groups: 1}, f(x, w), "pad -1"}, {Conv2D{Stride: 1}, f(x, w), "groups 0"},
		{Conv2D{Stride: 1, Groups: 2}, f(x, s{5, 3, 3, 2}), "2 groups"}, {Conv2D{Stride: 1, Groups: 2}, f(x, s{6, 3, 3, 2}), ""},
		{Conv2DGradX{conv, x}, f(y, w), ""}, {Conv2DGradX{conv, x}, f(x, w), "dy is"}, {Conv2DGradX{conv, s{2, 8, 6, 9}}, f(y, w), "9 channels"}, {Conv2DGradX{conv, nil}, f(y, w), "NHWC"},
		{Conv2DGradW{conv, w}, f(x, y), ""}, {Conv2DGradW{conv, w}, f(x, x), "dy is"}, {Conv2DGradW{conv, s{5, 3, 3, 1}}, f(x, y), "channels"},
		{BiasGrad{}, f(y), ""}, {BiasGrad{}, f(s{}), "no axis"}, {BiasGrad{}, nil, "0 operands"},
		{Linear{}, f(s{2, 3}, s{4, 3}, c4), ""}, {Linear{}, f(s{2, 3}, s{3, 4}), "[N,I]"}, {Linear{}, f(s{2, 3}, s{4, 3}, s{3}), "bias"}, {Linear{}, f(x, s{4, 3}), "[N,I]"},
		{LinearGradX{}, f(s{2, 4}, s{4, 3}), ""}, {LinearGradX{}, f(s{2, 3}, s{4, 3}), "[N,O]"}, {LinearGradX{}, f(s{2}, s{4, 3}), "[N,O]"},
		{LinearGradW{}, f(s{2, 3}, s{2, 4}), ""}, {LinearGradW{}, f(s{2, 3}, s{3, 4}), "[N,I]"},
		{BatchNorm{}, f(x, c4, c4, c4, c4), ""}, {BatchNorm{}, f(x, c4, c4, c4, c4, x), ""}, {BatchNorm{}, f(x, c4, c4, c4), "4 operands"},
		{BatchNorm{}, f(c4, c4, c4, c4, c4), "channels last"}, {BatchNorm{}, f(x, c4, c4, s{5}, c4), "operand 3"}, {BatchNorm{}, f(x, c4, c4, c4, c4, y), "residual"}, {BatchNorm{}, f(x, c4, nil, c4, c4), "operand 2 is missing"},
		{BatchNormInfer{}, f(x, c4, c4, c4, c4), ""}, {BatchNormInfer{}, f(x, s{3}, c4, c4, c4), "operand 1"}, {BatchNormInfer{}, f(x, c4, c4, c4, c4, c4), "residual"},
		{BatchNormGrad{}, f(x, x, c4, c4, c4), ""}, {BatchNormGrad{}, f(y, x, c4, c4, c4), "dy is"}, {BatchNormGrad{}, f(x, x, c4, s{3}, c4), "operand 3"},
		{BatchNormGrad{ReLU: true}, f(x, x, c4, c4, c4), "5 operands"}, {BatchNormGrad{ReLU: true}, f(x, x, c4, c4, c4, y), "y is"}, {BatchNormGrad{ReLU: true, Residual: true}, f(x, x, c4, c4, c4, x), ""},
		{MaxPool{window}, f(x), ""}, {MaxPool{window}, f(s{8, 6, 4}), "NHWC"}, {MaxPool{Window{Kernel: 9, Stride: 1}}, f(x), "too small"},
		{MaxPool{Window{Kernel: 3, Stride: 0}}, f(x), "out of range"}, {MaxPool{Window{Kernel: 2, Stride: 1, Pad: 2}}, f(x), "out of range"}, {MaxPool{Window{Stride: 1}}, f(x), "out of range"},
		{AvgPool{window}, f(x), ""}, {AvgPool{window}, f(c4), "NHWC"}, {AvgPool{window}, f(x, x), "2 operands"},
		{MaxPoolGrad{window, x}, []*Value{value(s{2, 4, 3, 4}, gpu.Float32), i32(2, 4, 3, 4)}, ""}, {MaxPoolGrad{window, x}, f(s{2, 4, 3, 4}, s{2, 4, 3, 4}), "int32"},
		{MaxPoolGrad{window, x}, []*Value{value(s{2, 4, 3, 4}, gpu.Float32), i32(2, 4, 3, 3)}, "int32"}, {MaxPoolGrad{window, s{2, 9, 9, 4}}, []*Value{value(s{2, 4, 3, 4}, gpu.Float32), i32(2, 4, 3, 4)}, "dy is"},
		{AvgPoolGrad{window, x}, f(s{2, 4, 3, 4}), ""}, {AvgPoolGrad{window, x}, f(x), "dy is"}, {AvgPoolGrad{window, c4}, f(x), "NHWC"},
		{GlobalAvgPool{}, f(x), ""}, {GlobalAvgPool{}, f(s{2, 4}), "NHWC"}, {GlobalAvgPoolGrad{x}, f(s{2, 4}), ""}, {GlobalAvgPoolGrad{x}, f(s{2, 5}), "dy is"}, {GlobalAvgPoolGrad{s{2, 4}}, f(s{2, 4}), "NHWC"},
		{ReLU{}, f(x), ""}, {ReLU{}, f(x, x), "2 operands"}, {ReLUGrad{}, f(x, x), ""}, {ReLUGrad{}, f(x, y), "differ"}, {ReLUGrad{}, f(x), "1 operands"},
		{Add{}, f(x, x), ""}, {Add{}, f(x, y), "differ"}, {Add{}, []*Value{value(c4, gpu.Float32), value(c4, gpu.Float16)}, "differ"}, {Add{}, f(x, x, x), "3 operands"},
		{Scale{}, f(x), ""}, {Scale{}, f(nil), "operand 0 is missing"},
		{Concat{}, f(x, s{2, 8, 6, 9}), ""}, {Concat{}, f(x, y), "cannot join"}, {Concat{}, f(x, s{2, 8, 6}), "cannot join"}, {Concat{}, f(s{}), "no axis"}, {Concat{}, nil, "0 operands"},
		{Concat{}, []*Value{value(c4, gpu.Float32), value(c4, gpu.BFloat16)}, "cannot join"}, {Concat{}, f(x, nil), "cannot join"},
		{Slice{1, 3}, f(x), ""}, {Slice{2, 3}, f(x), "range 2+3"}, {Slice{-1, 3}, f(x), "range"}, {Slice{1, 0}, f(x), "range"}, {Slice{0, 1}, f(s{}), "range"},
		{Dropout{P: 0.5}, []*Value{value(x, gpu.Float32), i32(1)}, ""}, {Dropout{P: 0.5}, f(x, s{1}), "counter"}, {Dropout{P: 0.5}, f(x, nil), "operand 1 is missing"}, {Dropout{P: 1}, []*Value{value(x, gpu.Float32), i32(1)}, "probability 1"},
		{Target{Classes: 3}, []*Value{i32(7), i32(7), value(s{7}, gpu.Float32)}, ""}, {Target{Classes: 3}, f(s{7}, s{7}, s{7}), "int32[N]"}, {Target{Classes: 3}, []*Value{i32(7), i32(6), value(s{7}, gpu.Float32)}, "int32[N]"},
		{Target{}, []*Value{i32(7), i32(7), value(s{7}, gpu.Float32)}, "0 classes"},
		{SoftmaxCrossEntropy{}, f(s{7, 3}, s{7, 3}), ""}, {SoftmaxCrossEntropy{}, f(s{7, 3}, s{7, 4}), "[N,K]"}, {SoftmaxCrossEntropy{}, f(s{7}, s{7}), "[N,K]"},
		{SoftmaxCrossEntropyGrad{}, f(s{7}, s{7, 3}, s{7, 3}), ""}, {SoftmaxCrossEntropyGrad{}, f(s{6}, s{7, 3}, s{7, 3}), "dloss"}, {SoftmaxCrossEntropyGrad{}, f(s{7}, s{7, 3}, s{7, 4}), "dloss"},
		{Mean{}, f(x), ""}, {Mean{}, nil, "0 operands"}, {Fill{Shape: x}, nil, ""}, {Fill{Shape: s{2, 0}}, nil, "below 1"}, {Fill{Shape: x}, f(x), "1 operands"},
		{Broadcast{Shape: x}, f(s{1}), ""}, {Broadcast{Shape: x}, f(s{2}), "[1]"}, {Broadcast{Shape: s{-1}}, f(s{1}), "below 1"},
		{TopK{5}, []*Value{value(s{7, 3}, gpu.Float32), i32(7)}, ""}, {TopK{5}, f(s{7, 3}, s{7}), "int32[N]"}, {TopK{5}, []*Value{value(s{7, 3}, gpu.Float32), i32(8)}, "int32[N]"}, {TopK{0}, []*Value{value(s{7, 3}, gpu.Float32), i32(7)}, "top 0"},
		{SGD{}, f(x, x, x, s{1}), ""}, {SGD{}, f(x, x, y, s{1}), "differ"}, {SGD{}, f(x, x, x, x), "lr"}, {SGD{}, f(x, x, x), "3 operands"},
		{Accumulate{}, f(x, x), ""}, {Accumulate{}, f(x, y), "differ"}, {Clear{}, f(x), ""}, {Clear{}, nil, "0 operands"},
		{EMA{}, f(x, x, s{1}), ""}, {EMA{}, f(x, y, s{1}), "differ"}, {EMA{}, f(x, x, x), "decay"},
		{AllReduce{}, f(x, y, c4), ""}, {AllReduce{}, []*Value{i32(3)}, "not float32"}, {AllReduce{}, f(x, nil), "not float32"},
	} {
		_, err := Build(true, func(g *Graph) {
			g.Scope = "layer7.conv"
			g.Add(c.op, c.in...)
		})
		if c.want == "" {
			if err != nil {
				t.Errorf("%s of %v: %v", c.op.Name(), c.in, err)
			}
			continue
		}
		var e *Error
		if !errors.As(err, &e) || e.Scope != "layer7.conv" || e.Op != c.op.Name() || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "graph: layer7.conv: "+c.op.Name()+": ") {
			t.Errorf("%s %+v of %v: %v, want an *Error with %q", c.op.Name(), c.op, c.in, err, c.want)
		}
	}
}

func TestWindowExtents(t *testing.T) {
	for _, c := range []struct {
		w       Window
		n, want int
	}{
		{Window{Kernel: 3, Stride: 2, Pad: 1}, 112, 56}, {Window{Kernel: 2, Stride: 2}, 7, 3}, {Window{Kernel: 2, Stride: 2, Ceil: true}, 7, 4},
		{Window{Kernel: 1, Stride: 2}, 7, 4}, {Window{Kernel: 2, Stride: 3, Pad: 1, Ceil: true}, 6, 3}, {Window{Kernel: 3, Stride: 3, Pad: 1, Ceil: true}, 3, 2},
		{Window{Kernel: 2, Stride: 2, Pad: 1, Ceil: true}, 3, 2}, // a third window would start in the padding
	} {
		if got := c.w.out(c.n); got != c.want {
			t.Errorf("%+v of %d: %d, want %d", c.w, c.n, got, c.want)
		}
	}
}

func TestBuild(t *testing.T) {
	for want, f := range map[string]func(g *Graph){
		"two values have this name":                 func(g *Graph) { g.Input("x", gpu.Float32, 1); g.Param("x", Bias, 1) },
		"output: the value is called \"w\" already": func(g *Graph) { g.Output("output", g.Param("w", Bias, 3)) },
		"graph: stem: w: shape 3×0":                 func(g *Graph) { g.Scope = "stem"; g.Param("w", NoRole, 3, 0) },
		"shape -2 has":                              func(g *Graph) { g.State("s", 0, -2) },
		"output: two values": func(g *Graph) {
			x := g.Input("x", gpu.Float32, 1)
			g.Output("output", g.ReLU(x))
			g.Output("output", g.ReLU(x))
		},
	} {
		if g, err := Build(false, f); err == nil || g != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
	// Any other panic is a bug of the caller's and must not pass for a graph.
	func() {
		defer func() {
			if r := recover(); r != "bug" {
				t.Errorf("Build turned a panic into %v", r)
			}
		}()
		Build(true, func(*Graph) { panic("bug") })
	}()
	g := must(t, func(g *Graph) {
		g.Scope = "a"
		x := g.Input("x", gpu.Float32, 2, 3)
		g.Param("p", Bias, 3)
		g.State("s", 2, 3)
		g.Scope = "b"
		g.Output("y", g.ReLU(x))
	})
	if g.Lookup("y") != g.Outputs[0] || g.Lookup("nobody") != nil || len(g.Inputs()) != 1 || len(g.Params()) != 1 || g.States()[0].Fill != 2 || g.Nodes[0].Scope != "b" {
		t.Errorf("graph %+v", g)
	}
	if text := g.Lookup("y").String() + ", " + (&Value{ID: 7, Shape: gpu.Shape{2}, DType: gpu.BFloat16}).String(); text != "y float32[2×3], %7 bfloat16[2]" {
		t.Errorf("values print as %s", text)
	}
	var decaying []Role
	for r := NoRole; r <= Beta; r++ {
		if r.Decays() {
			decaying = append(decaying, r)
		}
	}
	if !slices.Equal(decaying, []Role{ConvWeight, LinearWeight}) {
		t.Errorf("weight decay applies to %v", decaying)
	}
}

// Batch norm and dropout take the form that training asks for.
func TestTrainingForm(t *testing.T) {
	for training, want := range map[bool][]string{true: {"batchnorm", "dropout"}, false: {"batchnorm.infer"}} {
		g, err := Build(training, func(g *Graph) {
			x, c := g.Input("x", gpu.Float32, 2, 4), func(n string) *Value { return g.Param(n, NoRole, 4) }
			y := g.BatchNorm(x, c("gamma"), c("beta"), g.State("mean", 0, 4), g.State("var", 1, 4), 1e-5, 0.9)
			g.Dropout(g.Dropout(y, g.Input("counter", gpu.Int32, 1), Dropout{P: 0.5}), nil, Dropout{})
		})
		if err != nil || !slices.Equal(names(g), want) {
			t.Errorf("training %v: %v, %v; want %v", training, names(g), err, want)
		}
	}
}

func names(g *Graph) (ops []string) {
	for _, n := range g.Nodes {
		ops = append(ops, n.Op.Name())
	}
	return ops
}

func TestCosts(t *testing.T) {
	g := must(t, func(g *Graph) {
		x := g.Input("x", gpu.BFloat16, 2, 8, 6, 4)
		y := g.Conv2D(x, g.Param("w", ConvWeight, 6, 3, 3, 2), g.Param("b", Bias, 6), Conv2D{Stride: 2, Pad: 1, Groups: 2})
		y = g.ReLU(y)
		g.Linear(g.GlobalAvgPool(y), g.Param("fc", LinearWeight, 10, 6), nil)
	})
	want := []Cost{
		{MACs: 2 * 4 * 3 * 6 * 3 * 3 * 2, Params: 6*3*3*2 + 6, Bytes: 2 * 2 * 4 * 3 * 6},
		{Bytes: 2 * 2 * 4 * 3 * 6}, {Bytes: 2 * 2 * 6}, {MACs: 2 * 10 * 6, Params: 60, Bytes: 2 * 2 * 10},
	}
	for i, c := range Costs(g) {
		if want[i].Node = g.Nodes[i]; c != want[i] {
			t.Errorf("%s costs %+v, want %+v", g.Nodes[i].Op.Name(), c, want[i])
		}
	}
}

// The share of what dropout keeps, and that seed, counter and place all matter.
func TestDropoutMask(t *testing.T) {
	const n = 100_000
	kept, same := 0, [3]int{}
	for i := range n {
		a := DropoutMask(1, 2, i, 0.3)
		if a {
			kept++
		}
		for k, b := range []bool{DropoutMask(2, 2, i, 0.3), DropoutMask(1, 3, i, 0.3), DropoutMask(1, 2, i+1, 0.3)} {
			if a == b {
				same[k]++
			}
		}
	}
	if kept < 69_400 || kept > 70_600 {
		t.Errorf("%d of %d kept at P = 0.3", kept, n)
	}
	for k, s := range same { // independent masks agree in 0.7^2 + 0.3^2 of the places
		if s < 57_300 || s > 58_700 {
			t.Errorf("masks that differ in %s agree in %d of %d places", []string{"seed", "counter", "place"}[k], s, n)
		}
	}
	for i := range 1000 {
		if !DropoutMask(9, 9, i, 0) {
			t.Fatal("P = 0 drops")
		}
	}
}
