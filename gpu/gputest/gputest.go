// Package gputest holds the conformance suite that every backend must pass. Run
// compiles small graphs for the device, op by op over odd shapes and then whole
// training steps, and compares what comes out with a float64 interpreter of the
// graph language that this package writes down from the ops' definitions.
//
// Memory is poisoned before it counts: each program first runs with all its
// floats NaN, so that a kernel which reads what it should have written, or leaves
// a gap, shows.
package gputest

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"bagpipe/gpu"
	"bagpipe/gpu/graph"
)

// dtypes are the activation types that the suite goes through, each with the
// error allowed relative to the largest element of a result. A sum of a few
// thousand float32 products is good to about 1e-6 of it.
var dtypes = []struct {
	dtype gpu.DType
	tol   float64
}{
	{gpu.Float32, 2e-5},
}

// Run runs the suite. open returns a new device that Run closes; devices for the
// collectives come from the backend of the same kind.
func Run(t *testing.T, open func() gpu.Device) {
	dev := open()
	t.Cleanup(func() {
		if err := dev.Close(); err != nil {
			t.Errorf("close of the device: %v", err)
		}
	})
	for _, dt := range dtypes {
		for _, reference := range []bool{false, true} {
			name := dt.dtype.String()
			if reference {
				name += "/reference"
			}
			t.Run(name, func(t *testing.T) {
				for _, c := range append(opCases(), stepCases()...) {
					t.Run(c.name, func(t *testing.T) {
						c.run(t, dev, dt.dtype, dt.tol, reference)
					})
				}
			})
		}
	}
	t.Run("buffers", func(t *testing.T) { testBuffers(t, dev) })
	t.Run("vars", func(t *testing.T) { testVars(t, dev) })
	t.Run("faults", func(t *testing.T) { testFaults(t, dev) })
	t.Run("profile", func(t *testing.T) { testProfile(t, dev) })
	t.Run("allreduce", func(t *testing.T) { testAllReduce(t, dev) })
	t.Run("syncnorm", func(t *testing.T) { testSyncNorm(t, dev) })
	t.Run("abort", func(t *testing.T) { testAbort(t, dev) })
	t.Run("parallel", func(t *testing.T) { testParallel(t, dev) })
}

// A testCase is one graph. build adds it with activations of type dt; every
// Input, Param and State then gets random contents, or those of feed.
type testCase struct {
	name  string
	build func(g *graph.Graph, dt gpu.DType)
	// feed overrides the contents of values by name.
	feed map[string]func(r *rand.Rand, i int) float64
	// loose multiplies the tolerance where an op loses digits by its nature.
	loose float64
}

// graph builds the case anew; Compile may rewrite what it is given.
func (c *testCase) graph(t *testing.T, dt gpu.DType) *graph.Graph {
	t.Helper()
	g, err := graph.Build(true, func(g *graph.Graph) { c.build(g, dt) })
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// run compares two runs on the device with the interpreter and with each other.
func (c *testCase) run(t *testing.T, dev gpu.Device, dt gpu.DType, tol float64, reference bool) {
	g := c.graph(t, dt)
	leaves := c.contents(g)
	want := interpret(g, leaves)

	m := newMachine(t, dev, c.graph(t, dt), graph.Options{Reference: reference})
	defer m.close()
	m.poison(g)
	m.run()
	var first map[string][]float64
	for round := range 2 {
		m.uploadAll(g, leaves)
		m.run()
		got := m.downloadAll(g)
		for name, w := range want {
			if err := compare(got[name], w, tol*max(c.loose, 1)); err != "" {
				t.Errorf("run %d: %s: %s", round, name, err)
			}
		}
		if round == 0 {
			first = got
			continue
		}
		for name := range want {
			if !identical(got[name], first[name]) {
				t.Errorf("%s: two runs on the same data differ", name)
			}
		}
	}
}

// contents draws the values of the graph's leaves by name.
func (c *testCase) contents(g *graph.Graph) map[string][]float64 {
	leaves := map[string][]float64{}
	for _, v := range g.Values {
		if v.Kind == graph.Temp {
			continue
		}
		r := rand.New(rand.NewPCG(uint64(v.ID), 7))
		draw := c.feed[v.Name]
		if draw == nil {
			draw = func(r *rand.Rand, _ int) float64 { return r.NormFloat64() }
			if strings.HasSuffix(v.Name, "variance") {
				draw = func(r *rand.Rand, _ int) float64 { return 0.5 + r.Float64() }
			}
		}
		xs := make([]float64, v.Shape.Elems())
		for i := range xs {
			xs[i] = round(v.DType, draw(r, i))
		}
		leaves[v.Name] = xs
	}
	return leaves
}

// compare checks got against want with an error bound relative to the largest
// element; it returns what is wrong, or "".
func compare(got, want []float64, tol float64) string {
	if len(got) != len(want) {
		return "length differs"
	}
	var scale float64
	for _, w := range want {
		if !math.IsInf(w, 0) {
			scale = max(scale, math.Abs(w))
		}
	}
	for i, w := range want {
		if d := math.Abs(got[i] - w); d > tol*scale || d != d && got[i] != w {
			return fmtFault(i, got[i], w, d/scale, tol)
		}
	}
	return ""
}

func identical(a, b []float64) bool {
	for i := range a {
		if math.Float64bits(a[i]) != math.Float64bits(b[i]) {
			return false
		}
	}
	return len(a) == len(b)
}
