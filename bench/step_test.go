package bench

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"bagpipe/gpu"
	"bagpipe/gpu/graph"
	_ "bagpipe/gpu/host"
	"bagpipe/stages"
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
			s, err := NewStep(devs[0], nil, c.model, c.batch, c.size, c.classes)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			r := rand.New(rand.NewPCG(1, 2))
			x, lambda := make([]float32, c.batch*c.size*c.size*3), make([]float32, c.batch)
			for i := range x {
				x[i] = float32(r.NormFloat64())
			}
			for i := range lambda {
				lambda[i] = 1
			}
			for name, data := range map[string][]float32{"x": x, "lambda": lambda} { // every label is 0
				if err := s.upload(name, data); err != nil {
					b.Fatal(err)
				}
			}
			if err := s.Program.Run(); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			spent, took := stages.ProcessCPU(), make([]float64, 0, 1024)
			for b.Loop() {
				start := time.Now()
				if err := s.Program.Run(); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start).Seconds())
			}
			slices.Sort(took)
			b.ReportMetric(float64(c.batch)/took[len(took)/2], "img/s") // by the median step
			b.ReportMetric((stages.ProcessCPU()-spent).Seconds()/float64(c.batch*b.N)*1e3, "cpu-ms/img")
			if testing.Verbose() {
				logProfile(b, s.Program)
			}
		})
	}
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
			var steps []*Step
			for i, d := range devs {
				defer d.Close()
				s, err := NewStep(d, comms[i], "cifar-resnet20", 128/len(devs), 32, 10)
				if err != nil {
					b.Fatal(err)
				}
				defer s.Close()
				steps = append(steps, s)
			}
			spent := stages.ProcessCPU()
			for b.Loop() {
				var all errgroup.Group
				for _, s := range steps {
					all.Go(s.Program.Run)
				}
				if err := all.Wait(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(128*float64(b.N)/b.Elapsed().Seconds(), "img/s")
			b.ReportMetric((stages.ProcessCPU()-spent).Seconds()/float64(128*b.N)*1e3, "cpu-ms/img")
		})
	}
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
