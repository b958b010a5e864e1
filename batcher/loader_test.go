package batcher

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"bagpipe/gpu"
	"bagpipe/stages"
)

// heap counts the buffers that are not freed.
type heap struct {
	live  atomic.Int32
	limit int32 // buffers to give; 0 is no limit
	short int   // bytes held back from each buffer
}

type heapBuffer struct {
	plain
	of *heap
}

func (b heapBuffer) Free() error { b.of.live.Add(-1); return nil }

func (h *heap) alloc(size int) (gpu.HostBuffer, error) {
	p, err := allocPlain(size)
	if h.live.Add(1) > h.limit && h.limit > 0 {
		h.live.Add(-1)
		return nil, errors.New("out of pinned memory")
	}
	return heapBuffer{p.(plain)[h.short:], h}, err
}

// watched is a configuration whose buffers and processors are counted.
func watched(n int) (Config, *heap, *atomic.Int32) {
	c, h, closed := config(n), &heap{}, &atomic.Int32{}
	c.AllocHost = h.alloc
	c.newProcessor = func() (processor, error) { return noise{closed: closed}, nil }
	return c, h, closed
}

// TestCloseLeavesNothing runs in a bubble, which fails when a goroutine is left.
func TestCloseLeavesNothing(t *testing.T) {
	for _, batches := range []int{0, 1, 7} {
		for _, hold := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				c, h, closed := watched(30)
				l, err := New(t.Context(), c, Position{})
				if err != nil {
					t.Fatal(err)
				}
				var held *Batch
				for range batches {
					if held, err = l.Next(t.Context()); err != nil {
						t.Fatal(err)
					}
					if !hold {
						held.Release()
					}
					if hold {
						break
					}
				}
				for range 2 {
					if err := l.Close(); err != nil {
						t.Error(err)
					}
				}
				if h.live.Load() != 0 || closed.Load() != 2 {
					t.Errorf("%d buffers live, %d of 2 processors closed", h.live.Load(), closed.Load())
				}
				if _, err := l.Next(t.Context()); !errors.Is(err, ErrClosed) {
					t.Errorf("Next after Close: %v", err)
				}
			})
		}
	}
}

func TestFailedNewLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, h, closed := watched(30)
		h.limit = 6
		if _, err := New(t.Context(), c, Position{}); err == nil {
			t.Fatal("no error")
		}
		if h.live.Load() != 0 {
			t.Errorf("%d buffers live after a failed allocation", h.live.Load())
		}
		h.limit, h.short = 0, 1
		if _, err := New(t.Context(), c, Position{}); err == nil || h.live.Load() != 0 {
			t.Errorf("%v: %d buffers live after a short allocation", err, h.live.Load())
		}
		h.short = 0
		made := 0
		c.newProcessor = func() (processor, error) {
			if made++; made == 2 {
				return nil, errors.New("no decoder")
			}
			return noise{closed: closed}, nil
		}
		if _, err := New(t.Context(), c, Position{}); err == nil || h.live.Load() != 0 || closed.Load() != 1 {
			t.Errorf("%v: %d buffers live, %d of 1 processors closed", err, h.live.Load(), closed.Load())
		}
	})
}

func TestCancelEndsNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := config(30)
		c.Ring = 1
		l, err := New(ctx, c, Position{})
		if err != nil {
			t.Fatal(err)
		}
		b, err := l.Next(t.Context()) // never released: the next one cannot come
		if err != nil {
			t.Fatal(err)
		}
		short, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if _, err := l.Next(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Next with a timeout: %v", err)
		}
		go func() { time.Sleep(time.Second); cancel() }()
		if _, err := l.Next(t.Context()); !errors.Is(err, context.Canceled) {
			t.Errorf("Next when the loader is cancelled: %v", err)
		}
		if _, err := l.Next(t.Context()); !errors.Is(err, context.Canceled) {
			t.Errorf("Next after cancellation: %v", err)
		}
		b.Release()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

// slow is a processor that takes a while.
type slow struct{ d time.Duration }

func (s slow) Process(dst, src []byte, seed uint64, epoch, index int) error {
	time.Sleep(s.d)
	return nil
}
func (slow) Close() {}

// TestInterruptedNextLosesNoBatch gives up on a batch in the making and asks again.
func TestInterruptedNextLosesNoBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config(30)
		c.newProcessor = func() (processor, error) { return slow{time.Second}, nil }
		l, err := New(t.Context(), c, Position{})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		for step := range 5 {
			short, stop := context.WithTimeout(t.Context(), time.Millisecond)
			if _, err := l.Next(short); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("step %d: %v", step, err)
			}
			stop()
			b, err := l.Next(t.Context())
			if err != nil || b.Step != step {
				t.Fatalf("step %d: %v, %v", step, b, err)
			}
			b.Release()
		}
	})
}

