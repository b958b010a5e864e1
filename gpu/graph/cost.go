package graph

// Cost is what one node costs.
type Cost struct {
	Node   *Node
	MACs   int64 // multiply-accumulates; FLOPs in the usual loose sense of the papers
	Params int64 // elements of the params it reads
	Bytes  int64 // of its first output
}

// Costs returns the cost of every forward node. Convolutions and linear layers
// count their multiplications, all else counts as free: that is how the papers'
// "3.8 GFLOPs" of a ResNet-50 come about.
func Costs(g *Graph) []Cost {
	costs := make([]Cost, 0, len(g.Nodes))
	for _, n := range g.Nodes {
		c := Cost{Node: n, Bytes: int64(n.Out[0].Bytes())}
		for _, v := range n.In {
			if v != nil && v.Kind == Param {
				c.Params += int64(v.Shape.Elems())
			}
		}
		switch n.Op.(type) {
		case Conv2D, Linear:
			w := n.In[1].Shape
			c.MACs = int64(n.Out[0].Shape.Elems()) * int64(w.Elems()/w[0])
		}
		costs = append(costs, c)
	}
	return costs
}
