package trainer

import (
	"math"
	"testing"
)

// TestRates checks the rates that the authors' logs and the paper's rules fix.
func TestRates(t *testing.T) {
	const epoch = 1251 // of ImageNet at batch 1024
	c := defaults()
	c.Epochs, c.Batch, c.LR, c.LRBatch, c.WarmupEpochs, c.Schedule = 120, 1024, 0.1, 256, 5, Cosine
	s := newSchedule(c, epoch)
	for _, w := range []struct {
		step int
		want float64
	}{
		{0, 0}, {49, 0.4 * 49 / 6255}, // the authors' first logged rate, .003133
		{6255, 0.4}, {6255 + (120*epoch-6255)/2, 0.2}, {120 * epoch, 0},
	} {
		if got := s.rate(w.step); math.Abs(got-w.want) > 1e-5 {
			t.Errorf("cosine: rate of step %d is %v, want %v", w.step, got, w.want)
		}
	}
	c.Schedule, c.DecayEpochs = Steps, []float64{30, 60, 90}
	s = newSchedule(c, epoch)
	for e, want := range map[int]float64{29: 0.4, 30: 0.04, 59: 0.04, 60: 0.004, 89: 0.004, 90: 0.0004, 119: 0.0004} {
		for _, step := range []int{e * epoch, (e+1)*epoch - 1} {
			if got := s.rate(step); math.Abs(got-want) > 1e-12 {
				t.Errorf("step: rate of step %d in epoch %d is %v, want %v", step, e, got, want)
			}
		}
	}
	c.Schedule, c.LRBatch, c.WarmupEpochs = Constant, 0, 0
	if got := newSchedule(c, epoch).rate(0); got != 0.1 {
		t.Errorf("constant, unscaled: %v, want 0.1", got)
	}
}

// TestRatesNeverRiseAfterWarmup and never leave [0, peak].
func TestRatesNeverRiseAfterWarmup(t *testing.T) {
	for _, kind := range []string{Cosine, Steps, Constant} {
		for _, warmup := range []float64{0, 0.5, 3} {
			c := defaults()
			c.Epochs, c.Schedule, c.WarmupEpochs, c.DecayEpochs = 7, kind, warmup, []float64{2, 5}
			s := newSchedule(c, 13)
			last := 0.0
			for i := range 7 * 13 {
				r := s.rate(i)
				if r < 0 || r > s.peak {
					t.Fatalf("%s, warm-up %v: rate of step %d is %v outside [0, %v]", kind, warmup, i, r, s.peak)
				}
				if float64(i) < s.warmup != (r > last) && i > 0 && float64(i) != s.warmup && r > last {
					t.Fatalf("%s, warm-up %v: rate rises from %v to %v at step %d", kind, warmup, last, r, i)
				}
				last = r
			}
		}
	}
}

func TestAverageForgetsTheStart(t *testing.T) {
	c := Config{EMA: 0.999}
	if got := c.average(0); got != 0.1 {
		t.Errorf("decay of step 0 is %v, want 0.1", got)
	}
	if got := c.average(1e6); got != 0.999 {
		t.Errorf("late decay is %v, want 0.999", got)
	}
}

// TestSmoothingGaps checks the optimal distance of the true class's logit from the
// others for both forms: PAPER 1.9, T3 and T4.
func TestSmoothingGaps(t *testing.T) {
	for form, want := range map[string]float64{SmoothPaper: math.Log(999 * 0.9 / 0.1), SmoothCommon: math.Log(1 + 1000*0.9/0.1)} {
		c := Config{LabelSmoothing: 0.1, SmoothingForm: form}
		target := c.target(1000)
		if sum := float64(target.On) + 999*float64(target.Off); form == SmoothPaper && math.Abs(sum-1) > 1e-6 {
			t.Errorf("%s: the target sums to %v", form, sum)
		}
		if got := math.Log(float64(target.On) / float64(target.Off)); math.Abs(got-want) > 1e-5 {
			t.Errorf("%s: gap %v, want %v", form, got, want)
		}
	}
	if math.Abs(math.Log(999*0.9/0.1)-9.104) > 5e-4 || math.Abs(math.Log(1+1000*0.9/0.1)-9.105) > 5e-4 {
		t.Error("the gaps are not the paper's 9.104 and 9.105")
	}
	plain := Config{SmoothingForm: SmoothPaper}.target(10)
	if plain.On != 1 || plain.Off != 0 {
		t.Errorf("without smoothing the target is %v", plain)
	}
}
