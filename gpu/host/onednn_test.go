//go:build cgo && !cuda

package host

import (
	"testing"

	"bagpipe/gpu"
	"bagpipe/gpu/gputest"
)

// openForeign opens a device that leaves every layer to oneDNN, as machines do for
// which winograd.c and taps.c have no kernels.
func openForeign(t testing.TB) gpu.Device {
	d := open(t, 0)[0].(*Device)
	d.native.foreign = true
	return d
}

func TestConformanceOneDNN(t *testing.T) {
	gputest.Run(t, func() gpu.Device { return openForeign(t) })
}

// BenchmarkConvOneDNN is BenchmarkConv with every layer in oneDNN: what winograd.c
// and taps.c have to beat.
func BenchmarkConvOneDNN(b *testing.B) { benchmarkConv(b, openForeign(b)) }
