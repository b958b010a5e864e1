package batcher

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"bagpipe/gpu"
)

func isEnd(err error) bool { return errors.Is(err, io.EOF) }

// variants are the configurations whose streams must not depend on how they are
// made: with mixup, bad records and every element type.
func variants() map[string]Config {
	bad := records{n: 53, unreadable: map[int]bool{3: true, 17: true}, broken: map[int]bool{18: true, 40: true}}
	vs := map[string]Config{}
	for _, train := range []bool{true, false} {
		for _, t := range []gpu.DType{gpu.Float32, gpu.Float16, gpu.BFloat16} {
			c := config(53)
			c.Source, c.Train, c.DType, c.Mixup, c.MixupOffEpoch, c.Batch = bad, train, t, 0.2, 2, 5
			vs[fmt.Sprintf("train=%t,%v", train, t)] = fake(c)
		}
	}
	return vs
}

func TestStreamDoesNotDependOnWorkersOrRing(t *testing.T) {
	for name, c := range variants() {
		t.Run(name, func(t *testing.T) {
			c.Workers, c.Ring = 1, 1
			want := take(t, c, 0, 35)
			if c.Train && len(want) != 35 || !c.Train && len(want) != 11 {
				t.Fatalf("%d batches", len(want))
			}
			for _, workers := range []int{1, 2, 7} {
				for _, ring := range []int{2, 3, 5} {
					c.Workers, c.Ring = workers, ring
					if got := take(t, c, 0, 35); !reflect.DeepEqual(got, want) {
						t.Errorf("workers=%d ring=%d: another stream", workers, ring)
					}
				}
			}
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
			if got := take(t, c, 0, 35); !reflect.DeepEqual(got, want) {
				t.Error("GOMAXPROCS=1: another stream")
			}
		})
	}
}

func TestStreamResumesAtAnyStep(t *testing.T) {
	for name, c := range variants() {
		t.Run(name, func(t *testing.T) {
			want := take(t, c, 0, 35)
			for range 6 {
				step := rand.IntN(len(want) + 1)
				got := take(t, c, step, len(want)-step)
				if len(got) != len(want)-step || len(got) > 0 && !reflect.DeepEqual(got, want[step:]) {
					t.Errorf("from step %d: another stream", step)
				}
			}
		})
	}
}

func TestRanksMakeTheGlobalBatch(t *testing.T) {
	for name, c := range variants() {
		t.Run(name, func(t *testing.T) {
			c.Mixup, c.Batch = 0, 8 // partners are picked within a rank
			want := take(t, c, 0, 15)
			for _, world := range []int{1, 2, 4} {
				var ranks [][]kept
				for rank := range world {
					c := c
					c.Batch, c.Rank, c.World = 8/world, rank, world
					if steps := map[bool]int{true: 6, false: 7}[c.Train]; c.StepsPerEpoch() != steps {
						t.Fatalf("world=%d: %d steps, want %d", world, c.StepsPerEpoch(), steps)
					}
					ranks = append(ranks, take(t, c, 0, 15))
				}
				for s, w := range want {
					var got kept
					for _, r := range ranks {
						k := r[s]
						got.Epoch, got.Step = k.Epoch, k.Step
						got.N += k.N
						got.Bad += k.Bad
						got.Images = append(got.Images, k.Images...)
						got.Labels = append(got.Labels, k.Labels...)
						got.Partners = append(got.Partners, k.Partners...)
						got.Lambda = append(got.Lambda, k.Lambda...)
						got.Index = append(got.Index, k.Index...)
					}
					if !reflect.DeepEqual(got, w) {
						t.Fatalf("world=%d step %d:\ngot  %v\nwant %v", world, s, got, w)
					}
				}
			}
		})
	}
}

