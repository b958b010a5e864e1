package graph

// Gradients appends to g the nodes that compute d loss / d p for every p of wrt
// and returns them in the order of wrt; loss has shape [1]. Gradients of
// parameters are float32.
func Gradients(g *Graph, loss *Value, wrt []*Value) []*Value { panic("pending") }

// Fuse rewrites g so that BatchNorm, BatchNormInfer, Add and Conv2D absorb a
// following residual addition and ReLU, and their gradients likewise.
// Backends that implement the fused forms call it first.
func Fuse(g *Graph) { panic("pending") }

// FoldBatchNorm ...
// Placement is where one value lives in the arena of a memory plan.
type Placement struct {
	Offset, Size int
}

// Plan assigns every Temp of g a place in one arena, by liveness: values whose
// lives do not overlap share memory. Offsets are multiples of align bytes. It
// returns the placements by Value.ID (zero Placement for values that do not live
// in the arena: inputs, params, states and values that alias them) and the
// arena's size.
func Plan(g *Graph, align int) (places []Placement, size int) { panic("pending") }

// Storage returns for each Value.ID the ID of the value whose storage it uses,
// following the in-place aliases: itself for most.
func Storage(g *Graph) []int { panic("pending") }
