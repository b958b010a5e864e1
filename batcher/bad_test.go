package batcher

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"bagpipe/shards"
)

func TestBadPicturesAreReplacedInTraining(t *testing.T) {
	const n = 24
	good, c := config(n), config(n)
	good.Workers = 3
	order := shards.NewOrder(n, c.Seed, 0, true)
	// Bad: the first two of the order in a row, the fifth, and the last one, whose
	// replacement comes round to the start and passes over two bad ones.
	bad := map[int]int{0: 2, 1: 2, 4: 5, n - 1: 2}
	r := records{n: n, unreadable: map[int]bool{order.At(0): true, order.At(4): true}, broken: map[int]bool{order.At(1): true, order.At(n - 1): true}}
	c.Source, c.Workers = r, 3

	c1, g1 := take(t, c, 0, n/4), take(t, good, 0, n/4)
	size := c.sampleBytes()
	picture := map[int][]byte{}
	for _, k := range g1 {
		for i, rec := range k.Index {
			picture[rec] = k.Images[i*size : (i+1)*size]
		}
	}
	for s, k := range c1 {
		wantBad := 0
		for i, rec := range k.Index {
			pos := s*4 + i
			want := order.At(pos)
			if by, replaced := bad[pos]; replaced {
				want = order.At(by)
				wantBad++
			}
			if rec != want || k.Labels[i] != int32(want%10) || !slices.Equal(k.Images[i*size:(i+1)*size], picture[want]) {
				t.Errorf("position %d: record %d, label %d, want record %d and its picture", pos, rec, k.Labels[i], want)
			}
		}
		if k.Bad != wantBad || k.N != 4 {
			t.Errorf("step %d: %d bad of %d, want %d of 4", s, k.Bad, k.N, wantBad)
		}
	}
}

func TestBadPicturesAreLeftOutOfEvaluation(t *testing.T) {
	c := config(10)
	c.Train, c.Source = false, records{n: 10, unreadable: map[int]bool{2: true}, broken: map[int]bool{7: true}}
	size := c.sampleBytes()
	seen := []int{}
	for s, k := range take(t, c, 0, 9) {
		for i := range k.N {
			rec := s*4 + i
			seen = append(seen, k.Index[i])
			bad := rec == 2 || rec == 7
			if k.Index[i] != rec || (k.Labels[i] == -1) != bad || isZero(k.Images[i*size:(i+1)*size]) != bad {
				t.Errorf("record %d: index %d, label %d", rec, k.Index[i], k.Labels[i])
			}
		}
		if want := []int{1, 1, 0}[s]; k.Bad != want {
			t.Errorf("step %d: %d bad, want %d", s, k.Bad, want)
		}
	}
	if len(seen) != 10 {
		t.Errorf("visited %v", seen)
	}
}

func TestARunOnBadPicturesOnlyGoesOn(t *testing.T) {
	r := records{n: 300, broken: map[int]bool{}}
	for i := range r.n {
		r.broken[i] = true
	}
	c := config(r.n)
	c.Source, c.Mixup = r, 0.2
	l, err := New(t.Context(), c, Position{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 150 {
		b, err := l.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		k := keep(b)
		if b.Release(); k.Bad != 4 || k.N != 4 || !isZero(k.Images) || !slices.Equal(k.Labels, []int32{-1, -1, -1, -1}) {
			t.Fatalf("step %d: %v", k.Step, k)
		}
	}
	list := l.Bad()
	if len(list) != 100 {
		t.Errorf("%d records are listed, want 100", len(list))
	}
	for i, b := range list {
		if b.Reason != errBroken.Error() || i > 0 && b.Index <= list[i-1].Index {
			t.Errorf("entry %d: %v", i, b)
		}
	}
}

func TestBadRecordsAreListedOnce(t *testing.T) {
	c := config(20)
	c.Source = records{n: 20, unreadable: map[int]bool{4: true}, broken: map[int]bool{13: true}}
	l, err := New(t.Context(), c, Position{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 40 { // eight epochs
		b, err := l.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b.Release()
	}
	if want := []BadRecord{{4, "shards: record 4: crc"}, {13, "not a picture"}}; !reflect.DeepEqual(l.Bad(), want) {
		t.Errorf("got %v, want %v", l.Bad(), want)
	}
}

// TestZeroPictureIsNotMixedIn holds a good sample free of a zero picture's shadow.
func TestZeroPictureIsNotMixedIn(t *testing.T) {
	r := records{n: 64, broken: map[int]bool{}}
	order := shards.NewOrder(64, 11, 0, true)
	for pos := 3; pos <= 3+maxTries; pos++ {
		r.broken[order.At(pos)] = true // position 3 finds no replacement
	}
	c, plain := config(64), config(64)
	c.Source, c.Mixup = r, 0.2
	got, want := take(t, c, 0, 1)[0], take(t, plain, 0, 1)[0]
	size := c.sampleBytes()
	if got.Labels[3] != -1 || got.Labels[0] != want.Labels[0] || got.Partners[0] != got.Labels[0] || got.Lambda[0] != 1 || got.Lambda[3] != 1 {
		t.Errorf("labels %v, partners %v, lambda %v", got.Labels, got.Partners, got.Lambda)
	}
	if !slices.Equal(got.Images[:size], want.Images[:size]) || !isZero(got.Images[3*size:]) {
		t.Error("the picture of slot 0 or 3 was mixed")
	}
	if got.Lambda[1] == 1 || got.Lambda[1] != got.Lambda[2] || got.Partners[1] != got.Labels[2] {
		t.Errorf("slots 1 and 2 are not mixed: lambda %v, partners %v", got.Lambda, got.Partners)
	}
}

func TestValidateListsEveryFault(t *testing.T) {
	c := Config{DType: 3, Rank: 2, World: -1, Workers: -1, Ring: -2, ShuffleBlock: -3, Mixup: -0.5, MixupOffEpoch: -1}
	err := c.Validate()
	if err == nil {
		t.Fatal("no fault found")
	}
	for _, want := range []string{"source", "dtype", "batch of 0", "world of -1", "rank 2", "-1 workers", "ring of -2", "blocks of -3", "alpha -0.5", "epoch -1", "side 0"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not among the faults:\n%v", want, err)
		}
	}
	for _, tt := range []struct {
		n, batch, world int
		want            string
	}{
		{7, 4, 2, "lower the batch to at most 3 a rank"},
		{3, 4, 4, "use at most 3 ranks"},
		{0, 4, 1, "no records"},
		{1 << 40, 1 << 30, 1, "GiB"},
	} {
		c := config(tt.n)
		c.Batch, c.World = tt.batch, tt.world
		if _, err := New(t.Context(), c, Position{}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%d records, batch %d, world %d: %v, want one with %q", tt.n, tt.batch, tt.world, err, tt.want)
		}
	}
	if _, err := New(t.Context(), config(8), Position{Step: -1}); err == nil {
		t.Error("a negative position was accepted")
	}
	c = config(8)
	if c.newProcessor = func() (processor, error) { return nil, fmt.Errorf("vision: no such mode") }; true {
		if _, err := New(t.Context(), c, Position{}); err == nil || err.Error() != "vision: no such mode" {
			t.Errorf("got %v", err)
		}
	}
}
