package host

import (
	"errors"
	"fmt"
	"time"

	"bagpipe/gpu"
	"bagpipe/gpu/graph"
)

// A program is a graph with its kernels in order and its memory.
type program struct {
	dev     *Device
	graph   *graph.Graph
	comm    *comm
	storage []*buffer // by Value.ID
	named   map[string]*buffer
	owned   []*buffer
	kernels []kernel
	work    *work // memory that native kernels share

	run, profile func() error // for the worker; made once
	times        []graph.NodeTime
	done         chan error
	closed       bool
}

// Buffer implements graph.Program. It is nil for an unknown name.
func (p *program) Buffer(name string) gpu.Buffer {
	if b := p.named[name]; b != nil {
		return b
	}
	return nil
}

// Run implements graph.Program.
func (p *program) Run() error { return p.dev.do(p.run, p.done) }

func (p *program) runAll() error {
	if p.closed {
		return errClosed
	}
	for i, k := range p.kernels {
		if err := k(); err != nil {
			return p.fault(i, err)
		}
	}
	return nil
}

var errClosed = errors.New("host: program is closed")

// Profile implements graph.Program.
func (p *program) Profile() ([]graph.NodeTime, error) {
	err := p.dev.do(p.profile, p.done)
	times := p.times
	p.times = nil
	return times, err
}

func (p *program) profileAll() error {
	if p.closed {
		return errClosed
	}
	p.times = make([]graph.NodeTime, 0, len(p.kernels))
	for i, k := range p.kernels {
		start := time.Now()
		if err := k(); err != nil {
			return p.fault(i, err)
		}
		n := p.graph.Nodes[i]
		p.times = append(p.times, graph.NodeTime{Op: n.Op.Name(), Scope: n.Scope, Seconds: time.Since(start).Seconds()})
	}
	return nil
}

func (p *program) fault(i int, err error) error {
	n := p.graph.Nodes[i]
	return fmt.Errorf("host: %s: %s: %s: %w", p.dev.Name(), n.Scope, n.Op.Name(), err)
}

// Close implements graph.Program.
func (p *program) Close() error {
	if p.closed {
		return errClosed
	}
	p.closed = true
	err := p.work.close()
	for _, b := range p.owned {
		err = errors.Join(err, b.Free())
	}
	p.owned, p.kernels = nil, nil
	return err
}
