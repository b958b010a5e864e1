package gputest

import (
	"fmt"
	"math/rand/v2"

	"bagpipe/gpu"
	"bagpipe/gpu/graph"
)

// feed is short for a testCase's overrides.
type feed = map[string]func(r *rand.Rand, i int) float64

// labels draws labels below classes; now and then one is missing (-1).
func labels(classes int) func(*rand.Rand, int) float64 {
	return func(r *rand.Rand, i int) float64 {
		if i%5 == 3 {
			return -1
		}
		return float64(r.IntN(classes))
	}
}

func constant(x float64) func(*rand.Rand, int) float64 {
	return func(*rand.Rand, int) float64 { return x }
}

// coarse draws small integers, which tie often.
func coarse(r *rand.Rand, _ int) float64 { return float64(r.IntN(4)) }

// opCases covers every op over odd shapes.
func opCases() (cs []testCase) {
	for _, part := range [][]testCase{convCases(), linearCases(), normCases(), poolCases(), pointwiseCases(), lossCases(), updateCases()} {
		cs = append(cs, part...)
	}
	return cs
}

// convShapes are {n, h, w, c, o, kh, kw, stride, pad, groups}.
var convShapes = [][10]int{
	{1, 1, 1, 1, 1, 1, 1, 1, 0, 1},
	{2, 5, 7, 3, 5, 3, 3, 1, 1, 1},
	{3, 9, 6, 5, 17, 3, 3, 2, 1, 1},
	{2, 8, 8, 16, 16, 3, 3, 1, 1, 1},
	{2, 8, 8, 16, 33, 1, 1, 1, 0, 1},
	{1, 7, 9, 33, 16, 1, 1, 2, 0, 1},
	{2, 17, 15, 3, 16, 7, 7, 2, 3, 1},
	{1, 6, 6, 64, 32, 3, 3, 2, 1, 1},
	{2, 6, 5, 12, 8, 3, 3, 1, 1, 4},
	{2, 7, 7, 17, 17, 3, 3, 1, 1, 17},
	{1, 9, 9, 32, 32, 3, 3, 2, 1, 32},
	{2, 5, 5, 8, 16, 3, 3, 1, 0, 8},
	{2, 4, 9, 6, 4, 1, 7, 1, 3, 1},
	{2, 9, 4, 6, 4, 7, 1, 1, 3, 1},
	{1, 3, 3, 2, 3, 5, 5, 1, 2, 1},
	{1, 6, 6, 4, 4, 2, 2, 3, 1, 1},
	{1, 12, 12, 32, 64, 3, 3, 1, 2, 2},
	// What fast algorithms for 3x3 like, with edges that cut their tiles.
	{3, 1, 1, 16, 32, 3, 3, 1, 1, 1},
	{2, 7, 5, 32, 16, 3, 3, 1, 1, 1},
	{5, 13, 10, 16, 48, 3, 3, 1, 1, 1},
	{1, 3, 2, 144, 128, 3, 3, 1, 1, 1},
	{2, 31, 29, 16, 16, 3, 3, 1, 1, 1}, // several blocks of tiles
}

