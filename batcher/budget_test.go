package batcher

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"math"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"bagpipe/gpu"
	"bagpipe/shards"
	"bagpipe/stages"
	"bagpipe/stages/vision"
)

// sized are records of which some are said to be large.
type sized struct {
	records
	side  int         // of the others
	large map[int]int // side, by record
}

func (s sized) Meta(i int) shards.Meta {
	side := s.side
	if n := s.large[i]; n > 0 {
		side = n
	}
	return shards.Meta{Width: side, Height: side, Components: 3}
}

func (s sized) Room(int) int { return 5 }

// fixedBudget is a Budget of a process that held nothing.
func fixedBudget(ceiling int64) *Budget { return &Budget{ceiling: ceiling} }

// mixed writes a data set of n pictures, one of every so many huge: JPEG and PNG.
func mixed(t testing.TB, n, huge, every int) *shards.Split {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "set")
	w, err := shards.NewWriter(dir, shards.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Split("train"); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		r := image.Rect(0, 0, 60+i%9, 50+i%7)
		if i%every == 3 {
			r = image.Rect(0, 0, huge+i, huge)
		}
		if err := w.Add(picture(t, r, i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Finish(shards.Summary{Classes: []string{"a", "b"}}); err != nil {
		t.Fatal(err)
	}
	d, err := shards.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	s, err := d.Split("train")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// picture is a record of the given extent, some of them PNG.
func picture(t testing.TB, r image.Rectangle, i int) shards.Record {
	img := image.NewRGBA(r)
	rnd := rand.New(rand.NewPCG(1, uint64(i)))
	for y := range r.Dy() {
		level := uint8(rnd.IntN(256))
		for x := range 4 * r.Dx() {
			img.Pix[y*img.Stride+x] = level ^ uint8(x/7)
		}
	}
	var b bytes.Buffer
	format, err := shards.JPEG, error(nil)
	if i%(7*10) == 3 {
		format, err = shards.PNG, (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, img)
	} else {
		err = jpeg.Encode(&b, img, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	meta := shards.Meta{Label: int32(i % 2), Width: r.Dx(), Height: r.Dy(), Components: 3, Format: format}
	return shards.Record{Meta: meta, Data: b.Bytes(), Raw: b.Len()}
}

// TestCeilingIsKept reads pictures some of which are huge, and looks at what lies in memory
// all the while: many huge ones, for which workers have room, and few, which take turns.
func TestCeilingIsKept(t *testing.T) {
	if now, _ := stages.Resident(); now == 0 {
		t.Skip("the system does not tell")
	}
	if testing.Short() || raceEnabled {
		t.Skip("the detector's own memory is not the loader's")
	}
	for _, of := range []struct {
		n, huge, every int
		large          bool
	}{{60, 1500, 10, false}, {200, 2200, 100, true}} {
		split := mixed(t, of.n, of.huge, of.every)
		for _, workers := range []int{1, 4} {
			c := Config{Source: split, Vision: vision.Default(vision.Paper, 224), Train: true, Batch: 20, Workers: workers, Seed: 3}
			c.Budget = NewBudget(0)
			c.Budget.ceiling = c.Budget.held + 320<<20
			plan, peak := watchPeak(t, c, 4*c.StepsPerEpoch())
			t.Logf("%d workers asked for: %v; the peak was %s", workers, plan, sizeText(peak))
			if peak > c.Budget.ceiling {
				t.Errorf("%d workers: %s resident, the ceiling is %s: %v", workers, sizeText(peak), sizeText(c.Budget.ceiling), plan)
			}
			if got := plan.Large > 0; got != (of.large && workers > 1) {
				t.Errorf("%d workers: %v", workers, plan)
			}
		}
	}
}

// watchPeak takes batches and returns the most that was resident meanwhile.
func watchPeak(t *testing.T, c Config, steps int) (Plan, int64) {
	t.Helper()
	l, err := New(t.Context(), c, Position{})
	if err != nil {
		t.Fatal(err)
	}
	stages.ForgetPeak()
	for range steps {
		b, err := l.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b.Release()
	}
	_, peak := stages.Resident()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Memory(), peak
}

// TestStreamDoesNotDependOnTheCeiling compares real batches: every division, from the
// least that works to more than enough.
func TestStreamDoesNotDependOnTheCeiling(t *testing.T) {
	split := mixed(t, 40, 400, 40)
	for _, train := range []bool{true, false} {
		c := Config{Source: split, Vision: vision.Default(vision.Paper, 32), DType: gpu.BFloat16, Train: train, Batch: 8, Workers: 3, Seed: 3, Mixup: 0.2}
		want := take(t, c, 0, 5)
		plans := map[string]bool{}
		for mib := int64(40); mib < 180; mib += 6 {
			c.Budget = fixedBudget(mib << 20)
			plan, err := c.Plan()
			if err != nil {
				continue
			}
			plans[fmt.Sprint(plan.Ring, plan.Workers, plan.Large > 0, plan.Exceeded)] = true
			if got := take(t, c, 0, 5); !reflect.DeepEqual(got, want) {
				t.Errorf("train=%t, %v: another stream", train, plan)
			}
		}
		if len(plans) < 3 {
			t.Errorf("only the divisions %v were tried", plans)
		}
	}
}

// TestPlanFitsItsCeiling walks through ceilings: none is exceeded, what works with
// less works with more, and of plenty comes all that was asked for.
func TestPlanFitsItsCeiling(t *testing.T) {
	for name, large := range map[string]map[int]int{"all alike": nil, "one huge": {5: 3000}, "two large": {5: 900, 6: 901}} {
		for _, parts := range []int{1, 2} {
			c := config(1000)
			c.Source, c.Batch, c.Workers, c.Parts = sized{records{n: 1000}, 300, large}, 500, 8, parts
			c.Vision = vision.Default(vision.Paper, 64)
			works := int64(0)
			for ceiling := int64(10 << 20); ceiling < 6<<30; ceiling += ceiling / 40 {
				c.Budget = fixedBudget(ceiling)
				p, err := c.Plan()
				if err != nil {
					if works > 0 {
						t.Fatalf("%s: %d works, %d does not: %v", name, works, ceiling, err)
					}
					continue
				}
				if works == 0 {
					works = ceiling
				}
				if p.Total() > ceiling/int64(parts) {
					t.Errorf("%s: %d of %d: %+v", name, p.Total(), ceiling, p)
				}
				if ceiling > int64(parts)<<31 && (p.Ring != 3 || p.Workers != 8 || p.Large > 0 || p.Exceeded) {
					t.Errorf("%s: of plenty comes %+v", name, p)
				}
			}
		}
	}
}

func TestTooSmallACeilingIsRefused(t *testing.T) {
	c := config(100)
	c.Source, c.Vision = sized{records{n: 100}, 300, map[int]int{7: 4000}}, vision.Default(vision.Paper, 64)
	c.Budget = fixedBudget(20 << 20)
	_, err := New(t.Context(), c, Position{})
	if err == nil {
		t.Fatal("no error")
	}
	var least int64
	if _, after, ok := strings.Cut(err.Error(), "want at least "); !ok {
		t.Fatal(err)
	} else if _, e := fmt.Sscanf(after, "%d MiB", &least); e != nil {
		t.Fatalf("%v in %v", e, err)
	}
	c.Budget = fixedBudget(least << 20)
	if p, err := c.Plan(); err != nil || p.Workers != 1 || !p.Exceeded {
		t.Errorf("with the %d MiB of %v: %+v, %v", least, err, p, err)
	}
	c.Budget = fixedBudget((least - 2) << 20)
	if _, err := c.Plan(); err == nil {
		t.Errorf("%d MiB do, too", least-2)
	}
	c.Source = records{n: 100}
	if _, err := c.Plan(); err == nil || !strings.Contains(err.Error(), "sizes") {
		t.Errorf("a source without sizes: %v", err)
	}
}

// weighed is a processor that takes a while of the bubble's clock and counts how many of the
// large records are in work at once.
type weighed struct {
	noise
	source     sized
	now, worst *atomic.Int64
}

func (p weighed) Process(dst, src []byte, seed uint64, epoch, index int) error {
	side := int64(p.source.Meta(index).Width)
	if p.source.large[index] > 0 {
		sum := p.now.Add(side * side)
		for old := p.worst.Load(); sum > old && !p.worst.CompareAndSwap(old, sum); old = p.worst.Load() {
		}
		defer p.now.Add(-side * side)
	}
	time.Sleep(time.Duration(side) * time.Millisecond)
	return p.noise.Process(dst, src, seed, epoch, index)
}

// TestLargePicturesTakeTurns has pictures larger than all that is left, and ones of which some
// fit at once. In a bubble a hang, or a goroutine left, fails at once.
func TestLargePicturesTakeTurns(t *testing.T) {
	source := sized{records{n: 400}, 100, map[int]int{}}
	source.large[0], source.large[1], source.large[200] = 2500, 2500, 1500
	for _, mib := range []int64{12, 40, 120, 240} {
		synctest.Test(t, func(t *testing.T) {
			var now, worst atomic.Int64
			c := config(400)
			c.Source, c.Batch, c.Workers, c.Budget = source, 100, 8, fixedBudget(mib<<20)
			c.Vision.Mode = vision.MXNet2018 // no tables
			c.newProcessor = func() (processor, error) { return weighed{source: source, now: &now, worst: &worst}, nil }
			plan, err := c.Plan()
			if err != nil {
				t.Fatal(err)
			}
			got := take(t, c, 0, 8)
			c.Budget = nil
			if want := take(t, c, 0, 8); !reflect.DeepEqual(got, want) {
				t.Errorf("%v: another stream", plan)
			}
			c.Budget = fixedBudget(mib << 20)
			worst.Store(0)
			take(t, c, 0, 8)
			t.Logf("%v: at most %d Mpx at once", plan, worst.Load()>>20)
			if alone := int64(2500 * 2500); plan.Exceeded && worst.Load() > alone {
				t.Errorf("%v: %d pixels at once, the largest picture has %d", plan, worst.Load(), alone)
			}
		})
	}
}

// TestCloseWhileLargePicturesWait ends a loader whose workers wait for each other.
func TestCloseWhileLargePicturesWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := sized{records{n: 400}, 100, map[int]int{}}
		for i := range 4 {
			source.large[i] = 2500
		}
		var now, worst atomic.Int64
		c := config(400)
		c.Source, c.Train, c.Workers, c.Budget = source, false, 4, fixedBudget(50<<20)
		c.Vision.Mode = vision.MXNet2018
		c.newProcessor = func() (processor, error) { return weighed{source: source, now: &now, worst: &worst}, nil }
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		l, err := New(t.Context(), c, Position{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Next(ctx); err != context.DeadlineExceeded {
			t.Errorf("a batch of large pictures after a second: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestPoolGivesItsRoomBack(t *testing.T) {
	p := newPool(100)
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			give, err := p.take(t.Context(), int64(1+i*7%130))
			if err != nil {
				t.Error(err)
				return
			}
			give()
		})
	}
	all.Wait()
	if p.used != 0 || !p.room.TryAcquire(100) {
		t.Errorf("%d of 100 still used", p.used)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.take(ctx, 1); err != context.Canceled {
		t.Errorf("a full pool, a cancelled context: %v", err)
	}
}

// TestLimitOfTheRuntime holds the runtime to the budget while a loader is open, and no longer.
func TestLimitOfTheRuntime(t *testing.T) {
	c := config(100)
	c.Source, c.Budget = sized{records{n: 100}, 100, nil}, NewBudget(1<<40)
	for range 2 {
		l, err := New(t.Context(), c, Position{})
		if err != nil {
			t.Fatal(err)
		}
		if limit := debug.SetMemoryLimit(-1); limit > 1<<40 {
			t.Errorf("limit %d", limit)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
			t.Errorf("limit %d after the end", limit)
		}
	}
}
