package bench

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sync/errgroup"

	"bagpipe/gpu"
	"bagpipe/gpu/graph"
	_ "bagpipe/gpu/host"
	"bagpipe/models"
)

// BenchmarkStep measures whole training steps (forward, backward, NAG) on every
// core: images per second by the median step, and CPU time an image; -v adds what
// each kind of op costs.
func BenchmarkStep(b *testing.B) {
	for _, c := range []struct {
		model                string
		batch, size, classes int
	}{{"cifar-resnet20", 128, 32, 10}, {"resnet50b", 16, 224, 1000}, {"resnet50d", 16, 224, 1000}} {
		b.Run(c.model, func(b *testing.B) {
			_, devs, err := gpu.Open("cpu")
			if err != nil {
				b.Fatal(err)
			}
			defer devs[0].Close()
			g, err := stepGraph(c.model, c.batch, c.size, c.classes, 1)
			if err != nil {
				b.Fatal(err)
			}
			vars := graph.Vars{}
			defer vars.Free()
			p, err := graph.Compile(devs[0], g, graph.Options{Vars: vars})
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close()
			if err := fillStep(devs[0], g, p); err != nil {
				b.Fatal(err)
			}
			if err := p.Run(); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			spent, took := cpuTime(b), make([]float64, 0, 1024)
			for b.Loop() {
				start := time.Now()
				if err := p.Run(); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start).Seconds())
			}
			slices.Sort(took)
			b.ReportMetric(float64(c.batch)/took[len(took)/2], "img/s") // by the median step
			b.ReportMetric((cpuTime(b)-spent)/float64(c.batch*b.N)*1e3, "cpu-ms/img")
			if testing.Verbose() {
				logProfile(b, p)
			}
		})
	}
}

// cpuTime is the process's user and system time so far in seconds: what a step
// costs on a machine that others use too.
func cpuTime(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// BenchmarkReplicas divides a step of ResNet-20 at batch 128 among virtual replicas,
// whose gradients are summed.
func BenchmarkReplicas(b *testing.B) {
	for _, spec := range []string{"cpu:0", "cpu:0,cpu:1"} {
		b.Run(spec, func(b *testing.B) {
			backend, devs, err := gpu.Open(spec)
			if err != nil {
				b.Fatal(err)
			}
			comms, err := backend.Connect(devs)
			if err != nil {
				b.Fatal(err)
			}
			var programs []graph.Program
			for i, d := range devs {
				defer d.Close()
				g, err := stepGraph("cifar-resnet20", 128/len(devs), 32, 10, len(devs))
				if err != nil {
					b.Fatal(err)
				}
				p, err := graph.Compile(d, g, graph.Options{Comm: comms[i]})
				if err != nil {
					b.Fatal(err)
				}
				defer p.Close()
				if err := fillStep(d, g, p); err != nil {
					b.Fatal(err)
				}
				programs = append(programs, p)
			}
			spent := cpuTime(b)
			for b.Loop() {
				var all errgroup.Group
				for _, p := range programs {
					all.Go(p.Run)
				}
				if err := all.Wait(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(128*float64(b.N)/b.Elapsed().Seconds(), "img/s")
			b.ReportMetric((cpuTime(b)-spent)/float64(128*b.N)*1e3, "cpu-ms/img")
		})
	}
}

// stepGraph is one training step of a model, as the trainer builds it.
func stepGraph(model string, batch, size, classes, replicas int) (*graph.Graph, error) {
	var fault error
	g, err := graph.Build(true, func(g *graph.Graph) {
		logits, err := models.Add(g, model, g.Input("x", gpu.Float32, batch, size, size, 3), models.Options{Classes: classes})
		if err != nil {
			fault = err
			return
		}
		labels, lambda, lr := g.Input("labels", gpu.Int32, batch), g.Input("lambda", gpu.Float32, batch), g.Input("lr", gpu.Float32, 1)
		target := g.Target(labels, labels, lambda, graph.Target{Classes: classes, On: 0.9, Off: 0.1 / float32(classes-1)})
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
	if fault != nil {
		err = fault
	}
	return g, err
}

// fillStep gives the inputs and parameters contents of sensible size.
func fillStep(dev gpu.Device, g *graph.Graph, p graph.Program) error {
	s, err := dev.NewStream()
	if err != nil {
		return err
	}
	defer s.Close()
	r := rand.New(rand.NewPCG(1, 2))
	for _, v := range append(g.Inputs(), g.Params()...) {
		if v.DType != gpu.Float32 {
			continue // label 0
		}
		xs := make([]float32, v.Shape.Elems())
		for i := range xs {
			switch {
			case v.Role == graph.Gamma || v.Role == graph.GammaLast:
				xs[i] = 1
			case v.Role.Decays():
				xs[i] = float32(r.NormFloat64()) * 0.05
			case v.Name == "lr":
				xs[i] = 1e-3
			case v.Name == "lambda":
				xs[i] = 1
			case v.Name == "x":
				xs[i] = float32(r.NormFloat64())
			}
		}
		if err := s.Upload(p.Buffer(v.Name), unsafe.Slice((*byte)(unsafe.Pointer(&xs[0])), 4*len(xs))); err != nil {
			return err
		}
	}
	return s.Synchronize()
}

// logProfile logs the time of each kind of op in one run.
func logProfile(b *testing.B, p graph.Program) {
	times, err := p.Profile()
	if err != nil {
		b.Fatal(err)
	}
	type cost struct {
		op      string
		seconds float64
		nodes   int
	}
	byOp := map[string]*cost{}
	for _, t := range times {
		if byOp[t.Op] == nil {
			byOp[t.Op] = &cost{op: t.Op}
		}
		byOp[t.Op].seconds += t.Seconds
		byOp[t.Op].nodes++
	}
	costs := make([]*cost, 0, len(byOp))
	for _, c := range byOp {
		costs = append(costs, c)
	}
	slices.SortFunc(costs, func(a, b *cost) int { return cmp.Compare(b.seconds, a.seconds) })
	for _, c := range costs {
		b.Logf("%-24s %4d nodes %8.2f ms", c.op, c.nodes, c.seconds*1e3)
	}
}
