package stages

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// count is a source of 0..n-1.
func count(p *Pipeline, n int) <-chan int {
	return From(p, "count", func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
	})
}

func same(_ context.Context, i int) (int, error) { return i, nil }

func TestOrderDoesNotDependOnWorkers(t *testing.T) {
	var want []int
	for i := range 200 {
		want = append(want, i*i+1)
	}
	slow := func(ctx context.Context, i int) (int, error) {
		time.Sleep(time.Duration(rand.IntN(50)) * time.Millisecond)
		return i * i, nil
	}
	inc := func(ctx context.Context, i int) (int, error) { return i + 1, nil }
	for _, workers := range []int{1, 2, 7, 32} {
		for _, ahead := range []int{0, 1, 9} {
			t.Run(fmt.Sprintf("workers=%d,ahead=%d", workers, ahead), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := New(t.Context())
					var got []int
					for v := range Map(p, "square+1", workers, ahead, count(p, 200), Then(slow, inc)) {
						got = append(got, v)
					}
					if err := p.Wait(); err != nil {
						t.Fatal(err)
					}
					if !slices.Equal(got, want) {
						t.Fatalf("got %v", got)
					}
					for _, r := range p.Reports() {
						if r.N != 200 {
							t.Errorf("%s counts %d elements, want 200", r.Name, r.N)
						}
					}
				})
			})
		}
	}
}

// TestFirstErrorStopsEveryGoroutine runs in a bubble, which fails when one is left.
func TestFirstErrorStopsEveryGoroutine(t *testing.T) {
	boom := errors.New("boom")
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			p := New(t.Context())
			mid := Map(p, "a", 4, 3, count(p, 1e6), func(ctx context.Context, i int) (int, error) {
				if i >= 37 {
					return 0, boom
				}
				return i, nil
			})
			n := 0
			for v := range Map(p, "b", 4, 0, mid, same) {
				if v != n {
					t.Fatalf("got %d, want %d", v, n)
				}
				n++
			}
			if err := p.Wait(); !errors.Is(err, boom) || err.Error() != "stage a: boom" {
				t.Fatalf("got %v after %d", err, n)
			}
			if n > 37 {
				t.Fatalf("%d elements passed the failed one", n)
			}
			if err := p.Stop(); !errors.Is(err, boom) {
				t.Errorf("the second look finds %v, want the first error again", err)
			}
		})
	}
}

func TestSourceErrorEndsThePipeline(t *testing.T) {
	gone := errors.New("disk gone")
	synctest.Test(t, func(t *testing.T) {
		p := New(t.Context())
		in := From(p, "read", func(yield func(int, error) bool) {
			if yield(0, nil) && yield(1, nil) {
				yield(0, gone)
			}
		})
		for range Map(p, "id", 2, 0, in, same) {
		}
		if err := p.Wait(); !errors.Is(err, gone) || err.Error() != "stage read: disk gone" {
			t.Fatal(err)
		}
	})
}

func TestFusedErrorSkipsTheSecondFunction(t *testing.T) {
	boom := errors.New("boom")
	f := Then(func(context.Context, int) (string, error) { return "", boom },
		func(context.Context, string) (int, error) { t.Error("called"); return 1, nil })
	if v, err := f(t.Context(), 3); v != 0 || err != boom {
		t.Errorf("got %d, %v", v, err)
	}
}

func TestReaderMayLeaveEarly(t *testing.T) {
	for name, leave := range map[string]func(*Pipeline, context.CancelFunc) error{
		"cancel": func(p *Pipeline, cancel context.CancelFunc) error {
			if cancel(); !errors.Is(p.Wait(), context.Canceled) {
				return errors.New("Wait does not return the context's error")
			}
			return nil
		},
		"stop": func(p *Pipeline, _ context.CancelFunc) error { return p.Stop() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				p := New(ctx)
				var got []int
				for v := range Map(p, "a", 3, 1, count(p, 1e6), same) {
					if got = append(got, v); len(got) == 3 {
						break
					}
				}
				if err := leave(p, cancel); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(got, []int{0, 1, 2}) {
					t.Fatal(got)
				}
			})
		})
	}
}

func TestUnreadOutputHoldsBackInput(t *testing.T) {
	for _, tt := range []struct{ workers, ahead int }{{1, 0}, {3, 2}, {2, 10}} {
		synctest.Test(t, func(t *testing.T) {
			p := New(t.Context())
			in, pulled := make(chan int), 0
			p.Go("push", func(ctx context.Context) error {
				for Send(ctx, in, pulled) {
					pulled++
				}
				return nil
			})
			out := Map(p, "a", tt.workers, tt.ahead, in, same)
			synctest.Wait()
			if pulled != tt.workers+tt.ahead {
				t.Errorf("%v: pulled %d elements", tt, pulled)
			}
			for range 5 {
				<-out
			}
			synctest.Wait()
			if pulled != tt.workers+tt.ahead+5 {
				t.Errorf("%v: pulled %d elements after 5 were read", tt, pulled)
			}
			if err := p.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestElementAllocatesNothing runs a warm pipeline.
func TestElementAllocatesNothing(t *testing.T) {
	p := New(t.Context())
	in := make(chan int)
	out := Map(p, "id", 2, 2, in, same)
	if n := testing.AllocsPerRun(2000, func() { in <- 1; <-out }); n >= 0.01 {
		t.Errorf("%.3f allocations an element", n)
	}
	close(in)
	if err := p.Wait(); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkHop is the cost of a stage: a fused function costs a call instead.
func BenchmarkHop(b *testing.B) {
	for _, hops := range []int{1, 2, 4} {
		b.Run(fmt.Sprint(hops), func(b *testing.B) {
			p := New(b.Context())
			in := make(chan int)
			var out <-chan int = in
			for range hops {
				out = Map(p, "id", 2, 8, out, same)
			}
			p.Go("push", func(context.Context) error {
				defer close(in)
				for b.Loop() {
					in <- 1
				}
				return nil
			})
			for range out {
			}
			if err := p.Wait(); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(hops), "ns/hop")
		})
	}
	b.Run("fused", func(b *testing.B) {
		f := Then(Then(same, same), Then(same, same))
		for b.Loop() {
			if _, err := f(b.Context(), 1); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestPanicEndsThePipeline panics in a worker of a stage in the middle, and in a source.
func TestPanicEndsThePipeline(t *testing.T) {
	boom := errors.New("boom")
	for _, where := range []string{"a", "count"} {
		for _, workers := range []int{1, 4} {
			synctest.Test(t, func(t *testing.T) {
				p := New(t.Context())
				in := count(p, 1e6)
				if where == "count" {
					in = From(p, "count", func(yield func(int, error) bool) { yield(0, nil); panic(boom) })
				}
				mid := Map(p, "a", workers, 3, in, func(_ context.Context, i int) (int, error) {
					if i == 37 {
						panic(boom)
					}
					return i, nil
				})
				n := 0
				for range Map(p, "b", workers, 0, mid, same) {
					n++
				}
				err := p.Wait()
				var e *PanicError
				if !errors.As(err, &e) || e.Stage != where || !errors.Is(err, boom) || !strings.Contains(err.Error(), "map_test.go") || n > 37 {
					t.Errorf("%s, %d workers: %v after %d", where, workers, err, n)
				}
			})
		}
	}
}
