package host

import (
	"errors"
	"fmt"
	"sync"
)

// A group is the meeting place of the replicas. A collective is two barriers: all
// arrive with their operands, each sums its share of the elements over all
// members in rank order and writes it to all of them, and all leave.
type group struct {
	size int

	mu       sync.Mutex
	cond     sync.Cond
	arrived  int
	round    uint64
	err      error         // set once; ends every collective from then on
	operands [][][]float32 // by rank
}

func newGroup(size int) *group {
	g := &group{size: size, operands: make([][][]float32, size)}
	g.cond.L = &g.mu
	return g
}

// comm is one member's place in a group.
type comm struct {
	group *group
	rank  int
}

// Rank implements gpu.Comm.
func (c *comm) Rank() int { return c.rank }

// Size implements gpu.Comm.
func (c *comm) Size() int { return c.group.size }

// Abort implements gpu.Comm. The first error sticks.
func (c *comm) Abort(err error) {
	if err == nil {
		err = errors.New("host: data-parallel group aborted")
	}
	g := c.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = err
	}
	g.cond.Broadcast()
}

// enter waits until all members are here, or the group is aborted. Either all
// members of a round get nil, or none does.
func (g *group) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return g.err
	}
	round := g.arrive()
	for g.round == round && g.err == nil {
		g.cond.Wait()
	}
	if g.round != round {
		return nil
	}
	return g.err
}

// leave waits until all members have summed, even after an abort: until then
// they write to each other's operands, which must not be freed.
func (g *group) leave() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for round := g.arrive(); g.round == round; {
		g.cond.Wait()
	}
	return g.err
}

func (g *group) arrive() (round uint64) {
	round = g.round
	if g.arrived++; g.arrived == g.size {
		g.arrived = 0
		g.round++
		g.cond.Broadcast()
	}
	return round
}

// allReduce replaces the operands of all members by their sums times scale.
func (c *comm) allReduce(operands [][]float32, scale float32) error {
	g := c.group
	g.operands[c.rank] = operands
	if err := g.enter(); err != nil {
		return err
	}
	if err := g.agree(); err != nil {
		c.Abort(err)
	} else {
		for i, own := range operands {
			g.sum(i, c.rank*len(own)/g.size, (c.rank+1)*len(own)/g.size, scale)
		}
	}
	return g.leave()
}

// agree checks that all members bring operands of the same sizes.
func (g *group) agree() error {
	first := g.operands[0]
	for r, other := range g.operands {
		same := len(other) == len(first)
		for i := 0; same && i < len(first); i++ {
			same = len(other[i]) == len(first[i])
		}
		if !same {
			return fmt.Errorf("host: all-reduce: ranks 0 and %d bring operands of different sizes", r)
		}
	}
	return nil
}

// sum adds elements lo..hi-1 of operand i over all ranks.
func (g *group) sum(i, lo, hi int, scale float32) {
	for j := lo; j < hi; j++ {
		var s float32
		for _, member := range g.operands {
			s += member[i][j]
		}
		s *= scale
		for _, member := range g.operands {
			member[i][j] = s
		}
	}
}
