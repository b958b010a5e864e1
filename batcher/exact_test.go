package batcher

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"

	"bagpipe/gpu"
	"bagpipe/shards"
	"bagpipe/stages/vision"
)

// photos writes a data set of n JPEGs of many sizes, some gray, and opens it. Record 7 is no picture.
func photos(t testing.TB, n int) *shards.Split {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "set")
	w, err := shards.NewWriter(dir, shards.WriterOptions{ShardBytes: 20_000})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Split("train"); err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(5, 5))
	for i := range n {
		r := image.Rect(0, 0, 20+rnd.IntN(40), 20+rnd.IntN(40))
		var img image.Image
		if i%5 == 0 {
			g := image.NewGray(r)
			for k := range g.Pix {
				g.Pix[k] = uint8(k*i/3) ^ uint8(rnd.IntN(32))
			}
			img = g
		} else {
			c := image.NewRGBA(r)
			for k := range r.Dx() * r.Dy() {
				c.SetRGBA(k%r.Dx(), k/r.Dx(), color.RGBA{uint8(k * i / 5), uint8(k / 3), uint8(rnd.IntN(64) + 4*i), 255})
			}
			img = c
		}
		var b bytes.Buffer
		if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 80}); err != nil {
			t.Fatal(err)
		}
		data := b.Bytes()
		if i == 7 {
			data = []byte{0xff, 0xd8, 0xff, 0xd9, 1, 2, 3}
		}
		rec := shards.Record{Meta: shards.Meta{Label: int32(i % 3), Width: r.Dx(), Height: r.Dy(), Components: 3}, Data: data, Raw: len(data)}
		if err := w.Add(rec); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Finish(shards.Summary{Classes: []string{"a", "b", "c"}}); err != nil {
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

// laid lays the ranks' batches of a step end to end.
func laid(ranks []kept) kept {
	g := kept{Epoch: ranks[0].Epoch, Step: ranks[0].Step}
	for _, k := range ranks {
		g.N, g.Bad = g.N+k.N, g.Bad+k.Bad
		g.Images, g.Index = append(g.Images, k.Images...), append(g.Index, k.Index...)
		g.Labels, g.Partners = append(g.Labels, k.Labels...), append(g.Partners, k.Partners...)
		g.Lambda = append(g.Lambda, k.Lambda...)
	}
	return g
}

// TestStreamIsAFunctionOfSeedAndStep draws ways of running at random: workers, ring, GOMAXPROCS, ranks and the step to
// start at. All must give, byte for byte, the global batches that one worker makes for one rank. Mixup picks a
// sample's partner within its rank, so with it only ways of one number of ranks agree.
func TestStreamIsAFunctionOfSeedAndStep(t *testing.T) {
	split := photos(t, 45)
	real := func(mode string, size int) Config {
		return Config{Source: split, Vision: vision.Default(mode, size), Seed: 11}
	}
	made := config(61)
	made.Source = records{n: 61, unreadable: map[int]bool{3: true}, broken: map[int]bool{40: true}}
	exact := real(vision.MXNet2018, 20)
	exact.Vision.Exact = true
	for name, c := range map[string]Config{"paper": real(vision.Paper, 24), "mxnet-2018, exact": exact, "torchvision": real(vision.Torchvision, 17), "made up": made} {
		for _, train := range []bool{true, false} {
			for _, block := range []int{0, 2} {
				if !train && block > 0 {
					continue
				}
				t.Run(fmt.Sprintf("%s,train=%t,block=%d", name, train, block), func(t *testing.T) {
					c, rnd := c, rand.New(rand.NewPCG(1, 7))
					c.Train, c.ShuffleBlock = train, block
					if c.DType = []gpu.DType{gpu.Float32, gpu.Float16, gpu.BFloat16}[rnd.IntN(3)]; name == "made up" {
						c = fake(c)
					}
					one := c
					one.Batch, one.Workers, one.Ring = 8, 1, 1
					const steps = 13 // two epochs and a half of five steps, or one of seven
					want := take(t, one, 0, steps)
					defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
					for i := range 14 {
						procs, world := []int{1, 2, 4}[rnd.IntN(3)], []int{1, 2, 4, 8}[i%4]
						from := rnd.IntN(len(want))
						n := min(4, len(want)-from)
						runtime.GOMAXPROCS(procs)
						var ranks [][]kept
						how := ""
						for rank := range world {
							c := c
							c.Batch, c.Rank, c.World = 8/world, rank, world
							c.Workers, c.Ring = []int{1, 2, 7}[rnd.IntN(3)], 1+rnd.IntN(5)
							how += fmt.Sprintf(" %d/%d", c.Workers, c.Ring)
							ranks = append(ranks, take(t, c, from, n))
						}
						for s := range n {
							var parts []kept
							for _, r := range ranks {
								parts = append(parts, r[s])
							}
							if got := laid(parts); !reflect.DeepEqual(got, want[from+s]) {
								t.Fatalf("GOMAXPROCS %d, %d ranks of workers/ring%s, from step %d: step %d differs", procs, world, how, from, from+s)
							}
						}
					}
					// With mixup: every way of running one rank.
					c.Mixup, c.Batch = 0.2, 8
					c.Workers, c.Ring = 1, 1
					mixed := take(t, c, 0, steps)
					for _, workers := range []int{2, 7} {
						c.Workers, c.Ring = workers, 1+rnd.IntN(5)
						from := rnd.IntN(len(mixed))
						if got := take(t, c, from, len(mixed)-from); !reflect.DeepEqual(got, mixed[from:]) {
							t.Fatalf("mixup: %d workers, ring of %d, from step %d: another stream", workers, c.Ring, from)
						}
					}
				})
			}
		}
	}
}

// TestStreamDependsOnWhatItShould changes the seed, the order and the data set.
func TestStreamDependsOnWhatItShould(t *testing.T) {
	c := Config{Source: photos(t, 30), Vision: vision.Default(vision.Paper, 16), Train: true, Batch: 5, Seed: 1}
	want := take(t, c, 0, 1)
	for name, change := range map[string]func(*Config){
		"seed":     func(c *Config) { c.Seed++ },
		"block":    func(c *Config) { c.ShuffleBlock = 2 },
		"mode":     func(c *Config) { c.Vision = vision.Default(vision.Torchvision, 16) },
		"data set": func(c *Config) { c.Source = photos(t, 90) },
	} {
		other := c
		change(&other)
		if got := take(t, other, 0, 1); bytes.Equal(got[0].Images, want[0].Images) {
			t.Errorf("another %s gives the same batch", name)
		}
	}
}

// TestHeapStaysFlat reads many epochs of real pictures, and a set four times as large: neither leaves more on the heap
// but the index of the records.
func TestHeapStaysFlat(t *testing.T) {
	live := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	var sizes []int64
	for _, n := range []int{60, 240} {
		before := live()
		c := Config{Source: photos(t, n), Vision: vision.Default(vision.Paper, 24), Train: true, Batch: 20, Workers: 2, Seed: 1, Mixup: 0.2}
		l, err := New(t.Context(), c, Position{})
		if err != nil {
			t.Fatal(err)
		}
		run := func(epochs int) int64 {
			for range epochs * n / 20 {
				b, err := l.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				b.Release()
			}
			return live()
		}
		warm := run(40) // scratch and filter tables have met every size by then
		late := run(60)
		if grown := late - warm; grown > 32<<10 {
			t.Errorf("%d pictures: %d bytes more after 60 epochs", n, grown)
		}
		sizes = append(sizes, late-before)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("heap of 60 pictures: %d bytes, of 240: %d", sizes[0], sizes[1])
	if more := sizes[1] - sizes[0]; more > 180*32+64<<10 {
		t.Errorf("180 pictures more take %d bytes", more)
	}
}
