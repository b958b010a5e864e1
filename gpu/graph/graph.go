// Package graph is the language of computation: a Graph of Values joined by
// Nodes, each an Op with its attributes. Models, losses, gradients, optimizer
// updates and all-reduce are all written in it, so one training step is one
// graph. The package infers shapes, derives gradients, fuses, plans memory and
// counts cost; it knows no device. A backend turns a Graph into a Program.
//
// Activations are NHWC. Convolution weights are OHWI: output channels, kernel
// height, kernel width, input channels per group (KRSC in cuDNN's terms).
// Graphs are built by one goroutine and are read-only once compiled.
package graph

import (
	"fmt"
	"math"

	"bagpipe/gpu"
)

// A Kind says where a Value's contents come from and how long they live.
type Kind uint8

const (
	Temp  Kind = iota // made by a node, alive until its last reader
	Input             // written from outside before each run
	Param             // trained; persists from run to run
	State             // persists from run to run, not trained: running statistics, momentum, EMA
)

// A Role says what a Param is for: it decides initialisation and weight decay.
type Role uint8

const (
	NoRole       Role = iota
	ConvWeight        // OHWI
	LinearWeight      // [out, in]
	Bias
	Gamma     // batch-norm scale
	GammaLast // batch-norm scale at the end of a residual branch (zero gamma, arXiv:1812.01187 section 3.1)
	Beta      // batch-norm shift
)

// Decays reports whether weight decay applies to the role under "no bias decay"
// (arXiv:1812.01187 section 3.1): only convolution and linear weights do.
func (r Role) Decays() bool { return r == ConvWeight || r == LinearWeight }

// A Value is an array with a fixed shape.
type Value struct {
	ID    int    // index in Graph.Values
	Name  string // unique; set for inputs, params, states and outputs
	Shape gpu.Shape
	DType gpu.DType
	Kind  Kind
	Role  Role    // of a Param
	Fill  float32 // initial contents of a State
	From  *Node   // the node that makes it; nil unless Temp
}

// Bytes returns the size of the contents.
func (v *Value) Bytes() int { return v.Shape.Elems() * v.DType.Size() }

func (v *Value) String() string {
	name := v.Name
	if name == "" {
		name = fmt.Sprintf("%%%d", v.ID)
	}
	return fmt.Sprintf("%s %s[%s]", name, v.DType, v.Shape)
}

// A Node applies an Op. In may contain nil for an operand the Op calls optional.
type Node struct {
	Op    Op
	In    []*Value
	Out   []*Value
	Scope string // name of the layer that asked for it, for `pipe show` and profiles
}

// An Op is one operation with its attributes; it is a plain struct value.
type Op interface {
	// Name is the operation's name, such as "conv2d".
	Name() string
	// Infer returns the types of the outputs, or an error that says what is wrong
	// with the inputs. Entries of in are nil for absent optional operands.
	Infer(in []*Value) ([]Type, error)
}

// InPlace is implemented by an Op that writes some outputs over its inputs, such
// as an optimizer's update. Each pair is {output index, input index}; the two
// share storage, and the input's old contents are gone after the node.
type InPlace interface {
	InPlace() [][2]int
}

// Type is a shape with an element type.
type Type struct {
	Shape gpu.Shape
	DType gpu.DType
}

// A Graph is a list of nodes in an order in which they can run.
type Graph struct {
	Training bool // batch norm uses batch statistics, dropout drops
	SyncNorm bool // batch norms added from now on take them over the data-parallel group
	Values   []*Value
	Nodes    []*Node
	Outputs  []*Value // temps kept readable after a run
	Scope    string   // given to nodes as they are added

	byName map[string]*Value
}

// Error is the fault that a builder method found; Build returns it.
type Error struct {
	Scope, Op string
	Err       error
}

func (e *Error) Error() string {
	if e.Scope == "" {
		return fmt.Sprintf("graph: %s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("graph: %s: %s: %v", e.Scope, e.Op, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Build runs f on a new graph. The builder methods panic with *Error at the first
// misfit of shapes, so that model code stays free of error handling; Build
// returns that error. (text/template/parse works the same way.)
func Build(training bool, f func(g *Graph)) (g *Graph, err error) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case *Error:
			g, err = nil, e
		default:
			panic(e)
		}
	}()
	g = &Graph{Training: training, byName: map[string]*Value{}}
	f(g)
	return g, nil
}

// Lookup returns the named value, or nil.
func (g *Graph) Lookup(name string) *Value { return g.byName[name] }

