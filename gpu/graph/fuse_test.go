package graph

import (
	"fmt"
	"slices"
	"testing"

	"bagpipe/gpu"
)

// norm adds a batch norm with values of its own.
func norm(g *Graph, name string, x *Value) *Value {
	c := x.Shape[len(x.Shape)-1]
	return g.BatchNorm(x, g.Param(name+".g", Gamma, c), g.Param(name+".b", Beta, c), g.State(name+".m", 0, c), g.State(name+".v", 1, c), 1e-5, 0.9)
}

// counts tells how often each op appears, fused forms apart.
func counts(g *Graph) map[string]int {
	c := map[string]int{}
	for _, n := range g.Nodes {
		name := n.Op.Name()
		switch op := n.Op.(type) {
		case BatchNorm:
			name += flags(op.ReLU, operand(n, 5) != nil)
		case BatchNormInfer:
			name += flags(op.ReLU, operand(n, 5) != nil)
		case BatchNormGrad:
			name += flags(op.ReLU, op.Residual)
		case Add:
			name += flags(op.ReLU, false)
		}
		c[name]++
	}
	return c
}

func flags(relu, residual bool) (s string) {
	if residual {
		s += "+residual"
	}
	if relu {
		s += "+relu"
	}
	return s
}

// sound checks what every graph must keep: nodes run after what they read was made,
// and each value is made once, by the node it names.
func sound(t *testing.T, g *Graph) {
	t.Helper()
	made := map[*Value]bool{}
	for i, n := range g.Nodes {
		for _, v := range n.In {
			if v != nil && v.From != nil && !made[v] {
				t.Errorf("node %d, %s, reads %v before it is made", i, n.Op.Name(), v)
			}
		}
		for _, v := range n.Out {
			if made[v] || v.From != n {
				t.Errorf("node %d, %s, makes %v, which is made by %v", i, n.Op.Name(), v, v.From)
			}
			made[v] = true
		}
	}
	for _, v := range g.Outputs {
		if v.Kind == Temp && !made[v] {
			t.Errorf("output %v is made by nobody", v)
		}
	}
}

