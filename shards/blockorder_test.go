package shards

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
)

func TestBlockOrderIsAPermutation(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 7, 64, 255, 256, 257, 1000, 4097, 70_001} {
		for _, size := range []int{-1, 0, 1, 2, 3, 16, 100, 1000, 1 << 40} {
			if n > 5000 && size < 2 {
				continue
			}
			for epoch := range 3 {
				o := NewBlockOrder(n, 42, epoch, size)
				if o.Len() != n {
					t.Fatalf("n=%d: length %d", n, o.Len())
				}
				seen := make([]bool, n)
				for i := range n {
					r := o.At(i)
					if r < 0 || r >= n || seen[r] {
						t.Fatalf("n=%d size=%d epoch=%d: position %d gives %d, outside or for the second time", n, size, epoch, i, r)
					}
					seen[r] = true
				}
			}
		}
	}
}

func FuzzBlockOrderIsAPermutation(f *testing.F) {
	f.Add(1, 1, uint64(0), 0)
	f.Add(1281, 4, uint64(math.MaxUint64), math.MaxInt)
	f.Fuzz(func(t *testing.T, n, size int, seed uint64, epoch int) {
		n = int(uint(n) % 3000)
		o := NewBlockOrder(n, seed, epoch, size)
		seen := make([]bool, n)
		for i := range n {
			if r := o.At(i); seen[r] {
				t.Fatalf("n=%d size=%d: record %d comes twice", n, size, r)
			} else {
				seen[r] = true
			}
		}
	})
}

// TestBlockOrderReadsBlocks holds each window to few runs of consecutive records: that is what the storage sees.
func TestBlockOrderReadsBlocks(t *testing.T) {
	for _, size := range []int{2, 16, 33} {
		const n = 50_000
		o := NewBlockOrder(n, 3, 1, size)
		at, windows := 0, 0
		for at < n {
			lo, hi := o.window(o.windowOf(at))
			if lo != at || hi <= lo || hi-lo > WindowBlocks*size || hi < n && hi-lo < WindowBlocks*size/2 {
				t.Fatalf("size %d: window %d..%d at %d", size, lo, hi, at)
			}
			var records []int
			for i := lo; i < hi; i++ {
				records = append(records, o.At(i))
			}
			slices.Sort(records)
			runs := 1
			for i := 1; i < len(records); i++ {
				if records[i] != records[i-1]+1 {
					runs++
				}
			}
			// A block may lie across the end of the ring.
			if most := (hi-lo+size-1)/size + 1; runs > most {
				t.Errorf("size %d: window at %d is read in %d pieces, want at most %d", size, lo, runs, most)
			}
			at = hi
			windows++
		}
		if windows != o.blocks.windows {
			t.Errorf("size %d: %d windows, want %d", size, windows, o.blocks.windows)
		}
	}
}

func TestBlockOrderDiffersByEpochAndSeed(t *testing.T) {
	const n = 20_000
	var orders []Order
	for seed := range uint64(3) {
		for epoch := range 4 {
			orders = append(orders, NewBlockOrder(n, seed, epoch, 8))
		}
	}
	orders = append(orders, NewOrder(n, 0, 0, false), NewOrder(n, 0, 0, true), NewBlockOrder(n, 0, 0, 16))
	for a := range orders {
		for b := range a {
			same := 0
			for i := range n {
				if orders[a].At(i) == orders[b].At(i) {
					same++
				}
			}
			if same > 12 { // Poisson(1), if independent
				t.Errorf("orders %d and %d agree in %d of %d places, want about 1", a, b, same, n)
			}
		}
	}
	if first, again := NewBlockOrder(n, 7, 3, 8), NewBlockOrder(n, 7, 3, 8); first != again {
		t.Error("the same arguments gave two orders")
	}
}

// TestBlockOrderIsUniform counts how often each record lands in each position of a set of several windows, over
// many epochs: the same for all, which cutting the ring anew in each epoch sees to.
func TestBlockOrderIsUniform(t *testing.T) {
	const n, bins, epochs = 1200, 24, 3000 // blocks of 2: 600, in three windows
	count := make([]float64, bins*bins)
	for e := range epochs {
		o := NewBlockOrder(n, 9, e, 2)
		for i := 0; i < n; i += 7 {
			count[i*bins/n*bins+o.At(i)*bins/n]++
		}
	}
	chi, dof := 0.0, float64((bins-1)*bins)
	for row := range bins {
		sum := 0.0
		for _, c := range count[row*bins : (row+1)*bins] {
			sum += c
		}
		for _, c := range count[row*bins : (row+1)*bins] {
			chi += (c - sum/bins) * (c - sum/bins) / (sum / bins)
		}
	}
	if dev := (chi - dof) / math.Sqrt(2*dof); math.Abs(dev) > 8 {
		t.Errorf("chi-square %.0f for %.0f degrees of freedom (%.1f deviations)", chi, dof, dev)
	}
}

