// Package host is the CPU backend: it compiles graphs of gpu/graph for the cores
// of this machine. Convolutions and linear layers run in oneDNN, save those on which
// this package's own products of matrices are faster (winograd.c, taps.c), and the
// rest in C kernels; a build without cgo runs them in Go, with
// gonum's BLAS under the convolutions. Plain Go loops for every op stay beside
// both: graph.Options.Reference selects them and the tests compare against them.
//
// Memory: everything a Program needs is allocated when it is compiled, and
// touched then, because first touches of fresh pages cost more than many kernels
// do. Run allocates nothing. Buffers handed out by Program.Buffer belong to the
// Program (inputs, outputs) or to graph.Vars.
//
// Only float32 is computed with; a graph of another float type is refused.
//
// A device computes on one goroutine locked to one thread, because OpenMP keeps
// its team of threads per calling thread. The native kernels flush numbers below
// 1e-38 to zero (FTZ and DAZ on x86): arithmetic on them is a hundred times slower.
package host

import (
	"errors"
	"fmt"
	"slices"

	"bagpipe/gpu"
	"bagpipe/internal/cores"
)

// maxDevices bounds the replicas of one group; more is surely a mistake.
const maxDevices = 256

func init() { gpu.Register(backend{}) }

// backend makes devices "cpu:N". The numbers only tell replicas apart: every
// group divides the same cores.
type backend struct{}

// Kind implements gpu.Backend.
func (backend) Kind() string { return "cpu" }

// Count is 1: "cpu" means one device with all the threads. Replicas are asked
// for by number and divide them.
func (backend) Count() (int, error) { return 1, nil }

// Open divides GOMAXPROCS threads among the devices, at least one each.
func (backend) Open(ids []int) ([]gpu.Device, error) {
	if len(ids) == 0 || len(ids) > maxDevices {
		return nil, fmt.Errorf("host: %d devices asked for, want 1 to %d", len(ids), maxDevices)
	}
	threads := cores.N()
	devs := make([]gpu.Device, len(ids))
	for i, id := range ids {
		if id < 0 || slices.Contains(ids[:i], id) {
			return nil, errors.Join(fmt.Errorf("host: device cpu:%d is asked for twice or below 0", id), closeAll(devs[:i]))
		}
		share := threads / len(ids)
		if i < threads%len(ids) {
			share++
		}
		devs[i] = newDevice(id, max(share, 1))
	}
	return devs, nil
}

func closeAll(devs []gpu.Device) (err error) {
	for _, d := range devs {
		err = errors.Join(err, d.Close())
	}
	return err
}

// Connect joins host devices into one group in which sums are taken in rank
// order, so that all members get the same bits.
func (backend) Connect(devs []gpu.Device) ([]gpu.Comm, error) {
	g := newGroup(len(devs))
	comms := make([]gpu.Comm, len(devs))
	for i, d := range devs {
		if _, ok := d.(*Device); !ok || slices.Contains(devs[:i], d) {
			return nil, fmt.Errorf("host: device %s cannot join a group of distinct host devices", d.Name())
		}
		comms[i] = &comm{group: g, rank: i}
	}
	return comms, nil
}