// Params returns the trained values in the order they were added.
func (g *Graph) Params() []*Value { return g.ofKind(Param) }

// States returns the persistent untrained values in the order they were added.
func (g *Graph) States() []*Value { return g.ofKind(State) }

// Inputs returns the values written from outside in the order they were added.
func (g *Graph) Inputs() []*Value { return g.ofKind(Input) }

func (g *Graph) ofKind(k Kind) (vs []*Value) {
	for _, v := range g.Values {
		if v.Kind == k {
			vs = append(vs, v)
		}
	}
	return vs
}

// Input adds a value that is written before each run.
func (g *Graph) Input(name string, t gpu.DType, shape ...int) *Value {
	return g.leaf(&Value{Name: name, Shape: shape, DType: t, Kind: Input})
}

// Param adds a trained float32 value.
func (g *Graph) Param(name string, role Role, shape ...int) *Value {
	return g.leaf(&Value{Name: name, Shape: shape, Kind: Param, Role: role})
}

// State adds a persistent float32 value that starts out filled with fill.
func (g *Graph) State(name string, fill float32, shape ...int) *Value {
	return g.leaf(&Value{Name: name, Shape: shape, Kind: State, Fill: fill})
}

// Output names v, which has no name yet, and keeps it readable after a run.
func (g *Graph) Output(name string, v *Value) *Value {
	if v.Name != "" {
		panic(&Error{Scope: g.Scope, Op: name, Err: fmt.Errorf("the value is called %q already", v.Name)})
	}
	g.name(v, name)
	g.Outputs = append(g.Outputs, v)
	return v
}

// Add appends a node and returns its outputs. It is what the typed builder
// methods and the gradient rules use.
func (g *Graph) Add(op Op, in ...*Value) []*Value {
	err := count(op, in)
	var types []Type
	if err == nil {
		types, err = op.Infer(in)
	}
	if err != nil {
		panic(&Error{Scope: g.Scope, Op: op.Name(), Err: err})
	}
	n := &Node{Op: op, In: in, Scope: g.Scope}
	for _, t := range types {
		n.Out = append(n.Out, g.value(&Value{Shape: t.Shape, DType: t.DType, From: n}))
	}
	g.Nodes = append(g.Nodes, n)
	return n.Out
}

// count checks that op has the operands it needs, and no more.
func count(op Op, in []*Value) error {
	required, most := operands(op)
	if len(in) < required || len(in) > most {
		return fmt.Errorf("has %d operands, want %d to %d", len(in), required, most)
	}
	for i, v := range in[:required] {
		if v == nil {
			return fmt.Errorf("operand %d is missing", i)
		}
	}
	return nil
}

// operands returns how many operands op needs and how many it takes at most.
func operands(op Op) (required, most int) {
	switch op := op.(type) {
	case Fill:
		return 0, 0
	case ReLU, Scale, Slice, BiasGrad, MaxPool, AvgPool, AvgPoolGrad, GlobalAvgPool, GlobalAvgPoolGrad, Mean, Broadcast, Clear:
		return 1, 1
	case Add, ReLUGrad, Dropout, Conv2DGradX, Conv2DGradW, LinearGradX, LinearGradW, MaxPoolGrad, SoftmaxCrossEntropy, TopK, Accumulate:
		return 2, 2
	case Target, SoftmaxCrossEntropyGrad, EMA:
		return 3, 3
	case SGD:
		return 4, 4
	case Linear:
		return 2, 3
	case Conv2D:
		return 2, 4
	case BatchNorm, BatchNormInfer:
		return 5, 6
	case BatchNormGrad:
		if op.ReLU {
			return 6, 6
		}
		return 5, 5
	case Concat, AllReduce:
		return 1, math.MaxInt
	}
	return 0, math.MaxInt // another package's op checks for itself
}

func (g *Graph) add1(op Op, in ...*Value) *Value { return g.Add(op, in...)[0] }

func (g *Graph) leaf(v *Value) *Value {
	if err := positive(v.Shape); err != nil {
		panic(&Error{Scope: g.Scope, Op: v.Name, Err: err})
	}
	g.name(v, v.Name)
	return g.value(v)
}

func (g *Graph) name(v *Value, name string) {
	if g.byName[name] != nil {
		panic(&Error{Scope: g.Scope, Op: name, Err: fmt.Errorf("two values have this name")})
	}
	v.Name = name
	g.byName[name] = v
}

func (g *Graph) value(v *Value) *Value {
	v.ID = len(g.Values)
	g.Values = append(g.Values, v)
	return v
}
