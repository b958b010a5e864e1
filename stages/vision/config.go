package vision

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"bagpipe/internal/nearest"
)

// The named semantics of the chain; see the package comment.
const (
	Paper       = "paper"
	MXNet2018   = "mxnet-2018"
	Torchvision = "torchvision"
)

// The ways of cutting the training crop.
const (
	RandomResized = "random-resized" // an area of random size and aspect, resized to Size
	Pad           = "pad"            // Pad pixels of the mean colour around, then a random Size x Size cut: CIFAR's way
	None          = "none"           // as in evaluation
)

// Config says how a picture becomes a sample: it is the [input] section of a
// recipe. Jitter strengths are half-widths: 0.4 draws a coefficient from
// U[0.6, 1.4].
type Config struct {
	Mode       string     `toml:"mode"`
	Size       int        `toml:"size"`       // output side in pixels
	Crop       string     `toml:"crop"`       // random-resized, pad or none
	Scale      [2]float64 `toml:"scale"`      // of random-resized: range of the area's share
	Ratio      [2]float64 `toml:"ratio"`      // of random-resized: range of width/height
	Padding    int        `toml:"padding"`    // of pad: pixels on each side
	Flip       float64    `toml:"flip"`       // probability of a horizontal flip
	Hue        float64    `toml:"hue"`        // jitter strength; a coefficient c turns the hue by pi*(c-1)
	Saturation float64    `toml:"saturation"` // jitter strength
	Brightness float64    `toml:"brightness"` // jitter strength
	Contrast   float64    `toml:"contrast"`   // jitter strength; mxnet-2018 has it in the place of hue
	Lighting   float64    `toml:"lighting"`   // standard deviation of the PCA noise's coefficients
	Mean       [3]float64 `toml:"mean"`       // RGB levels, 0..255
	Std        [3]float64 `toml:"std"`        // RGB levels
	EvalShort  int        `toml:"eval_short"` // short side before the centre crop of evaluation; 0: see Short
	Exact      bool       `toml:"exact"`      // colour step by step, clamped after each, in place of one affine pass
}

// Default returns the chain of PAPER section 1.1 in the given mode and size:
// the paper's own words for "paper", the authors' code for "mxnet-2018".
func Default(mode string, size int) Config {
	c := Config{
		Mode: mode, Size: size, Crop: RandomResized,
		Scale: [2]float64{0.08, 1}, Ratio: [2]float64{3. / 4, 4. / 3}, Flip: 0.5,
		Saturation: 0.4, Brightness: 0.4, Lighting: 0.1,
		Mean: [3]float64{123.68, 116.779, 103.939}, Std: [3]float64{58.393, 57.12, 57.375},
	}
	switch mode {
	case MXNet2018:
		c.Contrast = 0.4
	case Torchvision: // its reference recipe: crop and flip alone
		c.Saturation, c.Brightness, c.Lighting = 0, 0, 0
		c.Mean, c.Std = [3]float64{123.675, 116.28, 103.53}, [3]float64{58.395, 57.12, 57.375}
	default:
		c.Hue = 0.4
	}
	return c
}

// Short returns the short side to which evaluation resizes: EvalShort or, if that
// is 0, ceil(Size/0.875) (256 for 224, 342 for 299) for random-resized crops and
// Size for the others, whose training does not zoom in either.
func (c Config) Short() int {
	switch {
	case c.EvalShort > 0:
		return c.EvalShort
	case c.Crop == RandomResized:
		return int(math.Ceil(float64(c.Size) / 0.875))
	}
	return c.Size
}

// maxSize bounds Config.Size: a larger crop is a slip of the keyboard.
const maxSize = 8192

// Validate returns every fault of the configuration in one error, or nil.
func (c Config) Validate() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf("input: "+format, args...))
		}
	}
	oneOf := func(key, got string, want ...string) {
		if !slices.Contains(want, got) {
			fault(true, "%s = %q, want %s (nearest: %q)", key, got, strings.Join(want, ", "), nearest.Word(got, want))
		}
	}
	oneOf("mode", c.Mode, Paper, MXNet2018, Torchvision)
	oneOf("crop", c.Crop, RandomResized, Pad, None)
	fault(c.Size < 1 || c.Size > maxSize, "size = %d, want 1 to %d", c.Size, maxSize)
	if c.Crop == RandomResized {
		fault(!(c.Scale[0] > 0 && c.Scale[0] <= c.Scale[1] && c.Scale[1] <= 1), "scale = %v, want 0 < low <= high <= 1", c.Scale)
		fault(!(c.Ratio[0] > 0 && c.Ratio[0] <= c.Ratio[1] && c.Ratio[1] < 100), "ratio = %v, want 0 < low <= high < 100", c.Ratio)
	}
	fault(c.Padding < 0 || c.Padding > maxSize, "padding = %d, want 0 to %d", c.Padding, maxSize)
	fault(c.Padding > 0 && c.Crop != Pad, "padding = %d goes with crop = %q only", c.Padding, Pad)
	fault(!(c.Flip >= 0 && c.Flip <= 1), "flip = %v, want a probability", c.Flip)
	for key, v := range map[string]float64{"hue": c.Hue, "saturation": c.Saturation, "brightness": c.Brightness, "contrast": c.Contrast} {
		fault(!(v >= 0 && v <= 1), "%s = %v, want 0 to 1", key, v)
	}
	fault(c.Mode == MXNet2018 && c.Hue > 0, "hue = %v: mode %s has no hue jitter", c.Hue, c.Mode)
	fault(!(c.Lighting >= 0 && c.Lighting < 100), "lighting = %v, want 0 to 100", c.Lighting)
	for i := range 3 {
		fault(!(c.Mean[i] >= 0 && c.Mean[i] <= 255), "mean[%d] = %v, want a level, 0 to 255", i, c.Mean[i])
		fault(!(c.Std[i] > 0 && c.Std[i] <= 255), "std[%d] = %v, want above 0, to 255", i, c.Std[i])
	}
	fault(c.EvalShort != 0 && c.EvalShort < c.Size, "eval_short = %d is below size = %d", c.EvalShort, c.Size)
	fault(c.EvalShort > maxSize, "eval_short = %d, want at most %d", c.EvalShort, maxSize)
	return errors.Join(faults...)
}