func TestFuse(t *testing.T) {
	image := func(g *Graph) *Value { return g.Input("x", gpu.Float32, 2, 4, 4, 8) }
	other := func(g *Graph) *Value { return g.Input("z", gpu.Float32, 2, 4, 4, 8) }
	for name, c := range map[string]struct {
		build func(g *Graph)
		want  map[string]int
	}{
		"norm, relu": {func(g *Graph) { g.Output("y", g.ReLU(norm(g, "n", image(g)))) }, map[string]int{"batchnorm+relu": 1}},
		"norm, add, relu": {func(g *Graph) { g.Output("y", g.ReLU(g.Sum(norm(g, "n", image(g)), other(g)))) },
			map[string]int{"batchnorm+residual+relu": 1}},
		"add, norm behind": {func(g *Graph) { g.Output("y", g.ReLU(g.Sum(other(g), norm(g, "n", image(g))))) },
			map[string]int{"batchnorm+residual+relu": 1}},
		"two norms, add, relu": {func(g *Graph) {
			x := image(g)
			g.Output("y", g.ReLU(g.Sum(norm(g, "n", x), norm(g, "m", x))))
		}, map[string]int{"batchnorm": 1, "batchnorm+residual+relu": 1}},
		"add, relu": {func(g *Graph) { g.Output("y", g.ReLU(g.Sum(image(g), other(g)))) }, map[string]int{"add+relu": 1}},
		"a norm twice": {func(g *Graph) {
			n := norm(g, "n", image(g))
			g.Output("y", g.ReLU(g.Sum(n, n)))
		}, map[string]int{"batchnorm": 1, "add+relu": 1}},

		// What must stay apart.
		"the norm is an output": {func(g *Graph) { g.Output("y", g.ReLU(g.Output("n", norm(g, "n", image(g))))) },
			map[string]int{"batchnorm": 1, "relu": 1}},
		"the norm has another reader": {func(g *Graph) {
			n := norm(g, "n", image(g))
			g.Output("y", g.ReLU(n))
			g.Output("mean", g.Mean(n))
		}, map[string]int{"batchnorm": 1, "relu": 1, "mean": 1}},
		"the sum has another reader": {func(g *Graph) {
			s := g.Sum(norm(g, "n", image(g)), other(g))
			g.Output("y", g.ReLU(s))
			g.Output("mean", g.Mean(s))
		}, map[string]int{"batchnorm": 1, "add": 1, "relu": 1, "mean": 1}},
		"the summed norm is an output": {func(g *Graph) {
			g.Output("y", g.ReLU(g.Sum(g.Output("n", norm(g, "n", image(g))), other(g))))
		}, map[string]int{"batchnorm": 1, "add+relu": 1}},
		"relu of relu of norm": {func(g *Graph) { g.Output("y", g.ReLU(g.ReLU(norm(g, "n", image(g))))) },
			map[string]int{"batchnorm+relu": 1, "relu": 1}},
		"a convolution alone": {func(g *Graph) {
			g.Output("y", g.ReLU(g.Conv2D(image(g), g.Param("w", ConvWeight, 8, 1, 1, 8), nil, Conv2D{Stride: 1, Groups: 1})))
		}, map[string]int{"conv2d": 1, "relu": 1}},
		"the relu of an input": {func(g *Graph) { g.Output("y", g.ReLU(image(g))) }, map[string]int{"relu": 1}},
		"the batch mean is read before the relu": {func(g *Graph) {
			n := norm(g, "n", image(g))
			g.Output("m", g.Add(Scale{2}, n.From.Out[1])[0])
			g.Output("y", g.ReLU(n))
		}, map[string]int{"batchnorm": 1, "scale": 1, "relu": 1}},
		"the running mean is read before the relu": {func(g *Graph) {
			n := norm(g, "n", image(g))
			g.Output("m", g.Add(Scale{2}, g.Lookup("n.m"))[0])
			g.Output("y", g.ReLU(n))
		}, map[string]int{"batchnorm": 1, "scale": 1, "relu": 1}},
		"an operand is written over before the relu": {func(g *Graph) {
			acc := g.State("acc", 0, 2, 4, 4, 8)
			n := norm(g, "n", acc)
			g.Add(Clear{}, acc)
			g.Output("y", g.ReLU(n))
		}, map[string]int{"batchnorm": 1, "clear": 1, "relu": 1}},
	} {
		for _, training := range []bool{true, false} {
			if !training && name == "the batch mean is read before the relu" {
				continue // inference has none
			}
			g, err := Build(training, c.build)
			if err != nil {
				t.Fatal(err)
			}
			outputs := slices.Clone(g.Outputs)
			Fuse(g)
			sound(t, g)
			want := map[string]int{}
			for op, n := range c.want {
				if !training && len(op) >= 9 && op[:9] == "batchnorm" {
					op = "batchnorm.infer" + op[9:]
				}
				want[op] = n
			}
			if !training && name == "the running mean is read before the relu" {
				want = map[string]int{"batchnorm.infer+relu": 1, "scale": 1} // inference only reads it
			}
			if got := counts(g); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s, training %v: %v, want %v", name, training, got, want)
			}
			if !slices.Equal(g.Outputs, outputs) {
				t.Errorf("%s: outputs change", name)
			}
			once := fmt.Sprint(counts(g))
			if Fuse(g); fmt.Sprint(counts(g)) != once {
				t.Errorf("%s: fusing again changes %v to %v", name, once, counts(g))
			}
		}
	}
}

