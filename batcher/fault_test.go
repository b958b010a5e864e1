package batcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"bagpipe/shards"
	"bagpipe/stages"
)

// disk is a Source whose reads go through a function first.
type disk struct {
	records
	before func(i int) error
}

func (d disk) Read(i int, buf *[]byte) ([]byte, error) {
	if err := d.before(i); err != nil {
		return nil, err
	}
	return d.records.Read(i, buf)
}

// drain takes batches until there is an error, and returns how many there were.
func drain(l *Loader) (n int, err error) {
	for ; ; n++ {
		b, err := l.Next(context.Background())
		if err != nil {
			return n, err
		}
		b.Release()
	}
}

// TestDiskErrorEndsTheLoader fails one read of the third epoch, with an error of the file system or of no known
// kind, in every way of running. The bubble fails when a goroutine is left or nothing moves any more.
func TestDiskErrorEndsTheLoader(t *testing.T) {
	for _, fault := range []error{&shards.IOError{Place: "train-00000.shard: record 9", Err: syscall.EIO, Remedy: "check the disk"},
		io.ErrUnexpectedEOF, errors.New("network down")} {
		for _, workers := range []int{1, 2, 7} {
			for _, train := range []bool{true, false} {
				synctest.Test(t, func(t *testing.T) {
					c, h, closed := watched(21)
					reads := atomic.Int32{}
					c.Workers, c.Ring, c.Train = workers, 2, train
					c.Source = disk{records{n: 21}, func(i int) error {
						if reads.Add(1) == 16 {
							return fault
						}
						return nil
					}}
					l, err := New(t.Context(), c, Position{})
					if err != nil {
						t.Fatal(err)
					}
					n, err := drain(l)
					// The 16th read may be of slot 16, before slot 15 is read: then four batches are whole.
					if !errors.Is(err, fault) || !strings.Contains(err.Error(), "stage read: ") || n > 3+min(workers-1, 1) {
						t.Errorf("%d batches, then %v; want %v", n, err, fault)
					}
					if _, again := l.Next(t.Context()); again != err {
						t.Errorf("then %v: the first error must stick", again)
					}
					if len(l.Bad()) != 0 {
						t.Errorf("a failing disk makes bad records: %v", l.Bad())
					}
					if err := l.Close(); err != nil || h.live.Load() != 0 || closed.Load() != int32(workers) {
						t.Errorf("close: %v, %d buffers live, %d processors closed", err, h.live.Load(), closed.Load())
					}
				})
			}
		}
	}
}

// TestLoaderGoesOnAfterADiskError starts another loader where the failed one stopped.
func TestLoaderGoesOnAfterADiskError(t *testing.T) {
	c := config(53)
	want := take(t, c, 0, 20)
	for at := range int32(40) {
		reads, good := atomic.Int32{}, c.Source.(records)
		c := c
		c.Source = disk{good, func(i int) error {
			if reads.Add(1) == at+1 {
				return &shards.IOError{Place: "x", Err: syscall.EIO}
			}
			return nil
		}}
		l, err := New(t.Context(), c, Position{})
		if err != nil {
			t.Fatal(err)
		}
		var got []kept
		for {
			b, err := l.Next(t.Context())
			if err != nil {
				break
			}
			got = append(got, keep(b))
			b.Release()
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		// Another worker may still read the slot before.
		if len(got) > (int(at)+c.Workers-1)/4 {
			t.Fatalf("%d batches of 4 before read %d failed", len(got), at)
		}
		if got = append(got, take(t, c, len(got), 20-len(got))...); !reflect.DeepEqual(got, want) {
			t.Fatalf("read %d failed: another stream", at)
		}
	}
}

// panicky panics at a record.
type panicky struct {
	noise
	at int
}

func (p panicky) Process(dst, src []byte, seed uint64, epoch, index int) error {
	if index == p.at {
		panic(fmt.Sprintf("index %d out of range", index))
	}
	return p.noise.Process(dst, src, seed, epoch, index)
}

// shrinking is a Source that panics when the feed asks for its length for the second epoch.
type shrinking struct {
	records
	asked atomic.Int32
}

func (s *shrinking) Len() int {
	if s.asked.Add(1) == 4 { // after Validate, StepsPerEpoch and the first epoch
		panic("boom")
	}
	return s.n
}

// TestPanicEndsTheLoader panics in the source, in the picture chain and in the feed.
func TestPanicEndsTheLoader(t *testing.T) {
	boom := errors.New("boom")
	for name, spoil := range map[string]func(c *Config){
		"stage read: record 13: panic: boom": func(c *Config) {
			c.Source = disk{records{n: 30}, func(i int) error {
				if i == 13 {
					panic(boom)
				}
				return nil
			}}
		},
		"stage vision: record 13: panic: index 13 out of range": func(c *Config) {
			c.newProcessor = func() (processor, error) { return panicky{at: 13}, nil }
		},
		"stage feed: panic: boom": func(c *Config) { c.Source = &shrinking{records: records{n: 30}} },
	} {
		for _, workers := range []int{1, 2, 7} {
			synctest.Test(t, func(t *testing.T) {
				c := config(30)
				c.Workers = workers
				spoil(&c)
				l, err := New(t.Context(), c, Position{})
				if err != nil {
					t.Fatal(err)
				}
				_, err = drain(l)
				var p *stages.PanicError
				if !errors.As(err, &p) || !strings.HasPrefix(err.Error(), name) || !strings.Contains(string(p.Stack), "batcher.") {
					t.Errorf("got %v, want %s", err, name)
				}
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestSlowDiskOnlyWaits has a disk that takes ten seconds a read: batches come late, in order, and none is lost.
func TestSlowDiskOnlyWaits(t *testing.T) {
	c := config(30)
	want := take(t, c, 0, 9)
	synctest.Test(t, func(t *testing.T) {
		c := c
		c.Source = disk{records{n: 30}, func(int) error { time.Sleep(10 * time.Second); return nil }}
		l, err := New(t.Context(), c, Position{})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		for s := range want {
			short, stop := context.WithTimeout(t.Context(), time.Second)
			if _, err := l.Next(short); err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			stop()
			b, err := l.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := keep(b); !slices.Equal(got.Images, want[s].Images) || got.Step != s {
				t.Errorf("step %d: another batch", s)
			}
			b.Release()
		}
	})
}
