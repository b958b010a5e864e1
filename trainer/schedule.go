package trainer

import "math"

// A schedule gives the learning rate of every step.
type schedule struct {
	c      Config
	epoch  int     // steps an epoch
	warmup float64 // steps
	total  float64 // steps
	peak   float64
}

func newSchedule(c Config, stepsPerEpoch int) schedule {
	s := schedule{c: c, epoch: stepsPerEpoch, peak: c.LR}
	if c.LRBatch > 0 { // linear scaling, arXiv:1812.01187 section 3.1
		s.peak = c.LR * float64(c.Batch) / float64(c.LRBatch)
	}
	s.warmup = math.Round(c.WarmupEpochs * float64(stepsPerEpoch))
	s.total = float64(c.Epochs * stepsPerEpoch)
	return s
}

// rate returns the learning rate of step i, counted from 0. During the m steps of
// warm-up it is i*peak/m (section 3.1); after that, with t steps of the T left
// done, cosine is peak*(1+cos(pi*t/T))/2 (equation 3), which would reach 0 at T.
func (s schedule) rate(step int) float64 {
	i := float64(step)
	if i < s.warmup {
		return s.peak * i / s.warmup
	}
	switch s.c.Schedule {
	case Cosine:
		return s.peak * (1 + math.Cos(math.Pi*(i-s.warmup)/max(s.total-s.warmup, 1))) / 2
	case Steps:
		r := s.peak
		for _, e := range s.c.DecayEpochs {
			if i >= math.Round(e*float64(s.epoch)) {
				r *= s.c.DecayFactor
			}
		}
		return r
	}
	return s.peak
}

// average returns the decay of the moving average after step i: short memory at
// first, so that the initial weights are forgotten (TensorFlow's
// ExponentialMovingAverage with num_updates).
func (c Config) average(step int) float64 {
	t := float64(step)
	return min(c.EMA, (1+t)/(10+t))
}