func convCases() (cs []testCase) {
	for _, s := range convShapes {
		n, h, w, c, o, groups := s[0], s[1], s[2], s[3], s[4], s[9]
		attrs := graph.Conv2D{Stride: s[7], Pad: s[8], Groups: groups}
		name := fmt.Sprintf("conv/%dx%dx%dx%d-%dk%dx%ds%dp%dg%d", n, h, w, c, o, s[5], s[6], s[7], s[8], groups)
		weights := gpu.Shape{o, s[5], s[6], c / groups}
		cs = append(cs, testCase{name: name, build: func(g *graph.Graph, dt gpu.DType) {
			x, wt := g.Input("x", dt, n, h, w, c), g.Param("w", graph.ConvWeight, weights...)
			bias := g.Param("bias", graph.Bias, o)
			y := g.Output("y", g.Conv2D(x, wt, nil, attrs))
			residual := g.Input("residual", dt, y.Shape...)
			relu := attrs
			relu.ReLU = true
			g.Output("y+bias", g.Conv2D(x, wt, bias, attrs))
			g.Output("y+bias+relu", g.Add(relu, x, wt, bias)[0])
			g.Output("y+residual+relu", g.Add(relu, x, wt, nil, residual)[0])
			g.Output("y+bias+residual", g.Add(attrs, x, wt, bias, residual)[0])
			g.Output("dx", g.Add(graph.Conv2DGradX{Conv: attrs, X: x.Shape}, residual, wt)[0])
			g.Output("dw", g.Add(graph.Conv2DGradW{Conv: attrs, W: wt.Shape}, x, residual)[0])
			g.Output("db", g.Add(graph.BiasGrad{}, residual)[0])
		}})
	}
	return cs
}

func linearCases() (cs []testCase) {
	for _, s := range [][3]int{{1, 1, 1}, {3, 5, 17}, {16, 64, 10}, {33, 17, 1}, {1, 130, 33}} {
		cs = append(cs, testCase{name: fmt.Sprintf("linear/%dx%d-%d", s[0], s[1], s[2]), build: func(g *graph.Graph, dt gpu.DType) {
			x, w, bias := g.Input("x", dt, s[0], s[1]), g.Param("w", graph.LinearWeight, s[2], s[1]), g.Param("bias", graph.Bias, s[2])
			dy := g.Input("dy", dt, s[0], s[2])
			g.Output("y", g.Linear(x, w, nil))
			g.Output("y+bias", g.Linear(x, w, bias))
			g.Output("dx", g.Add(graph.LinearGradX{}, dy, w)[0])
			g.Output("dw", g.Add(graph.LinearGradW{}, x, dy)[0])
			g.Output("db", g.Add(graph.BiasGrad{}, dy)[0])
		}})
	}
	return cs
}

func normCases() (cs []testCase) {
	for _, shape := range []gpu.Shape{{5, 1}, {4, 5, 7, 3}, {1, 3, 3, 16}, {8, 6, 6, 17}, {3, 33, 20, 33}, {16, 64}, {5, 7, 5, 130}} {
		c := shape[len(shape)-1]
		cs = append(cs, testCase{name: "batchnorm/" + shape.String(), loose: 4, feed: feed{
			// Far from zero mean, where careless variances lose all digits.
			"x": func(r *rand.Rand, i int) float64 { return 30 + r.NormFloat64()*float64(1+i%3) },
		}, build: func(g *graph.Graph, dt gpu.DType) {
			x, dy, residual := g.Input("x", dt, shape...), g.Input("dy", dt, shape...), g.Input("residual", dt, shape...)
			gamma, beta := g.Param("gamma", graph.Gamma, c), g.Param("beta", graph.Beta, c)
			norm := func(name string, op graph.BatchNorm, extra ...*graph.Value) []*graph.Value {
				mean, variance := g.State(name+".mean", 0, c), g.State(name+".variance", 1, c)
				out := g.Add(op, append([]*graph.Value{x, gamma, beta, mean, variance}, extra...)...)
				g.Output(name+".y", out[0])
				return out
			}
			grads := func(name string, op graph.BatchNormGrad, of []*graph.Value, extra ...*graph.Value) {
				out := g.Add(op, append([]*graph.Value{dy, x, gamma, of[1], of[2]}, extra...)...)
				for i, v := range out {
					g.Output(fmt.Sprint(name, ".", []string{"dx", "dgamma", "dbeta", "dresidual"}[i]), v)
				}
			}
			op := graph.BatchNorm{Eps: 1e-5, Momentum: 0.9}
			grads("grad", graph.BatchNormGrad{}, norm("plain", op))
			op.ReLU = true
			of := norm("relu", op)
			grads("relu.grad", graph.BatchNormGrad{ReLU: true}, of, of[0])
			of = norm("residual", op, residual)
			grads("residual.grad", graph.BatchNormGrad{ReLU: true, Residual: true}, of, of[0])
			op.ReLU = false
			norm("residual-only", op, residual)
			mean, variance := g.Input("rmean", gpu.Float32, c), g.Input("rvariance", gpu.Float32, c)
			infer := graph.BatchNormInfer{Eps: 1e-3}
			g.Output("infer", g.Add(infer, x, gamma, beta, mean, variance)[0])
			infer.ReLU = true
			g.Output("infer.relu", g.Add(infer, x, gamma, beta, mean, variance)[0])
			g.Output("infer.residual.relu", g.Add(infer, x, gamma, beta, mean, variance, residual)[0])
		}})
	}
	return cs
}