// TestCancelEndsNextOfAnUnfinishedBatch cancels while the workers still decode.
func TestCancelEndsNextOfAnUnfinishedBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c := config(30)
		c.newProcessor = func() (processor, error) { return slow{time.Hour}, nil }
		l, err := New(ctx, c, Position{})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := l.Next(t.Context()); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestRingHoldsBackTheWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var made atomic.Int32
		c := config(300)
		c.Ring, c.Workers = 3, 5
		c.newProcessor = func() (processor, error) { return counting{&made}, nil }
		l, err := New(t.Context(), c, Position{})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		synctest.Wait()
		if n := made.Load(); n != 3*4 {
			t.Errorf("%d samples made ahead, want a ring of 12", n)
		}
		b, _ := l.Next(t.Context())
		synctest.Wait()
		if n := made.Load(); n != 3*4 {
			t.Errorf("%d samples made while a batch is held, want 12", n)
		}
		b.Release()
		b.Release() // the second does nothing
		synctest.Wait()
		if n := made.Load(); n != 4*4 {
			t.Errorf("%d samples made after a release, want 16", n)
		}
	})
}

type counting struct{ n *atomic.Int32 }

func (c counting) Process(dst, src []byte, seed uint64, epoch, index int) error {
	c.n.Add(1)
	return nil
}
func (counting) Close() {}

// TestStatsTellInputBoundFromDeviceBound uses the bubble's clock, so the times are
// exact.
func TestStatsTellInputBoundFromDeviceBound(t *testing.T) {
	for _, tt := range []struct {
		process, step time.Duration
		want          string
	}{
		{time.Second, time.Second, "vision-bound: 100 % of CPU; +2 workers would give about 2.0x (4.0 img/s)"},
		{time.Millisecond, time.Second, "device-bound: input waits 100 % of the time; nothing to gain from more workers"},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := config(30)
			c.Consumer = "device"
			c.newProcessor = func() (processor, error) { return slow{tt.process}, nil }
			l, err := New(t.Context(), c, Position{})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			for range 500 {
				b, err := l.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(tt.step)
				b.Release()
			}
			reports := l.Stats()
			for i := range reports {
				reports[i].CPU = 0 // of a real clock, which knows no bubble
			}
			if got := stages.Judge(reports, stages.Setting{Cores: 8, Unit: "img"}).Text; got != tt.want {
				t.Errorf("got %v, want %v\n%+v", got, tt.want, reports)
			}
			end := reports[len(reports)-1]
			if end.Name != "device" || end.N != 499*4 || end.Busy != 499*tt.step {
				t.Errorf("consumer %+v", end)
			}
		})
	}
}

func TestNextAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config(6)
		c.Train = false
		l, err := New(t.Context(), c, Position{Step: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if b, err := l.Next(t.Context()); err != nil || b.Step != 1 || b.N != 2 {
			t.Fatal(b, err)
		}
		for range 3 {
			if _, err := l.Next(t.Context()); err != io.EOF {
				t.Errorf("got %v, want io.EOF", err)
			}
		}
	})
}

// idle is a processor that costs nothing, so that the loader's own cost shows.
type idle struct{}

func (idle) Process(dst, src []byte, seed uint64, epoch, index int) error { return nil }
func (idle) Close()                                                       {}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	c := config(1 << 20)
	c.Batch, c.Mixup = 100, 0.2
	c.newProcessor = func() (processor, error) { return idle{}, nil }
	l, err := New(t.Context(), c, Position{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	perBatch := testing.AllocsPerRun(100, func() {
		b, err := l.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b.Release()
	})
	// What remains is mixup's one draw of lambda a batch.
	if perBatch > 8 {
		t.Errorf("%.0f allocations for 100 pictures", perBatch)
	}
}

// BenchmarkLoader measures the loader without pictures: what a sample costs to pass.
func BenchmarkLoader(b *testing.B) {
	c := config(1 << 20)
	c.Batch = 128
	c.newProcessor = func() (processor, error) { return idle{}, nil }
	l, err := New(b.Context(), c, Position{})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	b.ReportAllocs()
	for b.Loop() {
		batch, err := l.Next(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		batch.Release()
	}
	b.ReportMetric(float64(b.N)*128/b.Elapsed().Seconds(), "samples/s")
}
