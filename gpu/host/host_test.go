package host

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"unsafe"

	"bagpipe/gpu"
	"bagpipe/gpu/gputest"
	"bagpipe/gpu/graph"
)

func open(t testing.TB, ids ...int) []gpu.Device {
	t.Helper()
	devs, err := backend{}.Open(ids)
	if err != nil {
		t.Fatal(err)
	}
	return devs
}

func TestConformance(t *testing.T) {
	gputest.Run(t, func() gpu.Device { return open(t, 0)[0] })
}

// A group divides the threads; each member gets at least one.
func TestOpen(t *testing.T) {
	for n := 1; n <= 5; n++ {
		ids := make([]int, n)
		for i := range ids {
			ids[i] = 2 * i
		}
		total := 0
		for i, d := range open(t, ids...) {
			threads := d.Info().Threads
			total += threads
			if threads < 1 || d.Name() != fmt.Sprint("cpu:", 2*i) {
				t.Errorf("device %d of %d is %s with %d threads", i, n, d.Name(), threads)
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
			if d.Close() == nil {
				t.Error("a second Close is not refused")
			}
		}
		if want := max(n, runtime.GOMAXPROCS(0)); total != want {
			t.Errorf("%d devices have %d threads, want %d", n, total, want)
		}
	}
	for _, ids := range [][]int{nil, {-1}, {1, 1}, make([]int, maxDevices+1)} {
		if _, err := (backend{}).Open(ids); err == nil {
			t.Errorf("Open(%v) is not refused", ids)
		}
	}
	_, devs, err := gpu.Open("cpu")
	if err != nil || len(devs) != 1 {
		t.Fatalf(`gpu.Open("cpu"): %d devices, %v; want one with all threads`, len(devs), err)
	}
	if err := devs[0].Close(); err != nil {
		t.Error(err)
	}
}

// A closed device refuses work instead of waiting for its worker.
func TestClosedDevice(t *testing.T) {
	d := open(t, 0)[0]
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	g, err := graph.Build(true, func(g *graph.Graph) { g.Output("y", g.ReLU(g.Input("x", gpu.Float32, 3))) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := graph.Compile(d, g, graph.Options{}); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("Compile on a closed device: %v", err)
	}
}

func TestAlignment(t *testing.T) {
	for size := range 200 {
		b, err := allocate(size * 37)
		if err != nil {
			t.Fatal(err)
		}
		if at := uintptr(unsafe.Pointer(unsafe.SliceData(b.bytes))); at%alignment != 0 {
			t.Fatalf("%d bytes at %#x", size*37, at)
		}
		if err := b.Free(); err != nil {
			t.Fatal(err)
		}
		if b.Free() == nil {
			t.Fatal("a second Free is not refused")
		}
	}
}

// An abort ends the wait of every member, and of those that come later.
func TestAbort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(3)
		errs := make(chan error, 2)
		for rank := range 2 {
			go func() { errs <- (&comm{g, rank}).allReduce([][]float32{{1}}, 1) }()
		}
		synctest.Wait()
		stop := errors.New("stop")
		last := &comm{g, 2}
		last.Abort(stop)
		last.Abort(errors.New("too late: the first error sticks"))
		for range 2 {
			if err := <-errs; err != stop {
				t.Errorf("aborted member got %v, want %v", err, stop)
			}
		}
		if err := last.allReduce([][]float32{{1}}, 1); err != stop {
			t.Errorf("late member got %v, want %v", err, stop)
		}
	})
}

// Members that bring different operands all get an error, and nobody hangs.
func TestDisagree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(2)
		errs := make(chan error, 2)
		for rank := range 2 {
			go func() { errs <- (&comm{g, rank}).allReduce([][]float32{make([]float32, 1+rank)}, 1) }()
		}
		for range 2 {
			if err := <-errs; err == nil {
				t.Error("operands of 1 and 2 elements are not refused")
			}
		}
	})
}

// A loop's parts cover it once, whatever its length.
func TestTeam(t *testing.T) {
	for threads := 1; threads <= 4; threads++ {
		tm := newTeam(threads)
		for n := range 20 {
			hits := make([]int, n)
			tm.split(n, func(part, lo, hi int) {
				for i := lo; i < hi; i++ {
					hits[i]++
				}
				if part >= threads {
					t.Errorf("part %d of a team of %d", part, threads)
				}
			})
			for i, h := range hits {
				if h != 1 {
					t.Fatalf("team of %d: step %d of %d ran %d times", threads, i, n, h)
				}
			}
		}
		tm.close()
	}
}

// smallNet is a training step with one of most things in it.
func smallNet(g *graph.Graph) {
	x := g.Input("x", gpu.Float32, 4, 12, 12, 3)
	y := g.Conv2D(x, g.Param("w", graph.ConvWeight, 16, 3, 3, 3), nil, graph.Conv2D{Stride: 1, Pad: 1, Groups: 1})
	y = g.ReLU(g.BatchNorm(y, g.Param("gamma", graph.Gamma, 16), g.Param("beta", graph.Beta, 16), g.State("mean", 0, 16), g.State("var", 1, 16), 1e-5, 0.9))
	y = g.GlobalAvgPool(g.MaxPool(y, graph.Window{Kernel: 2, Stride: 2}))
	loss := g.Mean(g.Linear(y, g.Param("fc", graph.LinearWeight, 5, 16), nil))
	g.Output("loss", loss)
	for i, d := range graph.Gradients(g, loss, g.Params()) {
		p := g.Params()[i]
		g.Add(graph.SGD{Momentum: 0.9}, p, g.State(p.Name+".m", 0, p.Shape...), d, g.Lookup("lr"))
	}
}

func TestRunAllocatesNothing(t *testing.T) {
	d := open(t, 0)[0]
	defer d.Close()
	g, err := graph.Build(true, func(g *graph.Graph) {
		g.Input("lr", gpu.Float32, 1)
		smallNet(g)
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := graph.Compile(d, g, graph.Options{Reference: !hasNative()})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if n := testing.AllocsPerRun(20, func() {
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("a run allocates %v times, want 0", n)
	}
}

// hasNative reports whether the build has native kernels; gonum's products start
// goroutines, which allocates.
func hasNative() bool { return !strings.Contains((*native)(nil).library(), "gonum") }
