package bench

import (
	"errors"
	"fmt"
	"unsafe"

	"bagpipe/batcher"
	"bagpipe/gpu"
	"bagpipe/gpu/graph"
	"bagpipe/models"
)

// Step is one training step of a model (forward, backward, NAG) compiled for one
// device, with fresh weights. It owns its weights and program; the device is its
// caller's. It is for one goroutine.
type Step struct {
	Program graph.Program
	vars    graph.Vars
	stream  gpu.Stream
}

// NewStep compiles the step for batches of pictures [batch,size,size,3]. With comm,
// which may be nil, it sums its gradients over the group.
func NewStep(dev gpu.Device, comm gpu.Comm, model string, batch, size, classes int) (_ *Step, err error) {
	replicas := 1
	if comm != nil {
		replicas = comm.Size()
	}
	g, err := stepGraph(model, batch, size, classes, replicas)
	if err != nil {
		return nil, err
	}
	params := g.Params()
	s := &Step{vars: graph.Vars{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.Program, err = graph.Compile(dev, g, graph.Options{Vars: s.vars, Comm: comm}); err != nil {
		return nil, err
	}
	if s.stream, err = dev.NewStream(); err != nil {
		return nil, err
	}
	for _, p := range params {
		values := models.MSRAPrelu.Values(p, 1)
		if err := s.upload(p.Name, values); err != nil {
			return nil, err
		}
	}
	if err := s.upload("lr", []float32{1e-3}); err != nil {
		return nil, err
	}
	return s, nil
}

// stepGraph is a plain training step of a model: what every recipe has, without
// averages, accumulation and synchronised norms.
func stepGraph(model string, batch, size, classes, replicas int) (*graph.Graph, error) {
	var fault error
	g, err := graph.Build(true, func(g *graph.Graph) {
		logits, err := models.Add(g, model, g.Input("x", gpu.Float32, batch, size, size, 3), models.Options{Classes: classes})
		if err != nil {
			fault = err
			return
		}
		labels, lambda, lr := g.Input("labels", gpu.Int32, batch), g.Input("lambda", gpu.Float32, batch), g.Input("lr", gpu.Float32, 1)
		target := g.Target(labels, labels, lambda, graph.Target{Classes: classes, On: 0.9, Off: 0.1 / float32(max(classes-1, 1))})
		losses, _ := g.SoftmaxCrossEntropy(logits, target)
		loss := g.Output("loss", g.Mean(losses))
		params := g.Params()
		grads := graph.Gradients(g, loss, params)
		if replicas > 1 {
			grads = g.Add(graph.AllReduce{Scale: 1 / float32(replicas)}, grads...)
		}
		for i, d := range grads {
			op := graph.SGD{Momentum: 0.9, Nesterov: true}
			if params[i].Role.Decays() {
				op.WeightDecay = 1e-4
			}
			g.Add(op, params[i], g.State(params[i].Name+".m", 0, params[i].Shape...), d, lr)
		}
	})
	return g, errors.Join(fault, err)
}

// Run trains on a batch of float32 pictures and returns when the device is done
// with it.
func (s *Step) Run(b *batcher.Batch) error {
	for _, in := range []struct {
		name string
		from gpu.HostBuffer
	}{{"x", b.Images}, {"labels", b.Labels}, {"lambda", b.Lambda}} {
		to := s.Program.Buffer(in.name)
		if err := s.stream.Upload(to, in.from.Bytes()[:to.Size()]); err != nil {
			return fmt.Errorf("bench: upload of %s: %w", in.name, err)
		}
	}
	if err := s.stream.Synchronize(); err != nil {
		return err
	}
	return s.Program.Run()
}

// upload fills a buffer of the program.
func (s *Step) upload(name string, data []float32) error {
	raw := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(data))), 4*len(data))
	if err := s.stream.Upload(s.Program.Buffer(name), raw); err != nil {
		return fmt.Errorf("bench: upload of %s: %w", name, err)
	}
	return s.stream.Synchronize()
}

// Close frees weights and program.
func (s *Step) Close() error {
	var errs []error
	if s.stream != nil {
		errs = append(errs, s.stream.Close())
	}
	if s.Program != nil {
		errs = append(errs, s.Program.Close())
	}
	return errors.Join(append(errs, s.vars.Free())...)
}
