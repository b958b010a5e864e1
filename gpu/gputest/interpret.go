package gputest

import (
	"fmt"
	"math"

	"bagpipe/gpu"
	"bagpipe/gpu/graph"
)

// A tensor is a value's contents during interpretation. Integers are kept as
// float64, which holds them exactly.
type tensor struct {
	shape gpu.Shape
	x     []float64
}

func newTensor(s gpu.Shape) tensor { return tensor{s, make([]float64, s.Elems())} }

func (t tensor) last() int { return t.shape[len(t.shape)-1] }

// interpret runs g on leaves in float64 and returns the final contents of every
// named value: outputs, and params and states as the ops left them.
func interpret(g *graph.Graph, leaves map[string][]float64) map[string][]float64 {
	values := make([]tensor, len(g.Values))
	for _, v := range g.Values {
		if v.Kind != graph.Temp {
			values[v.ID] = tensor{v.Shape, append([]float64(nil), leaves[v.Name]...)}
		}
	}
	for _, n := range g.Nodes {
		in := make([]tensor, len(n.In))
		for i, v := range n.In {
			if v != nil {
				in[i] = values[v.ID]
			}
		}
		out := make([]tensor, len(n.Out))
		for i, v := range n.Out {
			out[i] = newTensor(v.Shape)
		}
		evaluate(n.Op, in, out)
		for i, v := range n.Out {
			values[v.ID] = out[i]
		}
		// What is written in place is seen through the input's name, too.
		for _, pair := range graph.Aliases(n) {
			copy(in[pair[1]].x, out[pair[0]].x)
			values[n.Out[pair[0]].ID] = in[pair[1]]
		}
	}
	named := map[string][]float64{}
	for _, v := range g.Values {
		if v.Name != "" {
			named[v.Name] = values[v.ID].x
		}
	}
	return named
}

// evaluate computes one op into the zeroed tensors out.
func evaluate(op graph.Op, in, out []tensor) {
	switch op := op.(type) {
	case graph.Conv2D:
		evalConv(op, in, out[0])
	case graph.Conv2DGradX:
		eachTap(op.Conv, out[0].shape, in[1].shape, in[0].shape, func(x, w, y int) { out[0].x[x] += in[0].x[y] * in[1].x[w] })
	case graph.Conv2DGradW:
		eachTap(op.Conv, in[0].shape, out[0].shape, in[1].shape, func(x, w, y int) { out[0].x[w] += in[0].x[x] * in[1].x[y] })
	case graph.BiasGrad:
		for i, d := range in[0].x {
			out[0].x[i%len(out[0].x)] += d
		}
	case graph.Linear:
		eachProduct(in[0].shape, in[1].shape, func(x, w, y int) { out[0].x[y] += in[0].x[x] * in[1].x[w] })
		addBias(out[0], in)
	case graph.LinearGradX:
		eachProduct(out[0].shape, in[1].shape, func(x, w, y int) { out[0].x[x] += in[0].x[y] * in[1].x[w] })
	case graph.LinearGradW:
		eachProduct(in[0].shape, out[0].shape, func(x, w, y int) { out[0].x[w] += in[0].x[x] * in[1].x[y] })
	case graph.BatchNorm:
		evalBatchNorm(op, in, out)
	case graph.BatchNormInfer:
		for i, x := range in[0].x {
			c := i % in[0].last()
			out[0].x[i] = (x-in[3].x[c])/math.Sqrt(in[4].x[c]+float64(op.Eps))*in[1].x[c] + in[2].x[c]
		}
		addResidual(out[0], in, 5, op.ReLU)
	case graph.BatchNormGrad:
		evalBatchNormGrad(op, in, out)
	default:
		evaluatePool(op, in, out)
	}
}

func evaluatePool(op graph.Op, in, out []tensor) {
	switch op := op.(type) {
	case graph.MaxPool:
		for i := range out[0].x {
			out[0].x[i] = math.Inf(-1)
		}
		eachInside(op.Window, in[0].shape, out[0].shape, func(x, y, position, _ int) {
			if in[0].x[x] > out[0].x[y] {
				out[0].x[y], out[1].x[y] = in[0].x[x], float64(position)
			}
		})
	case graph.MaxPoolGrad:
		eachInside(op.Window, op.X, in[0].shape, func(x, y, position, _ int) {
			if in[1].x[y] == float64(position) {
				out[0].x[x] += in[0].x[y]
			}
		})
	case graph.AvgPool:
		eachInside(op.Window, in[0].shape, out[0].shape, func(x, y, _, count int) { out[0].x[y] += in[0].x[x] / float64(count) })
	case graph.AvgPoolGrad:
		eachInside(op.Window, op.X, in[0].shape, func(x, y, _, count int) { out[0].x[x] += in[0].x[y] / float64(count) })
	case graph.GlobalAvgPool:
		s := in[0].shape
		for i, x := range in[0].x {
			out[0].x[i/(s[1]*s[2]*s[3])*s[3]+i%s[3]] += x / float64(s[1]*s[2])
		}
	case graph.GlobalAvgPoolGrad:
		s := op.X
		for i := range out[0].x {
			out[0].x[i] = in[0].x[i/(s[1]*s[2]*s[3])*s[3]+i%s[3]] / float64(s[1]*s[2])
		}
	default:
		evaluatePointwise(op, in, out)
	}
}

