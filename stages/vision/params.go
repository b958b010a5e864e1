package vision

import (
	"math"
	"math/rand/v2"
)

// Rect is a part of a picture in pixels.
type Rect struct{ X, Y, W, H int }

// Params are all the random choices of one sample.
type Params struct {
	// Full is the size to which the whole picture is resized before the crop; zero
	// means that the crop is cut from the decoded picture and resized itself.
	Full struct{ W, H int }
	// Crop is cut from the decoded or, if Full is set, the resized picture. Only
	// with crop = pad may it reach outside.
	Crop Rect

	Flip                                  bool
	Hue, Saturation, Brightness, Contrast float64    // coefficients, 1 = unchanged
	Order                                 [3]uint8   // mxnet-2018: the order of brightness 0, contrast 1, saturation 2
	Light                                 [3]float64 // coefficients of the PCA noise
}

// draw chooses for a picture of w x h. Every choice takes the same number of
// variates whether its step is on or off, and the crop, which takes as many as it
// needs, comes last: so switching a step off changes nothing else.
func (p *Params) draw(c Config, rnd *rand.Rand, w, h int) {
	*p = Params{Flip: rnd.Float64() < c.Flip}
	coefficient := func(strength float64) float64 { return 1 + strength*(2*rnd.Float64()-1) }
	p.Hue, p.Saturation = coefficient(c.Hue), coefficient(c.Saturation)
	p.Brightness, p.Contrast = coefficient(c.Brightness), coefficient(c.Contrast)
	p.Order = orders[rnd.Uint64()%6]
	for i := range p.Light { // Box-Muller: a fixed number of variates, which the ziggurat has not
		u, v := rnd.Float64(), rnd.Float64()
		p.Light[i] = c.Lighting * math.Sqrt(-2*math.Log(1-u)) * math.Cos(2*math.Pi*v)
	}
	switch c.Crop {
	case RandomResized:
		p.randomResized(c, rnd, w, h)
	case Pad:
		p.padded(c, rnd, w, h)
	default:
		p.place(c, c.Short(), w, h)
	}
}

var orders = [6][3]uint8{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}

// randomResized draws the area's share uniformly and the aspect uniformly or, for
// torchvision, log-uniformly, at most ten times until the crop fits.
func (p *Params) randomResized(c Config, rnd *rand.Rand, w, h int) {
	for range 10 {
		area := (c.Scale[0] + rnd.Float64()*(c.Scale[1]-c.Scale[0])) * float64(w) * float64(h)
		ratio := c.Ratio[0] + rnd.Float64()*(c.Ratio[1]-c.Ratio[0])
		if c.Mode == Torchvision {
			lo, hi := math.Log(c.Ratio[0]), math.Log(c.Ratio[1])
			ratio = math.Exp(lo + (ratio-c.Ratio[0])/max(c.Ratio[1]-c.Ratio[0], 1e-12)*(hi-lo))
		}
		cw, ch := int(math.Round(math.Sqrt(area*ratio))), int(math.Round(math.Sqrt(area/ratio)))
		swap := rnd.Uint64()&1 == 1
		if c.Mode == MXNet2018 && swap {
			cw, ch = ch, cw
		}
		if cw < 1 || ch < 1 || cw > w || ch > h {
			continue
		}
		p.Crop = Rect{rnd.IntN(w - cw + 1), rnd.IntN(h - ch + 1), cw, ch}
		return
	}
	p.fallback(c, w, h)
}

// fallback is the crop when ten draws did not fit: a very long picture.
func (p *Params) fallback(c Config, w, h int) {
	if c.Mode == MXNet2018 { // a centre crop of the output size, unresized; smaller pictures are enlarged first
		short := min(w, h)
		if short < c.Size {
			short = c.Size
		}
		p.place(c, short, w, h)
		return
	}
	cw, ch := w, h // the largest centred part whose aspect is allowed
	if r := float64(w) / float64(h); r < c.Ratio[0] {
		ch = max(1, min(h, int(math.Round(float64(w)/c.Ratio[0]))))
	} else if r > c.Ratio[1] {
		cw = max(1, min(w, int(math.Round(float64(h)*c.Ratio[1]))))
	}
	p.Crop = Rect{(w - cw) / 2, (h - ch) / 2, cw, ch}
}

// padded moves a Size x Size window over the padded picture.
func (p *Params) padded(c Config, rnd *rand.Rand, w, h int) {
	dx, dy := rnd.IntN(2*c.Padding+1)-c.Padding, rnd.IntN(2*c.Padding+1)-c.Padding
	p.place(c, c.Short(), w, h)
	p.Crop.X, p.Crop.Y = p.Crop.X+dx, p.Crop.Y+dy
}

// centre is evaluation's choice: nothing is random.
func (p *Params) centre(c Config, w, h int) {
	*p = Params{Hue: 1, Saturation: 1, Brightness: 1, Contrast: 1, Order: orders[0]}
	p.place(c, c.Short(), w, h)
}

// place resizes the short side to short, the long one by integer division as
// MXNet does, and cuts the centre.
func (p *Params) place(c Config, short, w, h int) {
	fw, fh := short, short
	if w > h {
		fw = max(short, int(int64(w)*int64(short)/int64(h)))
	} else {
		fh = max(short, int(int64(h)*int64(short)/int64(w)))
	}
	p.Full.W, p.Full.H = fw, fh
	p.Crop = Rect{(fw - c.Size) / 2, (fh - c.Size) / 2, c.Size, c.Size}
	if c.Mode == Torchvision { // its CenterCrop rounds halves to even
		p.Crop.X = int(math.RoundToEven(float64(fw-c.Size) / 2))
		p.Crop.Y = int(math.RoundToEven(float64(fh-c.Size) / 2))
	}
}
