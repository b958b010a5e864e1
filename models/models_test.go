package models

import (
	"math"
	"testing"

	"bagpipe/gpu"
	"bagpipe/gpu/graph"
)

// Counts are torchvision's and timm's for the same networks; multiply-accumulates
// are the paper's Table 5 to its two digits, where it has them.
func TestSizes(t *testing.T) {
	for _, c := range []struct {
		name   string
		params int
		gmacs  float64 // 0: not published
	}{
		{"resnet18", 11_689_512, 1.8}, {"resnet34", 21_797_672, 3.7}, {"resnet50", 25_557_032, 3.9},
		{"resnet50b", 25_557_032, 4.1}, {"resnet50c", 25_576_264, 4.3}, {"resnet50d", 25_576_264, 4.3},
		{"resnet101", 44_549_160, 7.6}, {"resnet101b", 44_549_160, 7.8}, {"resnet152b", 60_192_808, 11.5},
		{"resnet101d", 44_568_392, 0}, {"resnet152d", 60_212_040, 0},
		{"cifar-resnet20", 269_722, 0.041}, {"cifar-resnet56", 853_018, 0.125},
	} {
		size, err := InputSize(c.name)
		if err != nil {
			t.Fatal(err)
		}
		classes := 1000
		if size == 32 {
			classes = 10
		}
		g, err := graph.Build(true, func(g *graph.Graph) {
			if _, err := Add(g, c.name, g.Input("images", gpu.Float32, 1, size, size, 3), Options{Classes: classes}); err != nil {
				t.Fatal(err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		params, macs := 0, int64(0)
		for _, p := range g.Params() {
			params += p.Shape.Elems()
		}
		for _, n := range graph.Costs(g) {
			macs += n.MACs
		}
		if params != c.params {
			t.Errorf("%s: %d parameters, want %d", c.name, params, c.params)
		}
		if got := float64(macs) / 1e9; c.gmacs > 0 && math.Abs(got-c.gmacs) > 0.02*c.gmacs {
			t.Errorf("%s: %.3f G multiply-accumulates, want %.3f", c.name, got, c.gmacs)
		}
	}
}
