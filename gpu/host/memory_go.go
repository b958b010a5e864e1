//go:build !cgo || cuda

package host

import "unsafe"

// zeroed returns aligned Go memory; the collector does not move it.
func zeroed(size int) ([]byte, func(), error) {
	b := make([]byte, size+alignment)
	skip := -int(uintptr(unsafe.Pointer(&b[0]))) & (alignment - 1)
	return b[skip : skip+size], func() {}, nil
}
