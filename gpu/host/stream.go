package host

import (
	"fmt"

	"bagpipe/gpu"
)

// stream copies at once: the device's memory is the host's.
type stream struct{}

// Upload implements gpu.Stream.
func (stream) Upload(dst gpu.Buffer, src []byte) error {
	b, ok := dst.(*buffer)
	if !ok || len(src) > len(b.bytes) {
		return fmt.Errorf("host: upload of %d bytes to a buffer of %d", len(src), sizeOf(dst))
	}
	copy(b.bytes, src)
	return nil
}

// Download implements gpu.Stream.
func (stream) Download(dst []byte, src gpu.Buffer) error {
	b, ok := src.(*buffer)
	if !ok || len(dst) > len(b.bytes) {
		return fmt.Errorf("host: download of %d bytes from a buffer of %d", len(dst), sizeOf(src))
	}
	copy(dst, b.bytes)
	return nil
}

func sizeOf(b gpu.Buffer) int {
	if b == nil {
		return 0
	}
	return b.Size()
}

// Record implements gpu.Stream.
func (stream) Record() (gpu.Event, error) { return event{}, nil }

// Synchronize implements gpu.Stream.
func (stream) Synchronize() error { return nil }

// Close implements gpu.Stream.
func (stream) Close() error { return nil }

// event is always past.
type event struct{}

// Synchronize implements gpu.Event.
func (event) Synchronize() error { return nil }
