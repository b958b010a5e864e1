package vision

import (
	"archive/tar"
	"errors"
	"io"
	"math"
	"os"
	"testing"

	"bagpipe/gpu"
)

func close3(a, b [3]float64, tol float64) bool {
	for i := range a {
		if !(math.Abs(a[i]-b[i]) <= tol) {
			return false
		}
	}
	return true
}

// What the words of the steps promise.
func TestColourSteps(t *testing.T) {
	luma := func(v [3]float64) float64 { return lumaR*v[0] + lumaG*v[1] + lumaB*v[2] }
	for _, v := range [][3]float64{{0, 0, 0}, {255, 255, 255}, {200, 30, 90}, {1, 254, 7}, {128, 128, 128}} {
		for _, c := range []float64{0.6, 0.8, 1, 1.25, 1.4} {
			h, s := hueTurn(c).at(v[0], v[1], v[2]), saturation(c).at(v[0], v[1], v[2])
			if math.Abs(luma(h)-luma(v)) > 0.01 || math.Abs(luma(s)-luma(v)) > 1e-9 {
				t.Errorf("%v: luma %.4f becomes %.4f by hue %v, %.4f by saturation", v, luma(v), luma(h), c, luma(s))
			}
			if b := brightness(c).at(v[0], v[1], v[2]); !close3(b, [3]float64{c * v[0], c * v[1], c * v[2]}, 1e-9) {
				t.Errorf("%v brighter by %v: %v", v, c, b)
			}
			k := contrast(c, 100).at(v[0], v[1], v[2])
			if !close3(k, [3]float64{100 + c*(v[0]-100), 100 + c*(v[1]-100), 100 + c*(v[2]-100)}, 1e-9) {
				t.Errorf("%v in contrast %v around 100: %v", v, c, k)
			}
			if v[0] == v[1] && v[1] == v[2] && (!close3(h, v, 0.01) || !close3(s, v, 1e-9)) {
				t.Errorf("gray %v becomes %v by hue, %v by saturation", v, h, s)
			}
		}
		back := hueTurn(1.3).then(hueTurn(0.7)).at(v[0], v[1], v[2])
		if one := hueTurn(1).at(v[0], v[1], v[2]); !close3(one, v, 1e-9) || !close3(back, v, 1e-9) {
			t.Errorf("hue: unturned %v is %v, turned there and back %v", v, one, back)
		}
		a, b := hueTurn(0.9), lighting([3]float64{0.1, -0.2, 0.3})
		w := a.at(v[0], v[1], v[2])
		if got, want := a.then(b).at(v[0], v[1], v[2]), b.at(w[0], w[1], w[2]); !close3(got, want, 1e-9) {
			t.Errorf("two maps in one: %v, want %v", got, want)
		}
	}
	if gray := saturation(0).at(200, 30, 90); !close3(gray, [3]float64{luma([3]float64{200, 30, 90}), luma([3]float64{200, 30, 90}), luma([3]float64{200, 30, 90})}, 1e-9) {
		t.Errorf("saturation 0 is %v, want gray", gray)
	}
	// One coefficient moves along one eigenvector, by its eigenvalue.
	for k := range 3 {
		var alpha, want [3]float64
		alpha[k] = 0.5
		for i := range want {
			want[i] = 0.5 * eigenValues[k] * eigenVectors[i][k]
		}
		if got := lighting(alpha).at(0, 0, 0); !close3(got, want, 1e-12) {
			t.Errorf("noise along component %d: %v, want %v", k, got, want)
		}
	}
	n := normalize([3]float64{1, 2, 3}, [3]float64{2, 4, 5}).at(5, 10, 18)
	if !close3(n, [3]float64{2, 2, 3}, 1e-12) {
		t.Errorf("normalised to %v", n)
	}
}

// tally is a distribution of differences in levels.
type tally struct {
	n, above int // elements, and those that differ by more than a level
	sum, max float64
}

func (a *tally) add(d float64) {
	d = math.Abs(d)
	a.n, a.sum, a.max = a.n+1, a.sum+d, max(a.max, d)
	if d > 1 {
		a.above++
	}
}

func (a *tally) log(t *testing.T, what string) {
	t.Logf("%-34s mean %6.3f levels, max %6.2f, more than a level: %5.2f %%", what, a.sum/float64(a.n), a.max, 100*float64(a.above)/float64(a.n))
}