// residualNet is a training step of blocks, some with a projected shortcut.
func residualNet(g *Graph, blocks int) (params []*Value, grads []*Value) {
	conv := func(name string, x *Value, out, k, stride int) *Value {
		w := g.Param(name, ConvWeight, out, k, k, x.Shape[3])
		return norm(g, name+".bn", g.Conv2D(x, w, nil, Conv2D{Stride: stride, Pad: k / 2, Groups: 1}))
	}
	x := g.ReLU(conv("stem", g.Input("x", gpu.Float32, 4, 16, 16, 3), 8, 3, 1))
	for i := range blocks {
		name, width, stride := fmt.Sprint("block", i), 8<<(i/2), 1+i%2*(i/2)
		y := g.ReLU(conv(name+".1", x, width, 1, 1))
		y = g.ReLU(conv(name+".2", y, width, 3, stride))
		y = conv(name+".3", y, width, 1, 1)
		if stride > 1 || x.Shape[3] != width {
			x = conv(name+".down", x, width, 1, stride)
		}
		x = g.ReLU(g.Sum(y, x))
	}
	logits := g.Linear(g.GlobalAvgPool(x), g.Param("fc", LinearWeight, 5, x.Shape[3]), nil)
	loss, _ := g.SoftmaxCrossEntropy(logits, g.Input("target", gpu.Float32, 4, 5))
	params = g.Params()
	grads = Gradients(g, g.Output("loss", g.Mean(loss)), params)
	for i, d := range grads {
		p := params[i]
		g.Add(SGD{Momentum: 0.9}, p, g.State(p.Name+".mom", 0, p.Shape...), g.Add(AllReduce{Scale: 0.5}, d)[0], lr(g))
	}
	return params, grads
}

func lr(g *Graph) *Value {
	if v := g.Lookup("lr"); v != nil {
		return v
	}
	return g.Input("lr", gpu.Float32, 1)
}

// In a whole training step every ReLU goes into a norm, and every mask into a norm's
// gradient: 3 blocks of 3 norms each and a stem, one block with a projection.
func TestFuseStep(t *testing.T) {
	g := must(t, func(g *Graph) { residualNet(g, 3) })
	before := counts(g)
	if before["relu"] != 10 || before["relu.grad"] != 10 || before["batchnorm"] != 11 || before["batchnorm.grad"] != 11 {
		t.Fatalf("before: %v", before)
	}
	plain := len(g.Nodes)
	Fuse(g)
	sound(t, g)
	after := counts(g)
	want := map[string]int{
		"relu": 0, "relu.grad": 0, "add+relu": 0,
		"batchnorm+relu": 7, "batchnorm+residual+relu": 3, "batchnorm": 1,
		"batchnorm.grad+relu": 7, "batchnorm.grad+residual+relu": 3, "batchnorm.grad": 1,
	}
	for op, n := range want {
		if after[op] != n {
			t.Errorf("%s: %d, want %d", op, after[op], n)
		}
	}
	// Ten ReLUs, ten masks and three sums went.
	if gone := plain - len(g.Nodes); gone != 23 {
		t.Errorf("%d nodes of %d went, want 23: %v to %v", gone, plain, before, after)
	}
}

// A mask that others read too is handed out by the fused node; one whose norm comes
// too early for its operands stays.
func TestFuseReLUGrad(t *testing.T) {
	g := must(t, func(g *Graph) {
		x, dy := g.Input("x", gpu.Float32, 2, 4), g.Input("dy", gpu.Float32, 2, 4)
		c := func(name string) *Value { return g.Param(name, NoRole, 4) }
		mask := g.Add(ReLUGrad{}, dy, g.Input("y", gpu.Float32, 2, 4))[0]
		g.Output("d", g.Add(BatchNormGrad{}, mask, x, c("gamma"), c("mean"), c("inv"))[0])
		g.Output("masked", mask)
	})
	masked := g.Lookup("masked")
	Fuse(g)
	sound(t, g)
	if n := g.Nodes[0]; len(g.Nodes) != 1 || n.Op != (BatchNormGrad{ReLU: true, Residual: true}) || n.Out[3] != masked {
		t.Errorf("nodes %v", names(g))
	}

	g = must(t, func(g *Graph) {
		x, dy := g.Input("x", gpu.Float32, 2, 4), g.Input("dy", gpu.Float32, 2, 4)
		c := func(name string) *Value { return g.Param(name, NoRole, 4) }
		mask := g.Add(ReLUGrad{}, dy, x)[0]
		late := g.Add(Scale{2}, c("mean"))[0]
		g.Output("d", g.Add(BatchNormGrad{}, mask, x, c("gamma"), late, c("inv"))[0])
	})
	Fuse(g)
	sound(t, g)
	if want := []string{"relu.grad", "scale", "batchnorm.grad"}; !slices.Equal(names(g), want) {
		t.Errorf("nodes %v, want %v", names(g), want)
	}
}
