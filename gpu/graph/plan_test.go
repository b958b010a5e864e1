package graph

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"bagpipe/gpu"
)

// checkPlan walks through a planned graph as a device would and fails if two storages
// that are both wanted share bytes. It returns the arena's size and the lower bound:
// the most bytes that are wanted at one time.
func checkPlan(t *testing.T, g *Graph, align int) (size, bound int) {
	t.Helper()
	places, size := Plan(g, align)
	root := Storage(g)
	last := map[int]int{} // of each storage, the last node that touches it
	for i, n := range g.Nodes {
		for _, v := range slices.Concat(n.In, n.Out) {
			if v != nil {
				last[root[v.ID]] = i
			}
		}
	}
	for _, v := range g.Outputs {
		last[root[v.ID]] = len(g.Nodes)
	}
	live := map[int]bool{}
	for i, n := range g.Nodes {
		for _, v := range n.Out {
			if g.Values[root[v.ID]].Kind == Temp {
				live[root[v.ID]] = true
			}
		}
		var ids []int
		wanted := 0
		for id := range live {
			if last[id] < i {
				delete(live, id)
				continue
			}
			p := places[id]
			if p.Size < g.Values[id].Bytes() || p.Offset < 0 || p.Offset%align != 0 || p.Offset+p.Size > size {
				t.Fatalf("%v of %d bytes is placed at %+v of %d", g.Values[id], g.Values[id].Bytes(), p, size)
			}
			wanted += p.Size
			ids = append(ids, id)
		}
		bound = max(bound, wanted)
		slices.SortFunc(ids, func(a, b int) int { return places[a].Offset - places[b].Offset })
		for k := 1; k < len(ids); k++ {
			a, b := places[ids[k-1]], places[ids[k]]
			if a.Offset+a.Size > b.Offset {
				t.Fatalf("node %d: %v at %+v and %v at %+v are both wanted", i, g.Values[ids[k-1]], a, g.Values[ids[k]], b)
			}
		}
	}
	for _, v := range g.Values {
		r := root[v.ID]
		if _, touched := last[r]; !touched {
			continue // fused away, or a leaf that nobody reads
		}
		if places[v.ID] != places[r] || (g.Values[r].Kind != Temp) != (places[v.ID].Size == 0) {
			t.Errorf("%v at %+v, its storage %v at %+v", v, places[v.ID], g.Values[r], places[r])
		}
	}
	if size < bound {
		t.Fatalf("%d bytes, fewer than the %d wanted at one time", size, bound)
	}
	return size, bound
}

// randomGraph mixes ops of one and several outputs, in-place ones, dead ends and
// outputs.
func randomGraph(r *rand.Rand) func(g *Graph) {
	return func(g *Graph) {
		pool := []*Value{g.Input("in", gpu.Float32, 1, 4, 4, 1+r.IntN(9))}
		state := g.State("state", 0, 7)
		fresh := map[*Value]bool{} // temps that nothing has read, so that they may be written over
		for i := range 5 + r.IntN(60) {
			x := pool[r.IntN(len(pool))]
			delete(fresh, x)
			var out []*Value
			switch k := r.IntN(9); {
			case k == 0:
				out = g.Add(Concat{}, x, x)
				if out[0].Shape[3] > 300 {
					out = g.Add(Slice{0, 1 + r.IntN(9)}, out[0])
				}
			case k == 1:
				out = g.Add(MaxPool{Window{Kernel: 3, Stride: 1, Pad: 1}}, x)
			case k == 2:
				out = g.Add(Add{}, x, x)
			case k == 3 && len(fresh) > 0:
				var in []*Value
				for _, v := range pool { // not the map's order
					if fresh[v] && len(in) < 3 {
						in = append(in, v)
					}
				}
				for _, v := range in {
					delete(fresh, v)
				}
				out = g.Add(AllReduce{Scale: 0.5}, in...)
				pool = slices.DeleteFunc(pool, func(v *Value) bool { return slices.Contains(in, v) })
			case k == 4:
				g.Add(Accumulate{}, state, g.Add(Fill{Shape: gpu.Shape{7}, With: 1})[0])
				continue
			default:
				out = g.Add(Scale{2}, x)
			}
			for _, v := range out {
				if v.DType == gpu.Float32 {
					pool = append(pool, v)
					fresh[v] = true
				}
			}
			if r.IntN(15) == 0 {
				g.Output(fmt.Sprint("out", i), out[0])
				delete(fresh, out[0])
			}
		}
	}
}