// quality is how well an order mixes a data set that is sorted by class, the worst case and the usual one: a
// folder of class folders.
type quality struct {
	neighbours float64 // share of consecutive positions whose records lie within 5 of each other
	chi        float64 // chi-square of a batch's classes for each degree of freedom, mean: 1 is a random draw
	classes    float64 // different ones in a batch, mean
}

// ImageNet's numbers.
const (
	qualityN       = 1_281_167
	qualityClasses = 1000
	qualityBatch   = 256
)

func measure(next func(i int) int) (q quality) {
	const batches = qualityN / qualityBatch
	count, prev, want := make([]int, qualityClasses), -1<<40, float64(qualityBatch)/qualityClasses
	for b := range batches {
		clear(count)
		for i := range qualityBatch {
			r := next(b*qualityBatch + i)
			if d := r - prev; d >= -5 && d <= 5 {
				q.neighbours++
			}
			prev = r
			count[r*qualityClasses/qualityN]++
		}
		for _, c := range count {
			q.chi += (float64(c) - want) * (float64(c) - want) / want
			if c > 0 {
				q.classes++
			}
		}
	}
	q.neighbours /= batches * qualityBatch
	q.chi /= batches * (qualityClasses - 1)
	q.classes /= batches
	return q
}

// buffered is the shuffle of a stream through a buffer: a random element of it is given out, the next of the
// stream takes its place.
func buffered(size int) func(int) int {
	rnd, buf := rand.New(rand.NewPCG(1, 1)), make([]int, size)
	for i := range buf {
		buf[i] = i
	}
	next := size
	return func(int) int {
		k := rnd.IntN(len(buf))
		r := buf[k]
		if next < qualityN {
			buf[k] = next
			next++
		} else {
			buf[k] = buf[len(buf)-1]
			buf = buf[:len(buf)-1]
		}
		return r
	}
}

// TestBlockOrderQuality measures what block shuffling costs in randomness, beside a full shuffle and a buffer of
// the same memory, and holds it to what theory says. docs/shuffle.md has the table.
func TestBlockOrderQuality(t *testing.T) {
	if testing.Short() {
		t.Skip("orders of 1.28 million records")
	}
	show := func(name string, q quality) quality {
		t.Logf("%-32s neighbours %.6f %%  chi-square/dof %7.3f  classes a batch %6.1f", name, 100*q.neighbours, q.chi, q.classes)
		return q
	}
	full := NewOrder(qualityN, 1, 0, true)
	f := show("full shuffle", measure(full.At))
	if math.Abs(f.chi-1) > 0.01 || math.Abs(f.classes-226) > 1 {
		t.Errorf("full shuffle: %+v, want a random draw's chi-square 1 and 226 classes", f)
	}
	for _, size := range []int{8, 32, 128} {
		o := NewBlockOrder(qualityN, 1, 0, size)
		mem := float64(WindowBlocks * size)
		q := show("blocks of "+strconv.Itoa(size)+", window "+strconv.Itoa(WindowBlocks*size), measure(o.At))
		b := show("buffer of "+strconv.Itoa(WindowBlocks*size), measure(buffered(WindowBlocks*size)))
		// Two samples of a batch come from one block, and so of one class, with probability 1/WindowBlocks.
		// A batch is drawn from the window without putting back, which evens it out.
		want := (1 + float64(qualityBatch-1)/WindowBlocks) * (1 - qualityBatch/mem)
		if math.Abs(q.chi-want) > 0.1 {
			t.Errorf("blocks of %d: chi-square/dof %.3f, want about %.3f", size, q.chi, want)
		}
		// Ten neighbours, fewer at a block's ends, among the records of a window.
		if most := 10 / mem * 1.25; q.neighbours > most {
			t.Errorf("blocks of %d: %.6f neighbours, want at most %.6f", size, q.neighbours, most)
		}
		if q.classes < 145 {
			t.Errorf("blocks of %d: %.1f classes a batch, want at least 145", size, q.classes)
		}
		if b.chi < 2.5*q.chi {
			t.Errorf("a buffer of %.0f mixes to %.3f, blocks of %d to %.3f: the gain is gone", mem, b.chi, size, q.chi)
		}
	}
}

func BenchmarkBlockOrder(b *testing.B) {
	o, i := NewBlockOrder(1_281_167, 1, 0, 32), 0
	for b.Loop() {
		o.At(i)
		if i++; i == o.Len() {
			i = 0
		}
	}
}
