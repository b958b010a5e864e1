package gputest

import (
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"bagpipe/gpu"
	"bagpipe/gpu/graph"
)

// build makes a graph or ends the test.
func build(t *testing.T, training bool, f func(g *graph.Graph)) *graph.Graph {
	t.Helper()
	g, err := graph.Build(training, f)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// testBuffers checks that memory is zeroed, keeps what is copied to it, and that
// copies which do not fit are refused.
func testBuffers(t *testing.T, dev gpu.Device) {
	s, err := dev.NewStream()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, size := range []int{1, 63, 64, 4097, 1 << 20} {
		b, err := dev.Alloc(size)
		if err != nil {
			t.Fatal(err)
		}
		h, err := dev.AllocHost(size)
		if err != nil {
			t.Fatal(err)
		}
		if b.Size() != size || len(h.Bytes()) != size {
			t.Fatalf("got buffers of %d and %d bytes, want %d", b.Size(), len(h.Bytes()), size)
		}
		got := make([]byte, size)
		got[0] = 1
		wait(t, s, s.Download(got, b))
		for i := range got {
			if got[i] != 0 || h.Bytes()[i] != 0 {
				t.Fatalf("byte %d of %d is not zeroed", i, size)
			}
			h.Bytes()[i] = byte(i * 7)
		}
		wait(t, s, s.Upload(b, h.Bytes()))
		wait(t, s, s.Download(got, b))
		for i := range got {
			if got[i] != byte(i*7) {
				t.Fatalf("byte %d of %d came back as %d, want %d", i, size, got[i], byte(i*7))
			}
		}
		if s.Upload(b, make([]byte, size+1)) == nil || s.Download(make([]byte, size+1), b) == nil {
			t.Errorf("a copy of %d bytes to or from %d is not refused", size+1, size)
		}
		if err := errors.Join(b.Free(), h.Free()); err != nil {
			t.Error(err)
		}
	}
	if _, err := dev.Alloc(-1); err == nil {
		t.Error("an allocation of -1 bytes is not refused")
	}
	if i := dev.Info(); dev.Name() == "" || i.Library == "" {
		t.Errorf("device %q describes itself as %+v", dev.Name(), i)
	}
}

// wait checks an enqueued copy and waits for it through an event.
func wait(t *testing.T, s gpu.Stream, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	e, err := s.Record()
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Synchronize(); err != nil {
		t.Fatal(err)
	}
}

// counting is a graph that adds x to the state "sum".
func counting(g *graph.Graph) {
	x := g.Input("x", gpu.Float32, 5)
	g.Add(graph.Accumulate{}, g.State("sum", 2, 5), x)
}

// testVars checks that programs share the variables they are compiled with.
func testVars(t *testing.T, dev gpu.Device) {
	vars := graph.Vars{}
	train := newMachine(t, dev, build(t, true, counting), graph.Options{Vars: vars})
	read := build(t, false, func(g *graph.Graph) {
		g.Output("y", g.Add(graph.Scale{By: 3}, g.State("sum", 2, 5))[0])
	})
	eval := newMachine(t, dev, read, graph.Options{Vars: vars})
	train.upload(&graph.Value{Name: "x", Shape: gpu.Shape{5}}, []float64{1, 2, 3, 4, 5})
	y := &graph.Value{Name: "y", Shape: gpu.Shape{5}}
	for run := range 3 {
		eval.run()
		for i, got := range eval.download(y) {
			if want := 3 * (2 + float64(run*(i+1))); got != want {
				t.Fatalf("after %d runs, y[%d] is %v, want %v", run, i, got, want)
			}
		}
		train.run()
	}
	train.close()
	eval.run() // the variables outlive the program that made them
	eval.close()
	if vars["sum"] == nil {
		t.Fatal("Compile did not add the state to Vars")
	}
	if err := vars.Free(); err != nil || len(vars) != 0 {
		t.Errorf("Vars.Free: %v, %d left", err, len(vars))
	}
}

// testFaults checks that mistakes are errors, and that the device survives them.
func testFaults(t *testing.T, dev gpu.Device) {
	wrong, err := dev.Alloc(4)
	if err != nil {
		t.Fatal(err)
	}
	vars := graph.Vars{"sum": wrong}
	if _, err := graph.Compile(dev, build(t, true, counting), graph.Options{Vars: vars}); err == nil {
		t.Error("a variable of the wrong size is not refused")
	}
	if err := vars.Free(); err != nil {
		t.Errorf("the refused variable is no longer its owner's: %v", err)
	}
	// Misfit shapes never reach the device.
	bad := map[string]func(g *graph.Graph){
		"conv2d.dx": func(g *graph.Graph) {
			g.Add(graph.Conv2DGradX{Conv: graph.Conv2D{Stride: 1, Groups: 1}, X: gpu.Shape{1, 4, 4, 2}},
				g.Input("dy", gpu.Float32, 1, 9, 9, 3), g.Param("w", graph.ConvWeight, 3, 1, 1, 2))
		},
		"conv2d.dw": func(g *graph.Graph) {
			g.Add(graph.Conv2DGradW{Conv: graph.Conv2D{Stride: 1, Groups: 1}, W: gpu.Shape{3, 1, 1, 2}},
				g.Input("x", gpu.Float32, 1, 4, 4, 2), g.Input("dy", gpu.Float32, 1, 9, 9, 3))
		},
		"maxpool.grad": func(g *graph.Graph) {
			g.Add(graph.MaxPoolGrad{Window: graph.Window{Kernel: 2, Stride: 2}, X: gpu.Shape{1, 2, 2, 1}},
				g.Input("dy", gpu.Float32, 1, 4, 4, 1), g.Input("p", gpu.Int32, 1, 4, 4, 1))
		},
	}
	for name, f := range bad {
		if _, err := graph.Build(true, f); err == nil {
			t.Errorf("%s with misfit shapes is not refused", name)
		}
	}
	m := newMachine(t, dev, build(t, true, counting), graph.Options{})
	if m.program.Buffer("no such value") != nil {
		t.Error("Buffer of an unknown name is not nil")
	}
	m.run()
	m.close()
	if m.program.Run() == nil {
		t.Error("a run after Close is not refused")
	}
}

// testProfile checks that Profile runs the program and accounts for its nodes.
func testProfile(t *testing.T, dev gpu.Device) {
	m := newMachine(t, dev, build(t, true, counting), graph.Options{})
	defer m.close()
	m.upload(&graph.Value{Name: "x", Shape: gpu.Shape{5}}, []float64{1, 1, 1, 1, 1})
	times, err := m.program.Profile()
	if err != nil || len(times) == 0 || times[0].Op != "accumulate" || times[0].Seconds < 0 {
		t.Errorf("profile: %v, %v", times, err)
	}
	if got := m.download(&graph.Value{Name: "sum", Shape: gpu.Shape{5}}); got[0] != 3 {
		t.Errorf("after a profiled run the sum is %v, want 3", got[0])
	}
}

// group opens n more devices of dev's kind and joins them.
func group(t *testing.T, dev gpu.Device, n int) ([]gpu.Device, []gpu.Comm) {
	t.Helper()
	for _, b := range gpu.Backends() {
		if len(dev.Name()) < len(b.Kind()) || dev.Name()[:len(b.Kind())] != b.Kind() {
			continue
		}
		ids := make([]int, n)
		for i := range ids {
			ids[i] = i
		}
		devs, err := b.Open(ids)
		if err != nil {
			t.Skipf("needs %d devices: %v", n, err)
		}
		t.Cleanup(func() {
			for _, d := range devs {
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			}
		})
		comms, err := b.Connect(devs)
		if err != nil {
			t.Fatal(err)
		}
		return devs, comms
	}
	t.Fatalf("no backend for %s", dev.Name())
	return nil, nil
}

// testAllReduce sums odd-sized operands over 1 to 4 replicas, several times.
func testAllReduce(t *testing.T, dev gpu.Device) {
	sizes := []int{1, 3, 64, 1001}
	for n := 1; n <= 4; n++ {
		devs, comms := group(t, dev, n)
		want := make([][]float32, len(sizes))
		var machines []*machine
		var leaves []*graph.Value
		for rank := range n {
			if comms[rank].Rank() != rank || comms[rank].Size() != n {
				t.Fatalf("member %d of %d says it is %d of %d", rank, n, comms[rank].Rank(), comms[rank].Size())
			}
			g := build(t, true, func(g *graph.Graph) {
				var in []*graph.Value
				for i, size := range sizes {
					in = append(in, g.Add(graph.Scale{By: 1}, g.Input(string(rune('a'+i)), gpu.Float32, size))[0])
				}
				for i, v := range g.Add(graph.AllReduce{Scale: 0.5}, in...) {
					g.Output(string(rune('A'+i)), v)
				}
			})
			leaves = g.Inputs()
			machines = append(machines, newMachine(t, devs[rank], g, graph.Options{Comm: comms[rank]}))
			for i, v := range leaves {
				r := rand.New(rand.NewPCG(uint64(rank), uint64(i)))
				xs := make([]float64, sizes[i])
				want[i] = append(want[i], make([]float32, sizes[i]-len(want[i]))...)
				for j := range xs {
					xs[j] = float64(float32(r.NormFloat64()))
					want[i][j] += float32(xs[j]) // in rank order
				}
				machines[rank].upload(v, xs)
			}
		}
		for range 3 {
			all(machines, func(m *machine) error { return m.program.Run() }, func(err error) { t.Fatal(err) })
		}
		for rank, m := range machines {
			for i := range sizes {
				got := m.download(&graph.Value{Name: string(rune('A' + i)), Shape: gpu.Shape{sizes[i]}})
				for j := range got {
					if w := float64(want[i][j] * 0.5); got[j] != w {
						t.Fatalf("%d replicas: rank %d: element %d of %d is %v, want %v", n, rank, j, sizes[i], got[j], w)
					}
				}
			}
			m.close()
		}
	}
}

// all runs f for all machines at the same time and reports the errors.
func all(ms []*machine, f func(*machine) error, report func(error)) {
	errs := make([]error, len(ms))
	var wg sync.WaitGroup
	for i, m := range ms {
		wg.Go(func() { errs[i] = f(m) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		report(err)
	}
}

// testAbort checks that a member waiting for one that never comes is let go.
func testAbort(t *testing.T, dev gpu.Device) {
	devs, comms := group(t, dev, 2)
	g := build(t, true, func(g *graph.Graph) {
		g.Output("y", g.Add(graph.AllReduce{Scale: 1}, g.Add(graph.Fill{Shape: gpu.Shape{100}, With: 1})[0])[0])
	})
	m := newMachine(t, devs[0], g, graph.Options{Comm: comms[0]})
	defer m.close()
	done := make(chan error, 1)
	go func() { done <- m.program.Run() }()
	stop := errors.New("stopped by the test")
	select {
	case err := <-done:
		t.Fatalf("the collective ended without its other member: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	comms[1].Abort(stop)
	select {
	case err := <-done:
		if !errors.Is(err, stop) {
			t.Errorf("aborted run returned %v, want %v", err, stop)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Abort did not end the collective")
	}
	if err := m.program.Run(); !errors.Is(err, stop) {
		t.Errorf("a run after Abort returned %v, want %v", err, stop)
	}
}

// testParallel runs different data through one graph on two devices at once.
func testParallel(t *testing.T, dev gpu.Device) {
	devs, _ := group(t, dev, 2)
	c := stepCases()[0]
	g := c.graph(t, gpu.Float32)
	var ms []*machine
	var wants []map[string][]float64
	for i, d := range devs {
		leaves := c.contents(g)
		for j := range leaves["x"] {
			leaves["x"][j] = round(gpu.Float32, leaves["x"][j]*math.Pow(-1.5, float64(i)))
		}
		m := newMachine(t, d, c.graph(t, gpu.Float32), graph.Options{})
		m.uploadAll(g, leaves)
		ms, wants = append(ms, m), append(wants, interpret(g, leaves))
		defer m.close()
	}
	all(ms, func(m *machine) error { return m.program.Run() }, func(err error) { t.Fatal(err) })
	for i, m := range ms {
		got := m.downloadAll(g)
		for name, want := range wants[i] {
			if err := compare(got[name], want, dtypes[0].tol*c.loose); err != "" {
				t.Errorf("device %d: %s: %s", i, name, err)
			}
		}
	}
}
