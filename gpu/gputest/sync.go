package gputest

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"bagpipe/gpu"
	"bagpipe/gpu/graph"
)

// testSyncNorm cuts a batch over 1 to 3 replicas whose batch norms are
// synchronised: values and gradients must be those of the uncut batch, the
// gradients of scale and shift after summing over the replicas.
func testSyncNorm(t *testing.T, dev gpu.Device) {
	const rows, c = 10, 5 // of one replica
	norm := func(g *graph.Graph, replicas int, sync bool) {
		shape := []int{rows * replicas, 1, 1, c}
		x, dy := g.Input("x", gpu.Float32, shape...), g.Input("dy", gpu.Float32, shape...)
		gamma := g.Param("gamma", graph.Gamma, c)
		out := g.Add(graph.BatchNorm{Eps: 1e-5, Momentum: 0.9, Sync: sync}, x, gamma,
			g.Param("beta", graph.Beta, c), g.State("mean", 0, c), g.State("variance", 1, c))
		g.Output("y", out[0])
		for i, d := range g.Add(graph.BatchNormGrad{Sync: sync}, dy, x, gamma, out[1], out[2]) {
			g.Output([]string{"dx", "dgamma", "dbeta"}[i], d)
		}
	}
	for _, reference := range []bool{false, true} {
		for world := 1; world <= 3; world++ {
			whole := build(t, true, func(g *graph.Graph) { norm(g, world, false) })
			c := testCase{feed: map[string]func(r *rand.Rand, i int) float64{
				// Far from 0 and different from row to row, so that the replicas' means differ.
				"x": func(r *rand.Rand, i int) float64 { return 100 + float64(i)/10 + r.NormFloat64() },
			}}
			leaves := c.contents(whole)
			want := interpret(whole, leaves)
			devs, comms := group(t, dev, world)
			var ms []*machine
			for rank := range world {
				g := build(t, true, func(g *graph.Graph) { norm(g, 1, true) })
				m := newMachine(t, devs[rank], g, graph.Options{Comm: comms[rank], Reference: reference})
				part := map[string][]float64{}
				for name, xs := range leaves {
					part[name] = xs
					if name == "x" || name == "dy" {
						part[name] = cut(xs, rank, world)
					}
				}
				m.uploadAll(g, part)
				ms = append(ms, m)
			}
			all(ms, func(m *machine) error { return m.program.Run() }, func(err error) { t.Fatal(err) })
			sums := map[string][]float64{}
			for rank, m := range ms {
				got := m.downloadAll(build(t, true, func(g *graph.Graph) { norm(g, 1, true) }))
				where := fmt.Sprintf("reference %v, rank %d of %d", reference, rank, world)
				for _, name := range []string{"y", "dx"} {
					if err := compare(got[name], cut(want[name], rank, world), 2e-4); err != "" {
						t.Errorf("%s: %s: %s", where, name, err)
					}
				}
				for _, name := range []string{"mean", "variance"} {
					if err := compare(got[name], want[name], 2e-5); err != "" {
						t.Errorf("%s: %s: %s", where, name, err)
					}
				}
				for _, name := range []string{"dgamma", "dbeta"} {
					sums[name] = append(sums[name], make([]float64, len(got[name])-len(sums[name]))...)
					for i, d := range got[name] {
						sums[name][i] += d
					}
				}
				m.close()
			}
			for name, sum := range sums {
				if err := compare(sum, want[name], 2e-4); err != "" {
					t.Errorf("reference %v, %d replicas: %s: %s", reference, world, name, err)
				}
			}
		}
	}
}

// cut returns part rank of world equal parts.
func cut(xs []float64, rank, world int) []float64 {
	n := len(xs) / world
	return xs[rank*n : (rank+1)*n]
}
