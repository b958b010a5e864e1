package vision

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// The draws of a test: their laws are tested at a significance of about 1e-4, which
// a fixed seed makes a yes or no.
const draws = 20000

// drawn returns n draws of c for a picture of w x h.
func drawn(c Config, n, w, h int) []Params {
	rnd, ps := rand.New(rand.NewPCG(11, 12)), make([]Params, n)
	for i := range ps {
		ps[i].draw(c, rnd, w, h)
	}
	return ps
}

// follows fails if the values leave the law whose distribution function is cdf by
// more than chance does (Kolmogorov and Smirnov).
func follows(t *testing.T, name string, values []float64, cdf func(float64) float64) {
	t.Helper()
	slices.Sort(values)
	worst, n := 0.0, float64(len(values))
	for i, v := range values {
		p := cdf(v)
		worst = max(worst, p-float64(i)/n, float64(i+1)/n-p)
	}
	if limit := 2.2 / math.Sqrt(n); !(worst <= limit) {
		t.Errorf("%s: the draws leave their law by %.4f, want at most %.4f", name, worst, limit)
	}
}

// evenly fails if the counts of equally likely outcomes differ by more than chance
// (chi-squared, its normal approximation at 4 sigma).
func evenly(t *testing.T, name string, counts map[any]int, outcomes, n int) {
	t.Helper()
	if len(counts) != outcomes {
		t.Errorf("%s: %d different outcomes, want %d", name, len(counts), outcomes)
		return
	}
	chi, want := 0.0, float64(n)/float64(outcomes)
	for _, c := range counts {
		chi += (float64(c) - want) * (float64(c) - want) / want
	}
	if df := float64(outcomes - 1); chi > df+4*math.Sqrt(2*df)+6 {
		t.Errorf("%s: chi-squared %.1f of %d outcomes: not evenly spread", name, chi, outcomes)
	}
}

func uniform(lo, hi float64) func(float64) float64 {
	return func(x float64) float64 { return min(max((x-lo)/(hi-lo), 0), 1) }
}

func within(t *testing.T, name string, values []float64, lo, hi float64) {
	t.Helper()
	for _, v := range values {
		if !(v >= lo && v <= hi) {
			t.Fatalf("%s: %v, want %v to %v", name, v, lo, hi)
		}
	}
}

// PAPER 1.1 P3 to P5 and 1.2 R5, R7: the laws of the colour draws.
func TestColourDraws(t *testing.T) {
	c := Default(Paper, 224)
	c.Contrast = 0.3
	ps := drawn(c, draws, 500, 375)
	for name, pick := range map[string]func(Params) float64{
		"hue":        func(p Params) float64 { return p.Hue },
		"saturation": func(p Params) float64 { return p.Saturation },
		"brightness": func(p Params) float64 { return p.Brightness },
		"contrast":   func(p Params) float64 { return p.Contrast },
	} {
		lo, hi := 0.6, 1.4
		if name == "contrast" {
			lo, hi = 0.7, 1.3
		}
		values := each(ps, pick)
		within(t, name, values, lo, hi)
		follows(t, name, values, uniform(lo, hi))
	}
	for i := range 3 {
		follows(t, fmt.Sprint("light ", i), each(ps, func(p Params) float64 { return p.Light[i] }),
			func(x float64) float64 { return 0.5 * math.Erfc(-x/0.1/math.Sqrt2) })
	}
	flips, orders := map[any]int{}, map[any]int{}
	for _, p := range ps {
		flips[p.Flip]++
		orders[p.Order]++
	}
	evenly(t, "flip", flips, 2, draws)
	evenly(t, "order", orders, 6, draws)

	// Draws of different kinds do not go together.
	if r := correlation(each(ps, func(p Params) float64 { return p.Hue }), each(ps, func(p Params) float64 { return p.Brightness })); math.Abs(r) > 0.03 {
		t.Errorf("hue and brightness correlate: %.3f", r)
	}
	if r := correlation(each(ps, func(p Params) float64 { return p.Light[0] }), each(ps, func(p Params) float64 { return p.Light[1] })); math.Abs(r) > 0.03 {
		t.Errorf("two coefficients of the noise correlate: %.3f", r)
	}
}

func each(ps []Params, pick func(Params) float64) []float64 {
	values := make([]float64, len(ps))
	for i, p := range ps {
		values[i] = pick(p)
	}
	return values
}

func correlation(a, b []float64) float64 {
	var sa, sb, saa, sbb, sab float64
	for i := range a {
		sa, sb, saa, sbb, sab = sa+a[i], sb+b[i], saa+a[i]*a[i], sbb+b[i]*b[i], sab+a[i]*b[i]
	}
	n := float64(len(a))
	return (n*sab - sa*sb) / math.Sqrt((n*saa-sa*sa)*(n*sbb-sb*sb))
}

