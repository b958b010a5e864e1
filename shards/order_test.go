package shards

import (
	"fmt"
	"math"
	"testing"
)

func TestOrderIsAPermutation(t *testing.T) {
	sizes := []int{1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 63, 64, 65, 100, 255, 256, 257, 999, 1000, 1023, 1025, 4097, 50_000, 65_537}
	for _, n := range sizes {
		for _, shuffle := range []bool{false, true} {
			for epoch := range 3 {
				o := NewOrder(n, 42, epoch, shuffle)
				seen := make([]bool, n)
				for i := range n {
					r := o.At(i)
					if r < 0 || r >= n || seen[r] {
						t.Fatalf("n=%d epoch=%d shuffle=%t: position %d gives %d, outside or for the second time", n, epoch, shuffle, i, r)
					}
					if seen[r] = true; !shuffle && r != i {
						t.Fatalf("n=%d unshuffled: position %d gives %d", n, i, r)
					}
				}
			}
		}
	}
}

func FuzzOrderIsAPermutation(f *testing.F) {
	f.Add(1, uint64(0), 0)
	f.Add(3, uint64(1), -1)
	f.Add(1281, uint64(math.MaxUint64), math.MaxInt)
	f.Fuzz(func(t *testing.T, n int, seed uint64, epoch int) {
		n = int(uint(n) % 3000)
		o := NewOrder(n, seed, epoch, true)
		seen := make([]bool, n)
		for i := range n {
			if r := o.At(i); seen[r] {
				t.Fatalf("n=%d: record %d comes twice", n, r)
			} else {
				seen[r] = true
			}
		}
	})
}

func TestOrderDiffersByEpochAndSeed(t *testing.T) {
	const n = 1000
	orders := []Order{}
	for seed := range uint64(4) {
		for epoch := range 8 {
			orders = append(orders, NewOrder(n, seed, epoch, true))
		}
	}
	orders = append(orders, NewOrder(n, 0, 0, false))
	for a := range orders {
		for b := range a {
			same := 0
			for i := range n {
				if orders[a].At(i) == orders[b].At(i) {
					same++
				}
			}
			// Two independent permutations agree in Poisson(1) places.
			if same > 12 {
				t.Errorf("orders %d and %d agree in %d of %d places, want about 1", a, b, same, n)
			}
		}
	}
	if first, again := NewOrder(n, 7, 3, true), NewOrder(n, 7, 3, true); first != again {
		t.Error("the same arguments gave two orders")
	}
}

// TestOrderIsUniform counts how often each record lands in each position, over
// many epochs, and compares with a uniform choice by chi-square.
func TestOrderIsUniform(t *testing.T) {
	for _, n := range []int{2, 3, 5, 10, 33, 64} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			epochs := 400 * n
			count := make([]int, n*n)
			for e := range epochs {
				o := NewOrder(n, 9, e, true)
				for i := range n {
					count[i*n+o.At(i)]++
				}
			}
			want, chi := float64(epochs)/float64(n), 0.0
			for _, c := range count {
				chi += (float64(c) - want) * (float64(c) - want) / want
			}
			// (n-1)^2 degrees of freedom; the seed is fixed, so six deviations never flake.
			dof := float64((n - 1) * (n - 1))
			if dev := (chi - dof) / math.Sqrt(2*dof); math.Abs(dev) > 6 {
				t.Errorf("n=%d: chi-square %.0f for %.0f degrees of freedom (%.1f deviations)", n, chi, dof, dev)
			}
		})
	}
}

// TestOrderReachesAllPermutations holds the smallest sets to every permutation,
// equally often.
func TestOrderReachesAllPermutations(t *testing.T) {
	factorial := 1
	for n := 1; n <= 6; n++ {
		factorial *= n
		count, epochs := map[[6]int]int{}, 100*factorial
		for e := range epochs {
			o, p := NewOrder(n, 5, e, true), [6]int{}
			for i := range n {
				p[i] = o.At(i)
			}
			count[p]++
		}
		if len(count) != factorial {
			t.Errorf("n=%d: %d of %d permutations appear", n, len(count), factorial)
		}
		chi := 0.0
		for _, c := range count {
			chi += float64(c-100) * float64(c-100) / 100
		}
		dof := float64(factorial - 1)
		if dev := (chi - dof) / math.Sqrt(2*max(dof, 1)); dev > 6 {
			t.Errorf("n=%d: permutations are not equally frequent: chi-square %.0f for %.0f degrees of freedom", n, chi, dof)
		}
	}
}

// TestOrderScattersNeighbours looks at what a weak shuffle gets wrong: records that
// lay together (one class, in a folder) staying together, and a trend from
// position to record number.
func TestOrderScattersNeighbours(t *testing.T) {
	for _, n := range []int{1000, 4096, 50_000, 1_281_167} {
		o := NewOrder(n, 1, 0, true)
		m := min(n, 50_000)
		near, fixed, cov := 0, 0, 0.0
		prev := -1 << 40
		for i := range m {
			r := o.At(i)
			if d := r - prev; d >= -5 && d <= 5 {
				near++
			}
			if prev = r; r == i {
				fixed++
			}
			cov += (float64(i)/float64(m) - .5) * (float64(r)/float64(n) - .5)
		}
		if want := 10 * float64(m) / float64(n); math.Abs(float64(near)-want) > 6*math.Sqrt(want)+1 {
			t.Errorf("n=%d: %d neighbours stay within 5 of each other, want about %.1f", n, near, want)
		}
		if fixed > 12 {
			t.Errorf("n=%d: %d records keep their place, want about 1", n, fixed)
		}
		if corr := cov / float64(m) * 12; math.Abs(corr) > 6/math.Sqrt(float64(m)) {
			t.Errorf("n=%d: position and record number correlate by %.4f", n, corr)
		}
	}
}

func TestPartsOfRanksMakeTheGlobalBatch(t *testing.T) {
	for _, n := range []int{1, 7, 64, 100} {
		for _, world := range []int{1, 2, 3, 4} {
			o, next := NewOrder(n, 0, 0, true), 0
			for step := range n + 1 {
				for rank := range world {
					lo, hi := o.Part(step, 5, rank, world)
					if lo != next || hi-lo > 5 || hi > n {
						t.Fatalf("n=%d step=%d rank=%d/%d: [%d,%d), want to go on at %d", n, step, rank, world, lo, hi, next)
					}
					next = hi
				}
			}
			if next != n {
				t.Fatalf("n=%d world=%d: %d positions visited", n, world, next)
			}
		}
	}
}

func BenchmarkOrder(b *testing.B) {
	o := NewOrder(1_281_167, 1, 0, true)
	i := 0
	for b.Loop() {
		o.At(i)
		if i++; i == o.Len() {
			i = 0
		}
	}
}
