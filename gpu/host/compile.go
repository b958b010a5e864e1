package host

import (
	"errors"
	"fmt"

	"bagpipe/gpu"
	"bagpipe/gpu/graph"
)

// Compile implements graph.Compiler.
func (d *Device) Compile(g *graph.Graph, opt graph.Options) (graph.Program, error) {
	p := &program{dev: d, graph: g, named: map[string]*buffer{}, done: make(chan error, 1)}
	p.run = p.runAll
	p.profile = p.profileAll
	if err := d.do(func() error { return p.compile(opt) }, p.done); err != nil {
		return nil, errors.Join(fmt.Errorf("host: %s: %w", d.Name(), err), p.Close())
	}
	return p, nil
}

// compile runs on the device's worker, because oneDNN fits its primitives to the
// thread count of the calling thread.
func (p *program) compile(opt graph.Options) (err error) {
	if err := p.join(opt.Comm); err != nil {
		return err
	}
	if !opt.Reference {
		graph.Fuse(p.graph)
	}
	added := graph.Vars{}
	defer func() {
		if err != nil {
			for name := range added {
				delete(opt.Vars, name)
			}
			err = errors.Join(err, added.Free())
		}
	}()
	if err := p.place(opt.Vars, added); err != nil {
		return err
	}
	for _, n := range p.graph.Nodes {
		k, err := p.build(n, opt.Reference)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", n.Scope, n.Op.Name(), err)
		}
		p.kernels = append(p.kernels, k)
	}
	if p.work, err = newWork(p); err != nil {
		return err
	}
	if opt.Vars == nil { // nobody else can know them
		for _, b := range added {
			p.owned = append(p.owned, b.(*buffer))
		}
	}
	return nil
}

// join checks that a group's member is ours.
func (p *program) join(c gpu.Comm) error {
	if c == nil {
		return nil
	}
	own, ok := c.(*comm)
	if !ok {
		return fmt.Errorf("the group of %T is not of host devices", c)
	}
	p.comm = own
	return nil
}

// place gives every value its memory: one arena for temps, a buffer for each
// input, and the Vars. New variables are added to vars and to added.
func (p *program) place(vars, added graph.Vars) error {
	places, size := graph.Plan(p.graph, alignment)
	arena, err := p.own(size)
	if err != nil {
		return err
	}
	p.storage = make([]*buffer, len(p.graph.Values))
	storage := graph.Storage(p.graph)
	for _, v := range p.graph.Values {
		switch root := storage[v.ID]; {
		case root != v.ID: // takes its root's below
		case v.Kind == graph.Temp:
			p.storage[v.ID] = arena.slice(places[v.ID].Offset, v.Bytes())
		case v.Kind == graph.Input:
			if p.storage[v.ID], err = p.own(v.Bytes()); err != nil {
				return err
			}
		default:
			if p.storage[v.ID], err = variable(v, vars, added); err != nil {
				return err
			}
		}
	}
	for _, v := range p.graph.Values {
		p.storage[v.ID] = p.storage[storage[v.ID]]
		if v.Name != "" {
			p.named[v.Name] = p.storage[v.ID]
		}
	}
	return nil
}

// own allocates a buffer that lives as long as the program.
func (p *program) own(size int) (*buffer, error) {
	b, err := allocate(size)
	if err == nil {
		p.owned = append(p.owned, b)
	}
	return b, err
}

// variable finds v in vars or makes it.
func variable(v *graph.Value, vars, added graph.Vars) (*buffer, error) {
	if old, ok := vars[v.Name]; ok {
		b, ok := old.(*buffer)
		if !ok {
			return nil, fmt.Errorf("variable %s is not in this machine's memory but a %T", v.Name, old)
		}
		if b.Size() != v.Bytes() {
			return nil, fmt.Errorf("variable %s has %d bytes, want %d for %v", v.Name, b.Size(), v.Bytes(), v)
		}
		return b, nil
	}
	b, err := allocate(v.Bytes())
	if err != nil {
		return nil, err
	}
	added[v.Name] = b
	if vars != nil {
		vars[v.Name] = b
	}
	if v.Kind == graph.State && v.Fill != 0 {
		if v.DType != gpu.Float32 {
			return nil, fmt.Errorf("state %v: only float32 can be filled", v)
		}
		fill(floats(b.bytes), v.Fill)
	}
	return b, nil
}

// build makes the kernel of one node: native where there is one and the reference
// is not asked for, in Go otherwise.
func (p *program) build(n *graph.Node, reference bool) (kernel, error) {
	b := &binding{program: p, node: n}
	if err := b.check(); err != nil {
		return nil, err
	}
	if !reference {
		k, err := fast(b)
		if err == nil {
			err = b.err
		}
		if k != nil || err != nil {
			return k, err
		}
	}
	k, err := plain(b)
	return k, errors.Join(err, b.err)
}

// A kernel does the work of one node.
type kernel func() error

// A binding gives a kernel's maker the operands' memory. The first misuse of a
// type sticks in err.
type binding struct {
	*program
	node *graph.Node
	err  error
}

// check refuses what no kernel here computes with.
func (b *binding) check() error {
	for _, vs := range [][]*graph.Value{b.node.In, b.node.Out} {
		for _, v := range vs {
			if v != nil && (v.DType == gpu.Float16 || v.DType == gpu.BFloat16) {
				return fmt.Errorf("%v: a CPU computes with float32 only (set the recipe's dtype to float32)", v)
			}
		}
	}
	return nil
}

// has reports whether the optional operand i is present.
func (b *binding) has(i int) bool { return i < len(b.node.In) && b.node.In[i] != nil }

// in is operand i as float32, nil if absent.
func (b *binding) in(i int) []float32 {
	if !b.has(i) {
		return nil
	}
	return b.view(b.node.In[i])
}

// out is output i as float32.
func (b *binding) out(i int) []float32 { return b.view(b.node.Out[i]) }

func (b *binding) view(v *graph.Value) []float32 {
	if v.DType != gpu.Float32 {
		b.fail(v, gpu.Float32)
	}
	return floats(b.storage[v.ID].bytes)
}

// inInts is operand i as int32.
func (b *binding) inInts(i int) []int32 { return b.viewInts(b.node.In[i]) }

// outInts is output i as int32.
func (b *binding) outInts(i int) []int32 { return b.viewInts(b.node.Out[i]) }

func (b *binding) viewInts(v *graph.Value) []int32 {
	if v.DType != gpu.Int32 {
		b.fail(v, gpu.Int32)
	}
	return ints(b.storage[v.ID].bytes)
}

func (b *binding) fail(v *graph.Value, want gpu.DType) {
	if b.err == nil {
		b.err = fmt.Errorf("%v: want %v", v, want)
	}
}

// loop makes a kernel of a loop that the team divides.
func (b *binding) loop(n int, body func(lo, hi int)) kernel {
	return b.parts(n, func(_, lo, hi int) { body(lo, hi) })
}

// parts is loop for bodies that keep something per part.
func (b *binding) parts(n int, body func(part, lo, hi int)) kernel {
	t := b.dev.team
	return func() error {
		t.split(n, body)
		return nil
	}
}
