package bench

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"bagpipe/gpu"
	"bagpipe/gpu/graph"
	_ "bagpipe/gpu/host"
)

// BenchmarkStep measures whole training steps (forward, backward, NAG) on every
// core, in images per second; -v adds what each kind of op costs.
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
			s, err := NewStep(devs[0], c.model, c.batch, c.size, c.classes)
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
			for b.Loop() {
				if err := s.Program.Run(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(c.batch)*float64(b.N)/b.Elapsed().Seconds(), "img/s")
			if testing.Verbose() {
				logProfile(b, s.Program)
			}
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