// Switching a step off leaves the draws of all others as they were.
func TestStepsOffKeepTheRest(t *testing.T) {
	full := drawn(Default(Paper, 224), 50, 500, 375)
	for name, off := range map[string]func(*Config, *Params){
		"hue":        func(c *Config, p *Params) { c.Hue, p.Hue = 0, 1 },
		"saturation": func(c *Config, p *Params) { c.Saturation, p.Saturation = 0, 1 },
		"brightness": func(c *Config, p *Params) { c.Brightness, p.Brightness = 0, 1 },
		"lighting":   func(c *Config, p *Params) { c.Lighting, p.Light = 0, [3]float64{} },
		"flip":       func(c *Config, p *Params) { c.Flip, p.Flip = 0, false },
	} {
		for seed := range uint64(50) {
			c, want := Default(Paper, 224), Params{}
			want.draw(c, rand.New(rand.NewPCG(seed, 1)), 500, 375)
			off(&c, &want)
			var got Params
			if got.draw(c, rand.New(rand.NewPCG(seed, 1)), 500, 375); got != want {
				t.Fatalf("%s off: %+v, want %+v", name, got, want)
			}
		}
	}
	if full[0] == full[1] {
		t.Error("two samples have the same draws")
	}
}

// PAPER 1.1 P2 and 1.2 R2: the area's share is uniform, the aspect uniform (paper),
// uniform and turned half of the time (mxnet-2018) or log-uniform (torchvision), and
// the place uniform. Up to half of the area fits whatever the aspect, so that no
// draw is refused and the laws show.
func TestRandomResizedDraws(t *testing.T) {
	const side = 20000
	turned := func(x float64) float64 { // of r or 1/r, r uniform in [3/4, 4/3]
		u := uniform(3./4, 4./3)
		return (u(x) + 1 - u(1/x)) / 2
	}
	for mode, aspect := range map[string]func(float64) float64{
		Paper: uniform(3./4, 4./3), MXNet2018: turned,
		Torchvision: func(x float64) float64 { return uniform(math.Log(3./4), math.Log(4./3))(math.Log(x)) },
	} {
		c := Default(mode, 224)
		c.Scale = [2]float64{0.08, 0.5}
		ps := drawn(c, draws, side, side)
		for _, p := range ps {
			if r := p.Crop; p.Full.W != 0 || r.X < 0 || r.Y < 0 || r.X+r.W > side || r.Y+r.H > side {
				t.Fatalf("%s: crop %+v of a picture resized to %+v", mode, r, p.Full)
			}
		}
		area := each(ps, func(p Params) float64 { return float64(p.Crop.W) * float64(p.Crop.H) / side / side })
		within(t, mode+" area", area, 0.0799, 0.5001)
		follows(t, mode+" area", area, uniform(0.08, 0.5))
		ratio := each(ps, func(p Params) float64 { return float64(p.Crop.W) / float64(p.Crop.H) })
		within(t, mode+" aspect", ratio, 0.7499, 1.3335)
		follows(t, mode+" aspect", ratio, aspect)
		follows(t, mode+" x", each(ps, func(p Params) float64 { return float64(p.Crop.X) / float64(side-p.Crop.W) }), uniform(0, 1))
		follows(t, mode+" y", each(ps, func(p Params) float64 { return float64(p.Crop.Y) / float64(side-p.Crop.H) }), uniform(0, 1))
	}
}

// The offsets are integers, both ends included: of a crop of 3x3 in 7x5 all 15.
func TestCropPlaces(t *testing.T) {
	c := Default(Paper, 4)
	c.Scale, c.Ratio = [2]float64{9. / 35, 9. / 35}, [2]float64{1, 1}
	places := map[any]int{}
	for _, p := range drawn(c, draws, 7, 5) {
		if p.Crop.W != 3 || p.Crop.H != 3 {
			t.Fatalf("crop %+v, want 3x3", p.Crop)
		}
		places[[2]int{p.Crop.X, p.Crop.Y}]++
	}
	evenly(t, "places", places, 15, draws)
}

// Any picture gets a crop inside it, in every mode.
func TestCropsFit(t *testing.T) {
	for _, mode := range []string{Paper, MXNet2018, Torchvision} {
		for _, s := range [][2]int{{1, 1}, {2, 1}, {1, 3}, {5, 4}, {1000, 1}, {1, 1000}, {500, 375}, {33, 500}, {65535, 3}} {
			for _, p := range drawn(Default(mode, 24), 300, s[0], s[1]) {
				w, h := s[0], s[1]
				if p.Full.W != 0 {
					w, h = p.Full.W, p.Full.H
				}
				if r := p.Crop; r.W < 1 || r.H < 1 || r.X < 0 || r.Y < 0 || r.X+r.W > w || r.Y+r.H > h {
					t.Fatalf("%s: crop %+v of %dx%d, resized to %+v", mode, r, s[0], s[1], p.Full)
				}
			}
		}
	}
}

