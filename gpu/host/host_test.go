package host

import (
	"testing"

	"bagpipe/gpu"
	"bagpipe/gpu/gputest"
)

func open(t testing.TB) gpu.Device {
	t.Helper()
	devs, err := backend{}.Open([]int{0})
	if err != nil {
		t.Fatal(err)
	}
	return devs[0]
}

func TestConformance(t *testing.T) {
	gputest.Run(t, func() gpu.Device { return open(t) })
}
