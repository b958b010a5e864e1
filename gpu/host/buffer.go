package host

import (
	"errors"
	"fmt"
	"unsafe"
)

// alignment of all buffers and of values in an arena: a cache line, and a vector
// register of AVX-512.
const alignment = 64

// A buffer is memory from the allocator of the build: C memory with cgo, so that
// C may keep pointers to it, and Go memory without.
type buffer struct {
	bytes   []byte
	release func()
}

// Size implements gpu.Buffer.
func (b *buffer) Size() int { return len(b.bytes) }

// Bytes implements gpu.HostBuffer.
func (b *buffer) Bytes() []byte { return b.bytes }

// Free implements gpu.Buffer and gpu.HostBuffer.
func (b *buffer) Free() error {
	if b.release == nil {
		return errors.New("host: buffer freed twice, or not by its owner")
	}
	b.release()
	b.release, b.bytes = nil, nil
	return nil
}

// slice returns a part of b that its holder cannot free.
func (b *buffer) slice(offset, size int) *buffer {
	return &buffer{bytes: b.bytes[offset : offset+size : offset+size]}
}

// allocate returns size zeroed bytes, aligned and already backed by memory.
func allocate(size int) (*buffer, error) {
	if size < 0 {
		return nil, fmt.Errorf("host: cannot allocate %d bytes", size)
	}
	bytes, release, err := zeroed(max(size, 1))
	if err != nil {
		return nil, err
	}
	return &buffer{bytes: bytes[:size:size], release: release}, nil
}

// floats views bytes as float32.
func floats(b []byte) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}

// ints views bytes as int32.
func ints(b []byte) []int32 {
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}