func poolCases() (cs []testCase) {
	windows := []graph.Window{{Kernel: 1, Stride: 1}, {Kernel: 2, Stride: 2}, {Kernel: 3, Stride: 2, Pad: 1}, {Kernel: 2, Stride: 2, Ceil: true},
		{Kernel: 3, Stride: 1, Pad: 1}, {Kernel: 2, Stride: 3, Pad: 1, Ceil: true}, {Kernel: 5, Stride: 3, Pad: 2, Ceil: true}}
	for _, shape := range []gpu.Shape{{1, 6, 6, 1}, {2, 7, 5, 17}, {3, 8, 9, 33}} {
		for _, w := range windows {
			for _, draw := range []string{"", "/ties"} {
				c := testCase{name: fmt.Sprintf("pool/%v-k%ds%dp%d%v%s", shape, w.Kernel, w.Stride, w.Pad, w.Ceil, draw), build: func(g *graph.Graph, dt gpu.DType) {
					x := g.Input("x", dt, shape...)
					out := g.Add(graph.MaxPool{Window: w}, x)
					dy := g.Input("dy", dt, out[0].Shape...)
					g.Output("max", out[0])
					g.Output("positions", out[1])
					g.Output("dmax", g.Add(graph.MaxPoolGrad{Window: w, X: shape}, dy, out[1])[0])
					g.Output("avg", g.AvgPool(x, w))
					g.Output("davg", g.Add(graph.AvgPoolGrad{Window: w, X: shape}, dy)[0])
				}}
				if draw != "" {
					c.feed = feed{"x": coarse}
				}
				cs = append(cs, c)
			}
		}
	}
	for _, shape := range []gpu.Shape{{1, 1, 1, 1}, {3, 7, 5, 17}, {2, 8, 8, 64}} {
		cs = append(cs, testCase{name: "globalavgpool/" + shape.String(), build: func(g *graph.Graph, dt gpu.DType) {
			y := g.Output("y", g.GlobalAvgPool(g.Input("x", dt, shape...)))
			g.Output("dx", g.Add(graph.GlobalAvgPoolGrad{X: shape}, g.Input("dy", dt, y.Shape...))[0])
		}})
	}
	return cs
}