func evaluatePointwise(op graph.Op, in, out []tensor) {
	y := out[0].x
	for i := range y {
		switch op := op.(type) {
		case graph.ReLU:
			y[i] = max(in[0].x[i], 0)
		case graph.ReLUGrad:
			if in[1].x[i] > 0 {
				y[i] = in[0].x[i]
			}
		case graph.Add:
			if y[i] = in[0].x[i] + in[1].x[i]; op.ReLU {
				y[i] = max(y[i], 0)
			}
		case graph.Scale:
			y[i] = in[0].x[i] * float64(op.By)
		case graph.Slice:
			y[i] = in[0].x[i/op.Len*in[0].last()+op.Start+i%op.Len]
		case graph.Dropout:
			if graph.DropoutMask(op.Seed, int32(in[1].x[0]), i, op.P) {
				y[i] = in[0].x[i] / (1 - float64(op.P))
			}
		case graph.Fill:
			y[i] = float64(op.With)
		case graph.Broadcast:
			y[i] = in[0].x[0] * float64(op.By)
		case graph.Accumulate:
			y[i] = in[0].x[i] + in[1].x[i]
		case graph.Clear:
			y[i] = 0
		case graph.EMA:
			d := in[2].x[0]
			y[i] = d*in[0].x[i] + (1-d)*in[1].x[i]
		case graph.SGD:
			d := in[2].x[i] + float64(op.WeightDecay)*in[0].x[i]
			m := float64(op.Momentum)*in[1].x[i] + d
			step := m
			if op.Nesterov {
				step = d + float64(op.Momentum)*m
			}
			y[i], out[1].x[i] = in[0].x[i]-in[3].x[0]*step, m
		}
	}
	evaluateLoss(op, in, out)
}

func evaluateLoss(op graph.Op, in, out []tensor) {
	switch op := op.(type) {
	case graph.Concat:
		evalConcat(in, out[0])
	case graph.Mean:
		for _, x := range in[0].x {
			out[0].x[0] += x / float64(len(in[0].x))
		}
	case graph.Target:
		for i := range out[0].x {
			n, k := i/op.Classes, i%op.Classes
			mix := in[2].x[n]
			out[0].x[i] = mix*smoothed(op, in[0].x[n], k) + (1-mix)*smoothed(op, in[1].x[n], k)
		}
	case graph.SoftmaxCrossEntropy:
		evalSoftmax(in, out)
	case graph.SoftmaxCrossEntropyGrad:
		k := in[1].last()
		for i := range out[0].x {
			var sum float64
			for _, t := range in[2].x[i/k*k : i/k*k+k] {
				sum += t
			}
			out[0].x[i] = in[0].x[i/k] * (in[1].x[i]*sum - in[2].x[i])
		}
	case graph.TopK:
		out[0].x[0] = evalTopK(op, in)
	case graph.AllReduce:
		for i := range out {
			for j, x := range in[i].x {
				out[i].x[j] = x * float64(op.Scale)
			}
		}
	case graph.ReLU, graph.ReLUGrad, graph.Add, graph.Scale, graph.Slice, graph.Dropout, graph.Fill,
		graph.Broadcast, graph.Accumulate, graph.Clear, graph.EMA, graph.SGD:
	default:
		panic(fmt.Sprintf("gputest: no definition of %s", op.Name()))
	}
}

func smoothed(op graph.Target, label float64, k int) float64 {
	switch {
	case label < 0:
		return 0
	case int(label) == k:
		return float64(op.On)
	}
	return float64(op.Off)
}

func evalConcat(in []tensor, y tensor) {
	start := 0
	for _, t := range in {
		for i, x := range t.x {
			y.x[i/t.last()*y.last()+start+i%t.last()] = x
		}
		start += t.last()
	}
}

func evalSoftmax(in, out []tensor) {
	k := in[0].last()
	for n := range out[0].x {
		row := in[0].x[n*k : n*k+k]
		top, sum := math.Inf(-1), 0.0
		for _, x := range row {
			top = max(top, x)
		}
		for _, x := range row {
			sum += math.Exp(x - top)
		}
		for i, x := range row {
			out[1].x[n*k+i] = math.Exp(x-top) / sum
			out[0].x[n] -= in[1].x[n*k+i] * (x - top - math.Log(sum))
		}
	}
}

func evalTopK(op graph.TopK, in []tensor) (count float64) {
	c := in[0].last()
	for n, label := range in[1].x {
		if label < 0 || int(label) >= c {
			continue
		}
		row, ahead := in[0].x[n*c:n*c+c], 0
		for i, x := range row {
			if x > row[int(label)] || x == row[int(label)] && i < int(label) {
				ahead++
			}
		}
		if ahead < op.K {
			count++
		}
	}
	return count
}