func TestRanksShareLambda(t *testing.T) {
	c := config(64)
	c.Mixup, c.World = 0.2, 2
	a := take(t, c, 0, 12)
	c.Rank = 1
	b := take(t, c, 0, 12)
	for s := range a {
		if !slices.Equal(a[s].Lambda, b[s].Lambda) {
			t.Errorf("step %d: lambda %v on rank 0, %v on rank 1", s, a[s].Lambda, b[s].Lambda)
		}
		if s > 0 && a[s].Lambda[0] == a[s-1].Lambda[0] {
			t.Errorf("steps %d and %d share lambda %g", s-1, s, a[s].Lambda[0])
		}
	}
}

func TestTrainingVisitsEachRecordOnceAnEpoch(t *testing.T) {
	c := config(21) // five batches of four, one record left over
	all := take(t, c, 0, 15)
	var last []int
	for e := range 3 {
		var visit []int
		for _, k := range all[e*5 : e*5+5] {
			if k.Epoch != e || k.N != 4 {
				t.Fatalf("step %d: epoch %d, %d samples", k.Step, k.Epoch, k.N)
			}
			visit = append(visit, k.Index...)
			for i, r := range k.Index {
				if k.Labels[i] != int32(r%10) || k.Partners[i] != k.Labels[i] || k.Lambda[i] != 1 {
					t.Errorf("record %d: label %d, partner %d, lambda %g", r, k.Labels[i], k.Partners[i], k.Lambda[i])
				}
			}
		}
		if slices.Equal(visit, last) {
			t.Error("two epochs in one order")
		}
		last = slices.Clone(visit)
		if slices.Sort(visit); len(slices.Compact(visit)) != 20 {
			t.Errorf("epoch %d visits %v", e, visit)
		}
	}
}

// TestRandomnessBelongsToTheSample compares each picture with the processor's own
// for the seed, the epoch and the record.
func TestRandomnessBelongsToTheSample(t *testing.T) {
	for _, train := range []bool{true, false} {
		c := config(12)
		c.Train = train
		size := c.sampleBytes()
		want, buf := make([]byte, size), []byte(nil)
		for _, k := range take(t, c, 0, 9) {
			for i, r := range k.Index {
				src, _ := c.Source.Read(r, &buf)
				if err := (noise{}).Process(want, src, c.Seed, k.Step/3, r); err != nil {
					t.Fatal(err)
				}
				if got := k.Images[i*size : (i+1)*size]; !slices.Equal(got, want) {
					t.Errorf("train=%t step %d: record %d is not that of epoch %d", train, k.Step, r, k.Step/3)
				}
			}
		}
	}
}

func TestEvaluationCountsEachPictureOnce(t *testing.T) {
	for _, n := range []int{1, 3, 4, 8, 9, 21, 50} {
		for _, world := range []int{1, 2, 3} {
			seen, steps := make([]int, n), -1
			for rank := range world {
				c := config(n)
				c.Train, c.Rank, c.World, c.Mixup = false, rank, world, 0.2
				all := take(t, c, 0, 1000)
				if steps < 0 {
					steps = len(all)
				}
				if len(all) != steps || steps != c.StepsPerEpoch() {
					t.Fatalf("n=%d world=%d rank=%d: %d steps, rank 0 has %d", n, world, rank, len(all), steps)
				}
				size := c.sampleBytes()
				for _, k := range all {
					for i, r := range k.Index {
						pad := i >= k.N
						if pad != (k.Labels[i] == -1) || pad != (r == -1) || pad != isZero(k.Images[i*size:(i+1)*size]) || k.Lambda[i] != 1 {
							t.Fatalf("n=%d world=%d: slot %d of %d records is %v", n, world, i, k.N, k)
						}
						if !pad {
							seen[r]++
						}
					}
				}
			}
			for r, times := range seen {
				if times != 1 {
					t.Errorf("n=%d world=%d: record %d counted %d times", n, world, r, times)
				}
			}
		}
	}
}

func isZero(b []byte) bool { return !slices.ContainsFunc(b, func(x byte) bool { return x != 0 }) }
