package host

import (
	"fmt"
	"math"
	"syscall"
	"testing"
	"time"

	"bagpipe/gpu"
	"bagpipe/gpu/graph"
)

// convBenchmarks are typical layers of ResNet-20 and ResNet-50.
var convBenchmarks = []struct{ n, size, c, o, k, stride int }{
	{128, 32, 3, 16, 3, 1}, {128, 32, 16, 16, 3, 1}, {128, 16, 32, 32, 3, 1}, {128, 8, 64, 64, 3, 1},
	{16, 224, 3, 64, 7, 2}, {16, 56, 64, 64, 3, 1}, {16, 56, 64, 256, 1, 1}, {16, 56, 128, 128, 3, 2},
	{16, 14, 256, 256, 3, 1}, {16, 14, 1024, 256, 1, 1}, {16, 7, 512, 512, 3, 1},
}

// BenchmarkConv measures the three directions of typical convolutions.
func BenchmarkConv(b *testing.B) { benchmarkConv(b, open(b, 0)[0]) }

func benchmarkConv(b *testing.B, d gpu.Device) {
	defer d.Close()
	for _, s := range convBenchmarks {
		op := graph.Conv2D{Stride: s.stride, Pad: s.k / 2, Groups: 1}
		x, w := gpu.Shape{s.n, s.size, s.size, s.c}, gpu.Shape{s.o, s.k, s.k, s.c}
		out := (s.size+2*op.Pad-s.k)/s.stride + 1
		y := gpu.Shape{s.n, out, out, s.o}
		for _, direction := range []string{"forward", "dx", "dw"} {
			if s.c == 3 && direction == "dx" {
				continue // nobody needs the gradient of a picture
			}
			b.Run(fmt.Sprintf("%v-%v-s%d/%s", x, w, s.stride, direction), func(b *testing.B) {
				benchmarkGraph(b, d, 2*float64(y.Elems())*float64(w.Elems()/s.o), func(g *graph.Graph) {
					switch direction {
					case "forward":
						g.Conv2D(g.Input("x", gpu.Float32, x...), g.Param("w", graph.ConvWeight, w...), nil, op)
					case "dx":
						g.Add(graph.Conv2DGradX{Conv: op, X: x}, g.Input("dy", gpu.Float32, y...), g.Param("w", graph.ConvWeight, w...))
					case "dw":
						g.Add(graph.Conv2DGradW{Conv: op, W: w}, g.Input("x", gpu.Float32, x...), g.Input("dy", gpu.Float32, y...))
					}
				})
			})
		}
	}
}

// BenchmarkBatchNorm measures the fused forms on an activation of ResNet-50.
func BenchmarkBatchNorm(b *testing.B) {
	d, shape := open(b, 0)[0], gpu.Shape{16, 56, 56, 256}
	defer d.Close()
	b.Run("forward", func(b *testing.B) {
		benchmarkGraph(b, d, 0, func(g *graph.Graph) {
			g.Add(graph.BatchNorm{Eps: 1e-5, Momentum: 0.9, ReLU: true}, g.Input("x", gpu.Float32, shape...), g.Param("gamma", graph.Gamma, 256),
				g.Param("beta", graph.Beta, 256), g.State("mean", 0, 256), g.State("var", 1, 256))
		})
	})
	b.Run("grad", func(b *testing.B) {
		benchmarkGraph(b, d, 0, func(g *graph.Graph) {
			g.Add(graph.BatchNormGrad{ReLU: true}, g.Input("dy", gpu.Float32, shape...), g.Input("x", gpu.Float32, shape...), g.Param("gamma", graph.Gamma, 256),
				g.Input("mean", gpu.Float32, 256), g.Input("inv", gpu.Float32, 256), g.Input("y", gpu.Float32, shape...))
		})
	})
}

// benchmarkGraph runs a graph on all cores. Of the runs it reports the least CPU
// time (user + system), which other programs disturb least, and what work
// operations a second of it come to.
func benchmarkGraph(b *testing.B, d gpu.Device, work float64, f func(g *graph.Graph)) {
	g, err := graph.Build(true, f)
	if err != nil {
		b.Fatal(err)
	}
	p, err := graph.Compile(d, g, graph.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	least := math.Inf(1)
	for b.Loop() {
		start := cpuTime(b)
		if err := p.Run(); err != nil {
			b.Fatal(err)
		}
		least = min(least, cpuTime(b)-start)
	}
	b.ReportMetric(least*1e3, "cpu-ms")
	if work > 0 && least > 0 {
		b.ReportMetric(work/least/1e9, "GFLOP/cpu-s")
	}
}

// cpuTime is the process's user and system time so far in seconds.
func cpuTime(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