func pointwiseCases() (cs []testCase) {
	for _, shape := range []gpu.Shape{{1}, {3, 5}, {2, 3, 5, 17}, {4, 9, 9, 16}, {1, 1, 1, 33}} {
		cs = append(cs, testCase{name: "pointwise/" + shape.String(), feed: feed{"counter": constant(41)}, build: func(g *graph.Graph, dt gpu.DType) {
			x, z := g.Input("x", dt, shape...), g.Input("z", dt, shape...)
			counter := g.Input("counter", gpu.Int32, 1)
			y := g.Output("relu", g.ReLU(x))
			g.Output("relu.grad", g.Add(graph.ReLUGrad{}, z, y)[0])
			g.Output("sum", g.Sum(x, z))
			g.Output("sum.relu", g.Add(graph.Add{ReLU: true}, x, z)[0])
			g.Output("double", g.Sum(x, x))
			g.Output("scale", g.Add(graph.Scale{By: -1.5}, x)[0])
			g.Output("dropout", g.Dropout(x, counter, graph.Dropout{P: 0.3, Seed: 1<<63 + 12345}))
			g.Output("fill", g.Add(graph.Fill{Shape: shape, With: 2.5})[0])
			g.Output("broadcast", g.Add(graph.Broadcast{Shape: shape, By: 0.25}, g.Add(graph.Fill{Shape: gpu.Shape{1}, With: 3})[0])[0])
			g.Output("mean", g.Mean(x))
			w := g.Input("wide", dt, append(append(gpu.Shape{}, shape[:len(shape)-1]...), 5)...)
			joined := g.Output("concat", g.Concat(w, x, w))
			g.Output("slice", g.Add(graph.Slice{Start: 3, Len: shape[len(shape)-1]}, joined)[0])
			g.Output("slice.one", g.Add(graph.Slice{Start: 0, Len: 1}, joined)[0])
		}})
	}
	return cs
}

func lossCases() (cs []testCase) {
	for _, s := range [][2]int{{1, 1}, {1, 2}, {7, 10}, {16, 33}, {9, 1000}} {
		n, k := s[0], s[1]
		for _, mix := range []string{"", "/mixed"} {
			c := testCase{name: fmt.Sprintf("loss/%dx%d%s", n, k, mix), feed: feed{"a": labels(k), "b": labels(k), "lambda": constant(1),
				"logits": func(r *rand.Rand, i int) float64 { return 20*r.NormFloat64() + 50 }}, build: func(g *graph.Graph, dt gpu.DType) {
				a, b, lambda := g.Input("a", gpu.Int32, n), g.Input("b", gpu.Int32, n), g.Input("lambda", gpu.Float32, n)
				logits, dloss := g.Input("logits", dt, n, k), g.Input("dloss", gpu.Float32, n)
				ties := g.Input("ties", dt, n, k)
				target := g.Output("target", g.Target(a, b, lambda, graph.Target{Classes: k, On: 0.9, Off: 0.1 / float32(max(k-1, 1))}))
				loss, softmax := g.SoftmaxCrossEntropy(logits, target)
				g.Output("loss", loss)
				g.Output("softmax", softmax)
				g.Output("mean", g.Mean(loss))
				g.Output("dlogits", g.Add(graph.SoftmaxCrossEntropyGrad{}, dloss, softmax, target)[0])
				for _, top := range []int{1, 5} {
					g.Output(fmt.Sprint("top", top), g.TopK(logits, a, top))
					g.Output(fmt.Sprint("ties", top), g.TopK(ties, a, top))
				}
			}}
			c.feed["ties"] = coarse
			if mix != "" {
				c.feed["lambda"] = func(r *rand.Rand, _ int) float64 { return r.Float64() }
				c.feed["b"] = func(r *rand.Rand, _ int) float64 { return float64(r.IntN(k)) }
				c.feed["a"] = c.feed["b"]
			}
			cs = append(cs, c)
		}
	}
	return cs
}

func updateCases() (cs []testCase) {
	for _, shape := range []gpu.Shape{{1}, {17}, {16, 3, 3, 5}, {1000, 33}} {
		for _, nesterov := range []bool{false, true} {
			cs = append(cs, testCase{name: fmt.Sprintf("update/%v-%v", shape, nesterov), feed: feed{"lr": constant(0.1), "decay": constant(0.99)},
				build: func(g *graph.Graph, dt gpu.DType) {
					lr, decay := g.Input("lr", gpu.Float32, 1), g.Input("decay", gpu.Float32, 1)
					w, d := g.Param("w", graph.ConvWeight, shape...), g.Input("d", gpu.Float32, shape...)
					m, avg := g.State("m", 0, shape...), g.State("avg", 0, shape...)
					acc, gone := g.State("acc", 0, shape...), g.State("gone", 0, shape...)
					sum := g.Add(graph.Accumulate{}, acc, d)[0]
					scaled := g.Add(graph.Scale{By: 0.5}, sum)[0]
					reduced := g.Add(graph.AllReduce{Scale: 0.25}, scaled)[0]
					out := g.Add(graph.SGD{Momentum: 0.9, WeightDecay: 1e-2, Nesterov: nesterov}, w, m, reduced, lr)
					g.Add(graph.EMA{}, avg, out[0], decay)
					g.Add(graph.Clear{}, gone)
				}})
		}
	}
	return cs
}