func TestPlanOfRandomGraphs(t *testing.T) {
	over, n := 0.0, 0
	for seed := range uint64(600) {
		r := rand.New(rand.NewPCG(seed, 1))
		g := must(t, randomGraph(r))
		size, bound := checkPlan(t, g, []int{1, 64, 256}[seed%3])
		if bound > 0 {
			over += float64(size) / float64(bound)
			n++
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("on average %.3f of the lower bound", over/float64(n))
	if over/float64(n) > 1.05 {
		t.Errorf("on average %.3f of the lower bound, want at most 1.05", over/float64(n))
	}
}

// A training step, fused or not, comes within a few percent of the lower bound.
func TestPlanOfSteps(t *testing.T) {
	for _, fused := range []bool{false, true} {
		for _, blocks := range []int{1, 4, 8} {
			g := must(t, func(g *Graph) { residualNet(g, blocks) })
			if fused {
				Fuse(g)
			}
			size, bound := checkPlan(t, g, 64)
			all := 0
			for id, r := range Storage(g) {
				if id == r && g.Values[id].Kind == Temp {
					all += g.Values[id].Bytes()
				}
			}
			t.Logf("%d blocks, fused %v: %d bytes, lower bound %d, without sharing %d", blocks, fused, size, bound, all)
			if float64(size) > 1.05*float64(bound) || size > all {
				t.Errorf("%d blocks, fused %v: %d bytes, lower bound %d", blocks, fused, size, bound)
			}
		}
	}
}

func TestStorage(t *testing.T) {
	g := must(t, func(g *Graph) {
		x, p, m := g.Input("x", gpu.Float32, 3), g.Param("p", Bias, 3), g.State("m", 0, 3)
		d := g.Add(Scale{2}, x)[0]
		r := g.Add(AllReduce{Scale: 1}, d)[0]
		r = g.Add(AllReduce{Scale: 1}, r)[0] // in place of what is in place
		out := g.Add(SGD{}, p, m, r, g.Input("lr", gpu.Float32, 1))
		g.Add(EMA{}, g.State("avg", 0, 3), out[0], g.Input("decay", gpu.Float32, 1))
		g.Output("y", out[0])
	})
	root := Storage(g)
	name := func(v *Value) string { return g.Values[root[v.ID]].String() }
	want := [][]string{{"%3 float32[3]"}, {"%3 float32[3]"}, {"%3 float32[3]"}, {"p float32[3]", "m float32[3]"}, {"avg float32[3]"}}
	for i, n := range g.Nodes {
		for k, v := range n.Out {
			if name(v) != want[i][k] {
				t.Errorf("%s: output %d lies in %s, want %s", n.Op.Name(), k, name(v), want[i][k])
			}
		}
	}
	places, size := Plan(g, 64)
	if size != 64 || places[g.Lookup("p").ID].Size != 0 || places[g.Lookup("y").ID].Size != 0 {
		t.Errorf("arena of %d bytes, places %v", size, places)
	}
	for op, pairs := range map[Op][][2]int{
		ReLU{}: nil, AllReduce{}: {{0, 0}, {1, 1}}, BatchNorm{}: {{3, 3}, {4, 4}}, SGD{}: {{0, 0}, {1, 1}},
		Accumulate{}: {{0, 0}}, Clear{}: {{0, 0}}, EMA{}: {{0, 0}}, BatchNormInfer{}: nil,
	} {
		if got := Aliases(&Node{Op: op, In: make([]*Value, 2)}); !slices.Equal(got, pairs) {
			t.Errorf("%s: aliases %v, want %v", op.Name(), got, pairs)
		}
	}
	if places, size := Plan(&Graph{}, 64); len(places) != 0 || size != 0 {
		t.Errorf("an empty graph needs %d bytes", size)
	}
}
