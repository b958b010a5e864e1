package cores

import (
	"runtime"
	"testing"
)

func TestSpare(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	Spare()
	if N() != before || runtime.GOMAXPROCS(0) != before+spare {
		t.Errorf("N is %d and GOMAXPROCS %d, want %d and %d", N(), runtime.GOMAXPROCS(0), before, before+spare)
	}
}
