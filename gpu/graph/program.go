package graph

import (
	"fmt"

	"bagpipe/gpu"
)

// Vars are the persistent values (params and states) of a device by name.
// Programs compiled with the same Vars share them: a training step, its
// evaluation and an exponential moving average all work on one set of weights.
// Whoever made the map frees the buffers, after closing the programs.
type Vars map[string]gpu.Buffer

// Free frees every buffer.
func (vs Vars) Free() (err error) {
	for name, b := range vs {
		if e := b.Free(); e != nil && err == nil {
			err = e
		}
		delete(vs, name)
	}
	return err
}

// Options of a compilation.
type Options struct {
	// Vars holds the persistent values. Compile adds the ones that the graph names
	// and Vars lacks (params zeroed, states filled), and refuses a size mismatch.
	Vars Vars
	// Comm is the data-parallel group that AllReduce nodes join; nil means alone.
	Comm gpu.Comm
	// Reference selects the plain loops that every fast kernel is tested against.
	Reference bool
}

// A Compiler is a device that can run graphs; every backend's devices are.
type Compiler interface {
	gpu.Device
	// Compile fuses, plans memory and prepares g. It may rewrite g.
	Compile(g *Graph, opt Options) (Program, error)
}

// A Program is a compiled graph. Its methods are not safe for concurrent use.
type Program interface {
	// Buffer returns the storage of a named input, param, state or output. Input
	// buffers may be written and output buffers read between runs.
	Buffer(name string) gpu.Buffer
	// Run executes the whole graph once and returns when the results may be read
	// through a Stream of the device.
	Run() error
	// Profile runs once and returns the seconds each node took, by index.
	Profile() ([]NodeTime, error)
	// Close frees everything but the Vars.
	Close() error
}

// NodeTime is what one node of a profiled run cost.
type NodeTime struct {
	Op, Scope string
	Seconds   float64
}

// Compile compiles g for dev.
func Compile(dev gpu.Device, g *Graph, opt Options) (Program, error) {
	c, ok := dev.(Compiler)
	if !ok {
		return nil, fmt.Errorf("graph: device %s cannot run graphs", dev.Name())
	}
	return c.Compile(g, opt)
}