// fastAgainstExact adds up how the fused affine form differs from the step-by-step one
// over count draws of each picture: in all, as it would without its one clamp, and in the
// pixels in which no step overflowed.
func fastAgainstExact(t *testing.T, c Config, pictures []pixels, count int) (all, unclamped, inside tally, overflow float64) {
	slow := c
	slow.Exact = true
	fast, exact := newTest(t, c, gpu.Float32, true), newTest(t, slow, gpu.Float32, true)
	over := 0
	a, b := make([]float32, 3*c.Size*c.Size), make([]float32, 3*c.Size*c.Size)
	for i, picture := range pictures {
		for k := range count {
			fast.decoded, exact.decoded = picture, picture
			fast.draw(fast.decoded.w, fast.decoded.h, 9, k, i)
			fast.apply(asBytes(a))
			exact.draw(exact.decoded.w, exact.decoded.h, 9, k, i)
			exact.apply(asBytes(b))
			steps := fast.params.steps(fast.meanLuma())
			fused := steps[0]
			for _, s := range steps[1:] {
				fused = fused.then(s)
			}
			for at := range len(a) / 3 {
				y, x := at/c.Size, at%c.Size
				if fast.params.Flip {
					x = c.Size - 1 - x
				}
				r, g, bl := fast.lines.row(y)
				clips, v := false, [3]float64{float64(r[x]), float64(g[x]), float64(bl[x])}
				free := fused.at(v[0], v[1], v[2])
				for _, s := range steps {
					v = s.at(v[0], v[1], v[2])
					for ch := range v {
						clips = clips || v[ch] < 0 || v[ch] > 255
					}
				}
				if clips {
					over++
				}
				for ch := range 3 {
					fa := float64(a[3*at+ch])*c.Std[ch] + c.Mean[ch]
					ex := float64(b[3*at+ch])*c.Std[ch] + c.Mean[ch]
					all.add(fa - ex)
					unclamped.add(free[ch] - ex)
					if !clips {
						inside.add(fa - ex)
					}
				}
			}
		}
	}
	return all, unclamped, inside, float64(over) / float64(all.n/3)
}

// TestFastColour measures the one affine pass against the steps clamped one by one;
// docs/augmentation.md has the table. Where nothing overflows they are the same to
// float32's rounding; the rest is the clamps.
func TestFastColour(t *testing.T) {
	c := Default(Paper, 48)
	var made []pixels
	for i := range 40 {
		made = append(made, scene(uint64(i), 100, 80))
	}
	check := func(name string, c Config, pictures []pixels, meanLimit, aboveLimit float64) {
		all, unclamped, inside, over := fastAgainstExact(t, c, pictures, 4)
		t.Logf("%s: %d samples of %dx%d, a step overflows in %.2f %% of the pixels", name, 4*len(pictures), c.Size, c.Size, 100*over)
		all.log(t, "all")
		unclamped.log(t, "all, were the result not clamped")
		inside.log(t, "pixels in which no step overflows")
		if inside.max > 1e-3 || inside.n < all.n/3 {
			t.Errorf("%s: %v levels apart where nothing overflows, in %d of %d elements", name, inside.max, inside.n, all.n)
		}
		if mean, above := all.sum/float64(all.n), float64(all.above)/float64(all.n); mean > meanLimit || above > aboveLimit {
			t.Errorf("%s: mean %.3f levels, %.3f above a level; want at most %v, %v", name, mean, above, meanLimit, aboveLimit)
		}
	}
	check("made pictures, all steps", c, made, 2, 0.2)
	mild := c
	mild.Hue, mild.Saturation, mild.Brightness = 0.1, 0.1, 0.1
	check("made pictures, strengths 0.1", mild, made, 0.3, 0.05)
	light := c
	light.Hue, light.Saturation, light.Brightness = 0, 0, 0
	check("made pictures, noise alone", light, made, 1e-3, 0)

	real := photos(t, 75)
	if len(real) == 0 {
		t.Log("no photographs beside the project: made pictures alone")
		return
	}
	c.Size, mild.Size, light.Size = 64, 64, 64
	check("photographs, all steps", c, real, 0.15, 0.03)
	check("photographs, strengths 0.1", mild, real, 0.03, 0.01)
	check("photographs, noise alone", light, real, 1e-3, 0)
}

// photos returns up to n ImageNet pictures, where they lie beside the project.
func photos(t *testing.T, n int) (all []pixels) {
	f, err := os.Open("../../../shared/data/inet1k/inet1k-300.tar")
	if err != nil {
		return nil
	}
	defer f.Close()
	for r := tar.NewReader(f); len(all) < n; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			b, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			pix, w, h, err := Decode(b)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, pixels{pix, w, h})
		}
	}
	return all
}
