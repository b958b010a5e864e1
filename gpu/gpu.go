// Package gpu holds the nouns of a compute device: Device, Buffer, HostBuffer,
// Stream, Event, DType and Shape, and the registry of backends. It computes
// nothing: gpu/graph is the language of computation, and a backend (gpu/host,
// gpu/cuda) compiles it for its devices.
//
// Ownership: whoever allocates a Buffer or HostBuffer frees it. A Device must
// outlive everything allocated on it.
package gpu

import "fmt"

// A Device is one processor with memory of its own: a share of the CPU's cores
// or one GPU. Its methods are safe for concurrent use.
type Device interface {
	// Name is the canonical specification, such as "cpu:0" or "cuda:3".
	Name() string
	// Info describes the hardware for `pipe devices` and for run logs.
	Info() Info
	// Alloc returns size zeroed bytes of device memory, 64-byte aligned.
	Alloc(size int) (Buffer, error)
	// AllocHost returns size zeroed bytes of host memory that the device can
	// copy from and to without staging (pinned, on a GPU).
	AllocHost(size int) (HostBuffer, error)
	// NewStream returns a queue of copies that run in order.
	NewStream() (Stream, error)
	// Close releases the device; its buffers and programs must be closed first.
	Close() error
}

// Info describes a device.
type Info struct {
	Model   string // hardware name, such as "AMD EPYC 9R14" or "NVIDIA H100 80GB HBM3"
	Threads int    // CPU threads the device computes with; 0 on a GPU
	Memory  int64  // bytes of memory
	Library string // compute library and version, such as "oneDNN 2.6.3 avx512_core"
}

// A Buffer is device memory.
type Buffer interface {
	Size() int // bytes
	Free() error
}

// A HostBuffer is host memory fit for direct transfers.
type HostBuffer interface {
	Bytes() []byte
	Free() error
}

// A Stream runs copies in the order they were enqueued. Upload and Download may
// return before the copy is done; src and dst must stay untouched until an
// Event recorded after it has completed.
type Stream interface {
	Upload(dst Buffer, src []byte) error   // len(src) <= dst.Size()
	Download(dst []byte, src Buffer) error // len(dst) <= src.Size()
	Record() (Event, error)
	Synchronize() error // waits for all enqueued work
	Close() error
}

// An Event marks a point of a Stream.
type Event interface {
	Synchronize() error // waits until the point is reached
}

// A Comm joins the devices of a data-parallel group; Rank is this member's place
// in 0..Size-1. The collective itself is an op of gpu/graph (AllReduce): a
// program compiled with a Comm runs it, and all members must run their programs
// at the same time. Abort makes every member's pending collective return err.
type Comm interface {
	Rank() int
	Size() int
	Abort(err error)
}

// DType is the type of one element.
type DType uint8

// The element types. Float16 is IEEE 754 binary16, BFloat16 the upper half of a
// binary32.
const (
	Float32 DType = iota
	Float16
	BFloat16
	Int32
	Uint8
)

// Size returns the bytes of one element.
func (t DType) Size() int { return [...]int{4, 2, 2, 4, 1}[t] }

// String returns the name that recipes use, such as "float32".
func (t DType) String() string {
	return [...]string{"float32", "float16", "bfloat16", "int32", "uint8"}[t]
}

// ParseDType is the inverse of DType.String.
func ParseDType(s string) (DType, error) {
	for t := Float32; t <= Uint8; t++ {
		if t.String() == s {
			return t, nil
		}
	}
	return 0, fmt.Errorf("gpu: unknown dtype %q, want float32, float16, bfloat16, int32 or uint8", s)
}

// MarshalText and UnmarshalText let a DType stand in TOML and JSON.
func (t DType) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (t *DType) UnmarshalText(b []byte) (err error) {
	*t, err = ParseDType(string(b))
	return err
}