// PAPER 1.2 R4 and torchvision's RandomResizedCrop: what ten misfits lead to.
func TestCropFallback(t *testing.T) {
	for _, c := range []struct {
		mode       string
		w, h       int
		full, crop Rect // of full only the extents
	}{
		{Paper, 1000, 9, Rect{}, Rect{494, 0, 12, 9}},
		{Torchvision, 1000, 9, Rect{}, Rect{494, 0, 12, 9}},
		{Torchvision, 9, 1000, Rect{}, Rect{0, 494, 9, 12}},
		// A centre crop of the output size, not resized ...
		{MXNet2018, 5000, 230, Rect{0, 0, 5000, 230}, Rect{2388, 3, 224, 224}},
		{MXNet2018, 230, 5001, Rect{0, 0, 230, 5001}, Rect{3, 2388, 224, 224}},
		// ... unless the picture is smaller.
		{MXNet2018, 1000, 9, Rect{0, 0, 24888, 224}, Rect{12332, 0, 224, 224}},
	} {
		for _, p := range drawn(Default(c.mode, 224), 100, c.w, c.h) {
			if p.Full.W != c.full.W || p.Full.H != c.full.H || p.Crop != c.crop {
				t.Fatalf("%s %dx%d: crop %+v of %+v, want %+v of %+v", c.mode, c.w, c.h, p.Crop, p.Full, c.crop, c.full)
			}
		}
	}
}

// CIFAR's crop: every one of the 9x9 windows of a picture with 4 pixels around it.
func TestPadDraws(t *testing.T) {
	c := Default(Paper, 32)
	c.Crop, c.Padding = Pad, 4
	places := map[any]int{}
	for _, p := range drawn(c, draws, 32, 32) {
		if p.Full.W != 32 || p.Full.H != 32 || p.Crop.W != 32 || p.Crop.H != 32 || max(p.Crop.X, p.Crop.Y, -p.Crop.X, -p.Crop.Y) > 4 {
			t.Fatalf("crop %+v of %+v", p.Crop, p.Full)
		}
		places[[2]int{p.Crop.X, p.Crop.Y}]++
	}
	evenly(t, "windows", places, 81, draws)
}

// PAPER 1.3: the short side to ceil(input/0.875), the long one by integer division,
// the centre cut out.
func TestEvaluationPlaces(t *testing.T) {
	for _, e := range []struct {
		mode              string
		size, short, w, h int
		full, crop        Rect
	}{
		{Paper, 224, 0, 500, 375, Rect{0, 0, 341, 256}, Rect{58, 16, 224, 224}},
		{MXNet2018, 224, 0, 375, 500, Rect{0, 0, 256, 341}, Rect{16, 58, 224, 224}},
		{MXNet2018, 224, 0, 343, 256, Rect{0, 0, 343, 256}, Rect{59, 16, 224, 224}},
		{Torchvision, 224, 0, 500, 375, Rect{0, 0, 341, 256}, Rect{58, 16, 224, 224}}, // 58.5 to even
		{Torchvision, 224, 0, 343, 256, Rect{0, 0, 343, 256}, Rect{60, 16, 224, 224}}, // 59.5 to even
		{Paper, 299, 0, 500, 375, Rect{0, 0, 456, 342}, Rect{78, 21, 299, 299}},
		{Paper, 224, 224, 224, 224, Rect{0, 0, 224, 224}, Rect{0, 0, 224, 224}},
		{Paper, 224, 288, 1000, 1000, Rect{0, 0, 288, 288}, Rect{32, 32, 224, 224}},
		{Paper, 224, 0, 1, 1, Rect{0, 0, 256, 256}, Rect{16, 16, 224, 224}},
	} {
		c := Default(e.mode, e.size)
		c.EvalShort = e.short
		var p Params
		p.centre(c, e.w, e.h)
		if p.Full.W != e.full.W || p.Full.H != e.full.H || p.Crop != e.crop {
			t.Errorf("%s %d of %dx%d: crop %+v of %+v, want %+v of %+v", e.mode, e.size, e.w, e.h, p.Crop, p.Full, e.crop, e.full)
		}
		if p.Flip || p.Hue != 1 || p.Saturation != 1 || p.Brightness != 1 || p.Contrast != 1 || p.Light != [3]float64{} {
			t.Errorf("evaluation changes colours: %+v", p)
		}
	}
	for size, want := range map[int]int{224: 256, 299: 342, 160: 183, 32: 37} {
		if got := Default(Paper, size).Short(); got != want {
			t.Errorf("short side for %d: %d, want %d", size, got, want)
		}
	}
	cifar := Default(Paper, 32)
	if cifar.Crop = Pad; cifar.Short() != 32 {
		t.Errorf("short side of a padded crop of 32: %d", cifar.Short())
	}
}
