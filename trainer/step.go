package trainer

import (
	"strings"

	"bagpipe/gpu"
	"bagpipe/gpu/graph"
	"bagpipe/models"
)

// Names of the values that the loop writes and reads.
const (
	inImages, inLabels, inPartners, inLambda = "images", "labels", "partners", "lambda"
	inRate, inDecay, inCounter               = "lr", "ema_decay", "counter"
	outLoss, outTop1, outTop5, outSoftmax    = "loss", "top1", "top5", "softmax"
)

// Prefixes of the states that belong to a parameter or running statistic.
const (
	momentum = "momentum."
	summed   = "gradient."
	averaged = "ema."
)

// network adds the model, from its input to its logits.
func (c Config) network(g *graph.Graph, batch, classes, rank int) *graph.Value {
	if g.Training && c.Dropout > 0 {
		g.Input(inCounter, gpu.Int32, 1)
	}
	x := g.Input(inImages, c.DType, batch, c.Input.Size, c.Input.Size, 3)
	logits, err := models.Add(g, c.Model, x, models.Options{Classes: classes, ZeroGamma: c.ZeroGamma,
		Dropout: float32(c.Dropout), Seed: c.Seed + uint64(rank)<<32})
	if err != nil {
		panic(&graph.Error{Op: "model", Err: err})
	}
	return logits
}

// stepGraph is one training step of the device of the given rank: forward, loss, gradients,
// all-reduce over world devices, update. Where the batch is accumulated over
// several runs, the ones but the last (last false) only add their gradients up.
func (c Config) stepGraph(batch, classes, rank, world int, last bool) (*graph.Graph, error) {
	return graph.Build(true, func(g *graph.Graph) {
		g.SyncNorm = c.SyncNorm
		logits := c.network(g, batch, classes, rank)
		labels, partners := g.Input(inLabels, gpu.Int32, batch), g.Input(inPartners, gpu.Int32, batch)
		target := g.Target(labels, partners, g.Input(inLambda, gpu.Float32, batch), c.target(classes))
		losses, _ := g.SoftmaxCrossEntropy(logits, target)
		loss := g.Output(outLoss, g.Mean(losses))
		g.Output(outTop1, g.TopK(logits, labels, 1))

		params, statistics := g.Params(), g.States()
		grads := graph.Gradients(g, loss, params)
		if c.Accumulate > 1 {
			for i, p := range params {
				grads[i] = g.Add(graph.Accumulate{}, g.State(summed+p.Name, 0, p.Shape...), grads[i])[0]
			}
		}
		if !last {
			return
		}
		if parts := world * c.Accumulate; parts > 1 {
			grads = allReduce(g, grads, 1/float32(parts))
		}
		c.update(g, params, grads)
		if c.Accumulate > 1 {
			for _, d := range grads {
				g.Add(graph.Clear{}, d)
			}
		}
		if c.EMA > 0 {
			decay := g.Input(inDecay, gpu.Float32, 1)
			for _, v := range append(params, statistics...) {
				g.Scope = averaged + v.Name
				g.Add(graph.EMA{}, g.State(averaged+v.Name, v.Fill, v.Shape...), v, decay)
			}
		}
	})
}

// bucket is the bytes of gradients that one all-reduce takes: enough for the
// links' full speed, few enough to start before the backward pass has ended
// (PyTorch's DistributedDataParallel takes 25 MB, too).
const bucket = 25 << 20

// allReduce averages the gradients over all devices, the last layer's first, as
// the backward pass makes them.
func allReduce(g *graph.Graph, grads []*graph.Value, scale float32) []*graph.Value {
	out := make([]*graph.Value, len(grads))
	var in []*graph.Value
	size, end := 0, len(grads)
	for i := len(grads) - 1; i >= 0; i-- {
		in = append(in, grads[i])
		if size += grads[i].Bytes(); size < bucket && i > 0 {
			continue
		}
		g.Scope = "allreduce"
		for k, v := range g.Add(graph.AllReduce{Scale: scale}, in...) {
			out[end-1-k] = v
		}
		in, size, end = nil, 0, i
	}
	return out
}

// update adds the optimizer.
func (c Config) update(g *graph.Graph, params, grads []*graph.Value) {
	rate := g.Input(inRate, gpu.Float32, 1)
	for i, p := range params {
		op := graph.SGD{Momentum: float32(c.Momentum), Nesterov: c.Nesterov}
		if p.Role.Decays() || !c.NoBiasDecay { // arXiv:1812.01187 section 3.1, no bias decay
			op.WeightDecay = float32(c.WeightDecay)
		}
		g.Scope = p.Name
		g.Add(op, p, g.State(momentum+p.Name, 0, p.Shape...), grads[i], rate)
	}
}

// evalGraph is the inference pass over a batch: its mean loss against the plain
// labels, the counts of the top 1 and top 5, and the probabilities.
func (c Config) evalGraph(batch, classes int) (*graph.Graph, error) {
	return graph.Build(false, func(g *graph.Graph) {
		logits := c.network(g, batch, classes, 0)
		labels, weight := g.Input(inLabels, gpu.Int32, batch), g.Input(inLambda, gpu.Float32, batch)
		target := g.Target(labels, labels, weight, graph.Target{Classes: classes, On: 1})
		losses, softmax := g.SoftmaxCrossEntropy(logits, target)
		g.Output(outLoss, g.Mean(losses))
		g.Output(outSoftmax, softmax)
		g.Output(outTop1, g.TopK(logits, labels, 1))
		g.Output(outTop5, g.TopK(logits, labels, min(5, classes)))
	})
}

// evaluated returns the name under which the trained value name stands where
// weights are evaluated and published, and whether it does at all: with a moving
// average only the averages are, without one the parameters and running statistics.
func (c Config) evaluated(name string) (string, bool) {
	if c.EMA > 0 {
		return strings.CutPrefix(name, averaged)
	}
	return name, !strings.HasPrefix(name, momentum) && !strings.HasPrefix(name, summed)
}
