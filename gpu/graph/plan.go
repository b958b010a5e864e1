package graph

import (
	"cmp"
	"slices"
)

// Placement is where one value lives in the arena of a memory plan.
type Placement struct{ Offset, Size int } // bytes

// Storage returns for each Value.ID the ID of the value whose storage it uses,
// following in-place aliases back to the first: itself for most.
func Storage(g *Graph) []int {
	root := make([]int, len(g.Values))
	for i := range root {
		root[i] = i
	}
	for _, n := range g.Nodes {
		for _, a := range Aliases(n) {
			root[n.Out[a[0]].ID] = root[n.In[a[1]].ID]
		}
	}
	return root
}

// life is the span of node indices in which a storage holds something wanted.
type life struct {
	id, size    int
	first, last int
}

// Plan gives every Temp of g a place in one arena by liveness: storages whose
// lives overlap never overlap in memory; the others may. Offsets are multiples of
// align bytes. It returns the placements by Value.ID, zero for what does not live
// in the arena (inputs, params, states and what is written over them), and the
// arena's size.
//
// The largest storage is placed first, each into the lowest gap that fits: within
// a few percent of the lower bound on the networks here, and cheap.
func Plan(g *Graph, align int) (places []Placement, size int) {
	lives, root := lifetimes(g, align)
	slices.SortStableFunc(lives, func(a, b life) int { return cmp.Compare(b.size, a.size) })
	places = make([]Placement, len(g.Values))
	var placed []life // in order of offset
	for _, l := range lives {
		at := 0
		for _, p := range placed {
			if p.last < l.first || l.last < p.first {
				continue
			}
			q := places[p.id]
			if q.Offset >= at+l.size {
				break
			}
			at = max(at, q.Offset+q.Size)
		}
		places[l.id] = Placement{at, l.size}
		i, _ := slices.BinarySearchFunc(placed, at, func(p life, at int) int { return cmp.Compare(places[p.id].Offset, at) })
		placed = slices.Insert(placed, i, l)
		size = max(size, at+l.size)
	}
	for id, r := range root {
		places[id] = places[r]
	}
	return places, size
}

// lifetimes returns the life of every storage that belongs in the arena.
func lifetimes(g *Graph, align int) (lives []life, root []int) {
	root = Storage(g)
	index := make([]int, len(g.Values)) // 1 + position in lives
	for i, n := range g.Nodes {
		for _, v := range slices.Concat(n.In, n.Out) {
			if v == nil || g.Values[root[v.ID]].Kind != Temp {
				continue
			}
			r := root[v.ID]
			if index[r] == 0 {
				size := (g.Values[r].Bytes() + align - 1) / align * align
				lives = append(lives, life{id: r, size: size, first: i})
				index[r] = len(lives)
			}
			lives[index[r]-1].last = i
		}
	}
	for _, v := range g.Outputs {
		if k := index[root[v.ID]]; k > 0 {
			lives[k-1].last = len(g.Nodes)
		}
	}
	return lives, root
}
