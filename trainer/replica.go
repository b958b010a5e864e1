package trainer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime/pprof"
	"unsafe"

	"bagpipe/batcher"
	"bagpipe/gpu"
	"bagpipe/gpu/graph"
)

// replica is one device's copy of the network with everything it needs to train.
// Its methods belong to one goroutine at a time.
type replica struct {
	dev    gpu.Device
	comm   gpu.Comm // nil when alone
	stream gpu.Stream
	vars   graph.Vars
	kept   []*graph.Value // every persistent value of the step graph, in its order
	part   int            // samples a run of the programs
	parts  int            // runs a step

	step  []graph.Program // one, or for accumulation two: all runs but the last, the last
	eval  *evaluator
	input *batcher.Loader
}

// newReplica compiles the programs of one of world devices. The weights are zero.
func newReplica(c Config, dev gpu.Device, comm gpu.Comm, classes, world int) (r *replica, err error) {
	r = &replica{dev: dev, comm: comm, vars: graph.Vars{}, parts: c.Accumulate}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if r.part, err = c.split(world); err != nil {
		return r, err
	}
	if r.stream, err = dev.NewStream(); err != nil {
		return r, err
	}
	rank := 0
	if comm != nil {
		rank = comm.Rank()
	}
	for _, last := range []bool{false, true} {
		if !last && c.Accumulate == 1 {
			continue
		}
		g, err := c.stepGraph(r.part, classes, rank, world, last)
		if err != nil {
			return r, err
		}
		r.kept = append(g.Params(), g.States()...)
		p, err := graph.Compile(dev, g, graph.Options{Vars: r.vars, Comm: comm})
		if err != nil {
			return r, err
		}
		r.step = append(r.step, p)
	}
	r.eval, err = newEvaluator(c, dev, r.part, classes, c.evaluatedVars(r.vars))
	return r, err
}

// evaluatedVars returns the variables that an evaluation reads, by their plain names.
func (c Config) evaluatedVars(all graph.Vars) graph.Vars {
	vars := graph.Vars{}
	for name, b := range all {
		if plain, ok := c.evaluated(name); ok {
			vars[plain] = b
		}
	}
	return vars
}

// stepped is what one step gave.
type stepped struct {
	loss float64 // mean over the parts
	top1 float64 // pictures
	n    int     // pictures
	bad  int
}

// train runs one step on a batch, and releases it.
func (r *replica) train(b *batcher.Batch, lr, decay float64) (s stepped, err error) {
	defer b.Release()
	s.n, s.bad = b.N, b.Bad
	for k := range r.parts {
		p := r.step[0]
		if k == r.parts-1 {
			p = r.step[len(r.step)-1]
		}
		pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels("stage", "upload")))
		if err := errors.Join(r.scalars(p, b.Step*r.parts+k, lr, decay), r.upload(p, b, k)); err != nil {
			return s, err
		}
		pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels("stage", "device")))
		if k == r.parts-1 {
			b.Release() // all of it is on the device
		}
		if err := p.Run(); err != nil {
			return s, err
		}
		loss, err := r.scalar(p, outLoss)
		if err != nil {
			return s, err
		}
		top1, err := r.scalar(p, outTop1)
		if err != nil {
			return s, err
		}
		s.loss += loss / float64(r.parts)
		s.top1 += top1
	}
	return s, nil
}

// upload copies part k of a batch.
func (r *replica) upload(p graph.Program, b *batcher.Batch, k int) error {
	for _, in := range []struct {
		name string
		from gpu.HostBuffer
	}{{inImages, b.Images}, {inLabels, b.Labels}, {inPartners, b.Partners}, {inLambda, b.Lambda}} {
		size := len(in.from.Bytes()) / r.parts
		if err := r.stream.Upload(p.Buffer(in.name), in.from.Bytes()[k*size:(k+1)*size]); err != nil {
			return err
		}
	}
	return r.stream.Synchronize()
}

// scalars writes what changes from run to run, as far as p has it.
func (r *replica) scalars(p graph.Program, run int, lr, decay float64) error {
	for _, in := range []struct {
		name string
		bits uint32
	}{{inRate, math.Float32bits(float32(lr))}, {inDecay, math.Float32bits(float32(decay))}, {inCounter, uint32(run)}} {
		b := p.Buffer(in.name)
		if b == nil {
			continue
		}
		if err := r.stream.Upload(b, binary.NativeEndian.AppendUint32(nil, in.bits)); err != nil {
			return err
		}
	}
	return nil
}

// scalar reads an output of one float.
func (r *replica) scalar(p graph.Program, name string) (float64, error) {
	return scalar(r.stream, p, name)
}

func scalar(s gpu.Stream, p graph.Program, name string) (float64, error) {
	var raw [4]byte
	if err := errors.Join(s.Download(raw[:], p.Buffer(name)), s.Synchronize()); err != nil {
		return 0, err
	}
	return float64(math.Float32frombits(binary.NativeEndian.Uint32(raw[:]))), nil
}

// get reads a persistent value.
func (r *replica) get(name string) ([]float32, error) {
	b := r.vars[name]
	data := make([]float32, b.Size()/4)
	return data, errors.Join(r.stream.Download(raw(data), b), r.stream.Synchronize())
}

// set writes a persistent value.
func (r *replica) set(name string, data []float32) error {
	if b := r.vars[name]; b.Size() != 4*len(data) {
		return fmt.Errorf("trainer: %s: %d elements, want %d", name, len(data), b.Size()/4)
	}
	return errors.Join(r.stream.Upload(r.vars[name], raw(data)), r.stream.Synchronize())
}

// raw views floats as the bytes that a stream copies.
func raw(data []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(data))), 4*len(data))
}

// close frees everything; it may be called on a half-made replica.
func (r *replica) close() error {
	var errs []error
	if r.input != nil {
		errs = append(errs, r.input.Close())
	}
	if r.eval != nil {
		errs = append(errs, r.eval.close())
	}
	for _, p := range r.step {
		errs = append(errs, p.Close())
	}
	if r.stream != nil {
		errs = append(errs, r.stream.Close())
	}
	return errors.Join(append(errs, r.vars.Free())...)
}
