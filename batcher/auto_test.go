package batcher

import (
	"reflect"
	"runtime/pprof"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestAutoFindsTheWorkers runs in a bubble: the clock counts waiting alone, so workers do
// not share cores.
func TestAutoFindsTheWorkers(t *testing.T) {
	for _, tt := range []struct {
		name          string
		process, step time.Duration
		most          int
		low, high     int // workers in the end
	}{
		// A batch is 4 pictures.
		{"a slow device needs one", 10 * time.Millisecond, time.Second, 8, 1, 1},
		{"a device that takes three pictures while one is made", 300 * time.Millisecond, 400 * time.Millisecond, 16, 3, 4},
		{"a device that takes ten", time.Second, 400 * time.Millisecond, 32, 10, 12},
		{"never enough", time.Second, 10 * time.Millisecond, 6, 4, 6}, // 4 at once are a batch of the ring
		{"one is all there is", time.Second, time.Millisecond, 1, 1, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := config(30)
				c.Auto, c.Workers, c.Ring = true, tt.most, 8
				c.newProcessor = func() (processor, error) { return slow{tt.process}, nil }
				l, err := New(t.Context(), c, Position{})
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				for range 60 * spanSteps {
					b, err := l.Next(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					time.Sleep(tt.step)
					b.Release()
				}
				n, settled := l.Workers()
				if n < tt.low || n > tt.high || !settled {
					t.Errorf("%d workers (settled: %t), want %d to %d", n, settled, tt.low, tt.high)
				}
				if r := l.Stats()[1]; r.Workers != n {
					t.Errorf("the report says %d workers, want %d", r.Workers, n)
				}
			})
		})
	}
}

// shared is a processor and a device on one core: who works makes the others wait.
type shared struct {
	core chan struct{} // of capacity 1: a bubble's clock stands still for a mutex
	d    time.Duration
}

func (s shared) Process(dst, src []byte, seed uint64, epoch, index int) error {
	s.core <- struct{}{}
	time.Sleep(s.d)
	<-s.core
	return nil
}
func (shared) Close() {}

// TestAutoEndsSmallWhereTheDeviceComputesOnTheWorkersCores: more workers gain nothing
// there, though the device waits.
func TestAutoEndsSmallWhereTheDeviceComputesOnTheWorkersCores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core := make(chan struct{}, 1)
		c := config(30)
		c.Auto, c.Workers = true, 4
		c.newProcessor = func() (processor, error) { return shared{core, 10 * time.Millisecond}, nil }
		l, err := New(t.Context(), c, Position{})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		for range 40 * spanSteps {
			b, err := l.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			core <- struct{}{}
			time.Sleep(40 * time.Millisecond)
			<-core
			b.Release()
		}
		if n, _ := l.Workers(); n > 2 {
			t.Errorf("%d workers on one core with the device", n)
		}
	})
}

// TestStreamDoesNotDependOnACrewThatChanges sends workers home and calls them back
// while the batches are made.
func TestStreamDoesNotDependOnACrewThatChanges(t *testing.T) {
	for name, c := range variants() {
		t.Run(name, func(t *testing.T) {
			c.Workers, c.Ring = 1, 1
			want := take(t, c, 0, 35)
			c.Workers, c.Ring, c.Auto = 7, 3, true
			if got := take(t, c, 0, 35); !reflect.DeepEqual(got, want) {
				t.Error("auto: another stream")
			}
			l, err := New(t.Context(), c, Position{})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			for i, w := range want {
				l.crew.set(1 + (i*5)%7)
				b, err := l.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if got := keep(b); !reflect.DeepEqual(got, w) {
					t.Fatalf("step %d: another batch", i)
				}
				b.Release()
			}
		})
	}
}

// TestDecide is the controller alone, step by step.
func TestDecide(t *testing.T) {
	w := newCrew(Config{Auto: true, Workers: 16}, nil)
	for i, s := range []struct {
		rate, starved, slack float64
		want                 int
	}{
		{10, 0.6, 0, 6},      // waits: half as many more
		{15, 0.4, 0, 9},      // they paid
		{15.1, 0.4, 0, 6},    // they did not: back
		{15, 0.4, 0, 8},      // what lies between
		{20, 0.03, 0, 8},     // enough
		{20, 0.001, 0.1, 8},  // hardly a worker idle: stay
		{20, 0.001, 0.9, 7},  // most are idle, but 6 were too few
		{20, 0.001, 0.9, 7},  //
		{20, 0.001, 0.95, 7}, //
		{20, 0.02, 0.95, 7},  // it waits a little: stay
	} {
		n, _ := w.size()
		w.decide(n, s.rate, s.starved, s.slack)
		if n, _ = w.size(); n != s.want {
			t.Fatalf("span %d: %d workers, want %d", i, n, s.want)
		}
	}
	if _, settled := w.size(); !settled {
		t.Error("not settled after three spans without a change")
	}
}

// TestLabels finds the stages among the labels of goroutines at work.
func TestLabels(t *testing.T) {
	c := config(300)
	hold := make(chan struct{})
	c.newProcessor = func() (processor, error) { return held{hold}, nil }
	l, err := New(t.Context(), c, Position{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	defer close(hold)
	deadline := time.Now().Add(10 * time.Second)
	for {
		var text strings.Builder
		if err := pprof.Lookup("goroutine").WriteTo(&text, 1); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text.String(), `"stage":"vision"`) && strings.Contains(text.String(), `"stage":"feed"`) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no such labels:\n%s", &text)
		}
		time.Sleep(time.Millisecond)
	}
}

// held is a processor that waits to be let go.
type held struct{ hold chan struct{} }

func (h held) Process(dst, src []byte, seed uint64, epoch, index int) error {
	<-h.hold
	return nil
}
func (held) Close() {}
