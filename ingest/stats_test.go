package ingest

import (
	"math"
	"math/rand/v2"
	"testing"

	"bagpipe/shards"
)

// Against two passes in floating point and the definition of an eigenvector.
func TestStats(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	var pix []byte
	var m moments
	for range 7 {
		one := make([]byte, 3*(1+rnd.IntN(500)))
		for i := range one {
			one[i] = byte(min(255, rnd.IntN(180)+i%3*30+int(one[max(0, i-i%3)])/4))
		}
		pix = append(pix, one...)
		var single moments
		single.measure(one)
		m.add(single)
	}
	n := float64(len(pix) / 3)
	var mean [3]float64
	for i, v := range pix {
		mean[i%3] += float64(v) / n
	}
	var cov [3][3]float64
	for p := 0; p < len(pix); p += 3 {
		for i := range 3 {
			for j := range 3 {
				cov[i][j] += (float64(pix[p+i]) - mean[i]) * (float64(pix[p+j]) - mean[j]) / n
			}
		}
	}
	s := m.stats()
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-8*(1+math.Abs(want)) {
			t.Errorf("%s %v, want %v", what, got, want)
		}
	}
	if s.Pictures != 7 {
		t.Errorf("%d pictures", s.Pictures)
	}
	for i := range 3 {
		near("mean", s.Mean[i], mean[i])
		near("std", s.Std[i], math.Sqrt(cov[i][i]))
		if i > 0 && s.EigenValues[i] > s.EigenValues[i-1] {
			t.Errorf("eigenvalues %v do not descend", s.EigenValues)
		}
		for r := range 3 { // cov v = lambda v, with v in column i
			var got float64
			for k := range 3 {
				got += cov[r][k] * s.EigenVectors[k][i]
			}
			near("cov v", got, s.EigenValues[i]*s.EigenVectors[r][i])
		}
		for j := range 3 { // orthonormal columns
			var dot float64
			for k := range 3 {
				dot += s.EigenVectors[k][i] * s.EigenVectors[k][j]
			}
			want := 0.0
			if i == j {
				want = 1
			}
			near("v.v", dot, want)
		}
		if s.EigenVectors[0][i] < 0 {
			t.Errorf("column %d of %v begins below 0", i, s.EigenVectors)
		}
	}
}

func TestStatsOfOneColour(t *testing.T) {
	var m moments
	if m.stats() != nil {
		t.Error("statistics of nothing")
	}
	m.measure([]byte{10, 20, 30, 10, 20, 30})
	s := m.stats()
	if s.Mean != [3]float64{10, 20, 30} || s.Std != [3]float64{} || s.EigenValues != [3]float64{} {
		t.Errorf("%+v", s)
	}
}

// The sample is of the size asked for, about, and the same in every run.
func TestStatsSample(t *testing.T) {
	src := pictures([]string{"train", "val"}, []string{"a", "b"}, 150).folder(t)
	var first *shards.Stats
	for _, c := range []struct{ sample, least, most int }{{0, 0, 0}, {60, 40, 80}, {60, 40, 80}, {100000, 300, 300}} {
		o := options()
		o.StatsSample = c.sample
		_, r, err := shardify(t, src, o)
		if err != nil {
			t.Fatal(err)
		}
		s := r.Manifest.Stats
		if c.sample == 0 {
			if s != nil {
				t.Errorf("unasked: %+v", s)
			}
			continue
		}
		if s.Pictures < c.least || s.Pictures > c.most {
			t.Errorf("asked for %d pictures, got %d", c.sample, s.Pictures)
		}
		if c.sample == 60 && first == nil {
			first = s
		} else if c.sample == 60 && *s != *first {
			t.Errorf("%+v, then %+v", first, s)
		}
	}
}
