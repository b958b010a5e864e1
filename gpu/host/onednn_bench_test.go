//go:build cgo && !cuda

package host

import "testing"

// BenchmarkConvOneDNN is BenchmarkConv with every layer in oneDNN: what winograd.c
// and taps.c have to beat.
func BenchmarkConvOneDNN(b *testing.B) {
	d := open(b, 0)[0].(*Device)
	d.native.foreign = true
	benchmarkConv(b, d)
}