// stepCases are whole training steps of a small residual network; in float32 the
// error grows through the layers, and their loss is the proof that gradients,
// fusion and the memory plan work together.
func stepCases() (cs []testCase) {
	for _, c := range []struct{ n, size, width, stride int }{{2, 8, 16, 1}, {3, 9, 5, 2}, {1, 12, 33, 2}} {
		cs = append(cs, testCase{name: fmt.Sprintf("step/%dx%dx%d-s%d", c.n, c.size, c.width, c.stride), loose: 50,
			feed:  feed{"a": func(r *rand.Rand, _ int) float64 { return float64(r.IntN(7)) }, "lambda": constant(1), "lr": constant(0.01), "counter": constant(3)},
			build: func(g *graph.Graph, dt gpu.DType) { buildStep(g, dt, c.n, c.size, c.width, c.stride) }})
	}
	return cs
}

func buildStep(g *graph.Graph, dt gpu.DType, n, size, width, stride int) {
	norm := func(name string, x *graph.Value) *graph.Value {
		c := x.Shape[len(x.Shape)-1]
		return g.BatchNorm(x, g.Param(name+".gamma", graph.Gamma, c), g.Param(name+".beta", graph.Beta, c),
			g.State(name+".mean", 0, c), g.State(name+".variance", 1, c), 1e-5, 0.9)
	}
	conv := func(name string, x *graph.Value, o, k, stride int) *graph.Value {
		w := g.Param(name, graph.ConvWeight, o, k, k, x.Shape[3])
		return norm(name+".bn", g.Conv2D(x, w, nil, graph.Conv2D{Stride: stride, Pad: k / 2, Groups: 1}))
	}
	x := g.ReLU(conv("stem", g.Input("x", dt, n, size, size, 3), width, 3, 1))
	x = g.MaxPool(x, graph.Window{Kernel: 3, Stride: 1, Pad: 1})
	for i := range 2 {
		name := fmt.Sprint("block", i)
		y := g.ReLU(conv(name+".1", x, width, 3, stride))
		y = conv(name+".2", y, width, 1, 1)
		short := x
		if stride != 1 {
			short = conv(name+".short", g.AvgPool(x, graph.Window{Kernel: stride, Stride: stride, Ceil: true}), width, 1, 1)
		}
		x = g.ReLU(g.Sum(y, short))
	}
	flat := g.Dropout(g.GlobalAvgPool(x), g.Input("counter", gpu.Int32, 1), graph.Dropout{P: 0.2, Seed: 5})
	logits := g.Output("logits", g.Linear(flat, g.Param("fc", graph.LinearWeight, 7, width), g.Param("fc.bias", graph.Bias, 7)))
	a := g.Input("a", gpu.Int32, n)
	losses, _ := g.SoftmaxCrossEntropy(logits, g.Target(a, a, g.Input("lambda", gpu.Float32, n), graph.Target{Classes: 7, On: 0.9, Off: 0.1 / 6}))
	loss := g.Output("loss", g.Mean(losses))
	params := g.Params()
	lr := g.Input("lr", gpu.Float32, 1)
	for i, d := range graph.Gradients(g, loss, params) {
		p := params[i]
		g.Add(graph.SGD{Momentum: 0.9, WeightDecay: 1e-4, Nesterov: true}, p, g.State(p.Name+".m", 0, p.Shape...), d, lr)
	}
}
