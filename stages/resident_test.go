package stages

import (
	"runtime"
	"runtime/debug"
	"testing"
)

// TestResident touches memory, gives it back and looks at both numbers.
func TestResident(t *testing.T) {
	before, _ := Resident()
	if before == 0 {
		t.Skip("the system does not tell")
	}
	const size = 64 << 20
	b := make([]byte, size)
	for i := range b {
		b[i] = 1
	}
	full, peak := Resident()
	if full-before < size/2 || peak < full {
		t.Errorf("%d resident, then %d with %d more, peak %d", before, full, size, peak)
	}
	runtime.KeepAlive(b)
	b = nil
	debug.FreeOSMemory()
	ForgetPeak()
	now, peak := Resident()
	if full-now < size/2 {
		t.Errorf("%d resident after giving %d back, %d before", now, size, full)
	}
	if peak < now {
		t.Errorf("a peak of %d below the %d there are now", peak, now)
	}
}
