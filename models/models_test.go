package models

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"bagpipe/gpu"
	"bagpipe/gpu/graph"
)

// build returns the graph of the named model for one picture.
func build(t *testing.T, name string, opt Options) *graph.Graph {
	t.Helper()
	size, err := InputSize(name)
	if err != nil {
		t.Fatal(err)
	}
	if opt.Classes == 0 {
		if opt.Classes = 1000; size == 32 {
			opt.Classes = 10
		}
	}
	g, err := graph.Build(true, func(g *graph.Graph) {
		g.Input("counter", gpu.Int32, 1)
		if _, err := Add(g, name, g.Input("images", gpu.Float32, 1, size, size, 3), opt); err != nil {
			t.Fatal(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// Counts are torchvision's for plain and -B, timm's for -C and -D (their tables round
// to 0.01 M), and for the CIFAR forms those of He et al. 2015 in the usual ports.
// Multiply-accumulates in G are He et al. 2015's table 1 for the plain form, which
// rounds to 0.1; torchvision's weights' "_ops" for -B; and timm's results for -C and
// -D, which count normalisations, too: 0.5 % more than the products alone. The
// tolerances say how many digits each source has.
func TestSizes(t *testing.T) {
	cases := []struct {
		name       string
		params     int
		gmacs, tol float64
	}{
		{"resnet18", 11_689_512, 1.814, 0.001}, {"resnet34", 21_797_672, 3.664, 0.001}, {"resnet50", 25_557_032, 3.86, 0.005},
		{"resnet101", 44_549_160, 7.6, 0.05}, {"resnet152", 60_192_808, 11.3, 0.05},
		{"resnet18b", 11_689_512, 1.814, 0.001}, {"resnet34b", 21_797_672, 3.664, 0.001}, {"resnet50b", 25_557_032, 4.089, 0.001},
		{"resnet101b", 44_549_160, 7.801, 0.001}, {"resnet152b", 60_192_808, 11.514, 0.001},
		{"resnet18c", 11_708_744, 2.06, 0.02}, {"resnet34c", 21_816_904, 3.91, 0.02}, {"resnet50c", 25_576_264, 4.35, 0.025},
		{"resnet101c", 44_568_392, 8.08, 0.045}, {"resnet152c", 60_212_040, 11.8, 0.05},
		{"resnet18d", 11_708_744, 2.06, 0.01}, {"resnet34d", 21_816_904, 3.91, 0.01}, {"resnet50d", 25_576_264, 4.35, 0.025},
		{"resnet101d", 44_568_392, 8.08, 0.045}, {"resnet152d", 60_212_040, 11.8, 0.05},
		{"cifar-resnet20", 269_722, 0.041, 0.0005}, {"cifar-resnet56", 853_018, 0.1255, 0.001},
		{"cifar-resnet20d", 272_474, 0.041, 0.0006}, {"cifar-resnet56d", 855_770, 0.1257, 0.001},
	}
	var names []string
	for _, c := range cases {
		names = append(names, c.name)
		g := build(t, c.name, Options{})
		params, macs, reads := 0, int64(0), int64(0)
		for _, p := range g.Params() {
			params += p.Shape.Elems()
		}
		for _, n := range graph.Costs(g) {
			macs += n.MACs
			reads += n.Params
		}
		if params != c.params || reads != int64(params) {
			t.Errorf("%s: %d parameters, of which nodes read %d; want %d", c.name, params, reads, c.params)
		}
		if got := float64(macs) / 1e9; math.Abs(got-c.gmacs) > c.tol {
			t.Errorf("%s: %.4f G multiply-accumulates, want %.4f", c.name, got, c.gmacs)
		}
	}
	if slices.Sort(names); !slices.Equal(names, Names()) {
		t.Errorf("models are %v, tested are %v", Names(), names)
	}
}

// The paper's Table 5: what each tweak of ResNet-50 costs, to its two digits; -D costs
// less than 15 % over the original (arXiv:1812.01187 section 4.3).
func TestTweaksCost(t *testing.T) {
	macs := map[string]float64{}
	for name, want := range map[string]float64{"resnet50": 3.8, "resnet50b": 4.1, "resnet50c": 4.3, "resnet50d": 4.3} {
		for _, n := range graph.Costs(build(t, name, Options{})) {
			macs[name] += float64(n.MACs) / 1e9
		}
		if math.Abs(macs[name]-want) > 0.1 {
			t.Errorf("%s: %.2f G, want %.1f", name, macs[name], want)
		}
	}
	// The deep stem's products at 112x112, less the 7x7's.
	if d := (macs["resnet50c"] - macs["resnet50b"]) * 1e9; math.Abs(d-112*112*(27*32+288*32+288*64-147*64)) > 1 {
		t.Errorf("the deep stem costs %v more", d)
	}
	if r := macs["resnet50d"] / macs["resnet50"]; r > 1.15 {
		t.Errorf("resnet50d costs %.3f times resnet50, want less than 1.15", r)
	}
}

// tensors lists what torchvision's ResNet (plain, B) and timm's (C, D) hold, by their
// state_dict names and OIHW shapes, written down from the module structure: Sequential
// children count up from 0, activations and pools among them.
func tensors(name string, stages []int, bottleneck bool) map[string]gpu.Shape {
	all := map[string]gpu.Shape{}
	conv := func(at string, o, i, k int) { all[at+".weight"] = gpu.Shape{o, i, k, k} }
	norm := func(at string, c int) {
		for _, s := range []string{".weight", ".bias", ".running_mean", ".running_var"} {
			all[at+s] = gpu.Shape{c}
		}
	}
	deep, average := strings.ContainsAny(name[len(name)-1:], "cd"), strings.HasSuffix(name, "d")
	if deep { // timm: Sequential(conv, bn, relu, conv, bn, relu, conv)
		conv("conv1.0", 32, 3, 3)
		norm("conv1.1", 32)
		conv("conv1.3", 32, 32, 3)
		norm("conv1.4", 32)
		conv("conv1.6", 64, 32, 3)
	} else {
		conv("conv1", 64, 3, 7)
	}
	norm("bn1", 64)
	in, expansion := 64, 1
	if bottleneck {
		expansion = 4
	}
	for s, blocks := range stages {
		width := 64 << s
		for b := range blocks {
			at := fmt.Sprintf("layer%d.%d.", s+1, b)
			if bottleneck {
				conv(at+"conv1", width, in, 1)
				conv(at+"conv2", width, width, 3)
				conv(at+"conv3", 4*width, width, 1)
				norm(at+"bn3", 4*width)
			} else {
				conv(at+"conv1", width, in, 3)
				conv(at+"conv2", width, width, 3)
			}
			norm(at+"bn1", width)
			norm(at+"bn2", width)
			if b == 0 && (s > 0 || bottleneck) {
				first := 0
				if average { // timm: Sequential(pool, conv, bn)
					first = 1
				}
				conv(fmt.Sprint(at, "downsample.", first), expansion*width, in, 1)
				norm(fmt.Sprint(at, "downsample.", first+1), expansion*width)
			}
			in = expansion * width
		}
	}
	all["fc.weight"], all["fc.bias"] = gpu.Shape{1000, in}, gpu.Shape{1000}
	return all
}

func TestNames(t *testing.T) {
	for depth, stages := range map[int][]int{18: {2, 2, 2, 2}, 34: {3, 4, 6, 3}, 50: {3, 4, 6, 3}, 101: {3, 4, 23, 3}, 152: {3, 8, 36, 3}} {
		for _, variant := range []string{"", "b", "c", "d"} {
			name := fmt.Sprint("resnet", depth, variant)
			want := tensors(name, stages, depth >= 50)
			g := build(t, name, Options{})
			for _, v := range append(g.Params(), g.States()...) {
				if shape, ok := want[v.Name]; !ok || !shape.Equal(torchShape(v)) {
					t.Errorf("%s: %s %v, want %v", name, v.Name, torchShape(v), shape)
				}
				delete(want, v.Name)
			}
			for missing, shape := range want {
				t.Errorf("%s: no %s %v", name, missing, shape)
			}
		}
	}
	// Some of them in so many words.
	for name, some := range map[string]map[string]gpu.Shape{
		"resnet50":  {"conv1.weight": {64, 3, 7, 7}, "layer1.0.conv1.weight": {64, 64, 1, 1}, "layer1.0.downsample.0.weight": {256, 64, 1, 1}, "layer4.2.bn3.running_var": {2048}, "fc.weight": {1000, 2048}},
		"resnet50d": {"conv1.0.weight": {32, 3, 3, 3}, "conv1.6.weight": {64, 32, 3, 3}, "bn1.weight": {64}, "layer2.0.downsample.1.weight": {512, 256, 1, 1}, "layer2.0.downsample.2.bias": {512}},
		"resnet18":  {"layer2.0.downsample.0.weight": {128, 64, 1, 1}, "layer4.1.conv2.weight": {512, 512, 3, 3}, "fc.bias": {1000}},
	} {
		g := build(t, name, Options{})
		for tensor, shape := range some {
			if v := g.Lookup(tensor); v == nil || !torchShape(v).Equal(shape) {
				t.Errorf("%s: %s is %v, want %v", name, tensor, v, shape)
			}
		}
	}
}

// The tweaks sit where the paper puts them (arXiv:1812.01187 section 4.2).
func TestStrides(t *testing.T) {
	stride := func(g *graph.Graph, scope string) int {
		for _, n := range g.Nodes {
			if n.Scope != scope {
				continue
			}
			switch op := n.Op.(type) {
			case graph.Conv2D:
				return op.Stride
			case graph.AvgPool:
				return 10 * op.Stride
			}
		}
		return 0
	}
	for _, c := range []struct {
		model, scope string
		want         int
	}{
		{"resnet50", "layer2.0.conv1", 2}, {"resnet50", "layer2.0.conv2", 1}, {"resnet50", "layer2.0.downsample.0", 2},
		{"resnet50b", "layer2.0.conv1", 1}, {"resnet50b", "layer2.0.conv2", 2}, {"resnet50b", "layer2.0.downsample.0", 2},
		{"resnet50d", "layer2.0.downsample.0", 20}, {"resnet50d", "layer2.0.downsample.1", 1}, {"resnet50d", "layer1.0.downsample.0", 0},
		{"resnet50c", "conv1.0", 2}, {"resnet50c", "conv1.3", 1}, {"resnet50c", "conv1.6", 1}, {"resnet50", "conv1", 2},
		{"resnet18", "layer2.0.conv1", 2}, {"resnet18", "layer2.0.conv2", 1}, {"cifar-resnet20", "conv1", 1}, {"cifar-resnet20", "layer2.0.conv1", 2},
	} {
		if got := stride(build(t, c.model, Options{}), c.scope); got != c.want {
			t.Errorf("%s: stride of %s is %d, want %d (tenfold: of a pool)", c.model, c.scope, got, c.want)
		}
	}
}

func TestUnknownModel(t *testing.T) {
	for name, nearest := range map[string]string{"resnet-50": "resnet50", "resnet50_v1d": "resnet50d", "ResNet101b": "resnet101b", "cifar_resnet56": "cifar-resnet56"} {
		_, err := InputSize(name)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("nearest is %q", nearest)) {
			t.Errorf("%s: %v, want %s suggested", name, err, nearest)
		}
		if _, err2 := Add(nil, name, nil, Options{}); err2 == nil || err2.Error() != err.Error() {
			t.Errorf("%s: Add says %v, InputSize %v", name, err2, err)
		}
	}
}

// Any class count, picture size and batch; dropout only in training.
func TestOptions(t *testing.T) {
	for _, training := range []bool{true, false} {
		g, err := graph.Build(training, func(g *graph.Graph) {
			g.Input("counter", gpu.Int32, 1)
			y, err := Add(g, "resnet18d", g.Input("images", gpu.Float32, 2, 97, 161, 3), Options{Classes: 7, Dropout: 0.5})
			if err != nil {
				t.Fatal(err)
			}
			if !y.Shape.Equal(gpu.Shape{2, 7}) {
				t.Errorf("logits are %v", y.Shape)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		drops := 0
		for _, n := range g.Nodes {
			if _, ok := n.Op.(graph.Dropout); ok {
				drops++
			}
		}
		if drops != map[bool]int{true: 1}[training] {
			t.Errorf("training %v: %d dropouts", training, drops)
		}
	}
	if _, err := graph.Build(true, func(g *graph.Graph) {
		Add(g, "resnet18", g.Input("images", gpu.Float32, 1, 64, 64, 3), Options{})
	}); err == nil || !strings.Contains(err.Error(), "fc") {
		t.Errorf("a model of 0 classes: %v", err)
	}
}
