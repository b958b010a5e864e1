package vision

import (
	"strings"
	"testing"

	"bagpipe/gpu"
)

// The constants of PAPER 1.1 P2 to P6, 1.2 R2, R5, R7 and R10, said once more.
func TestDefaults(t *testing.T) {
	caffe, unit := [2][3]float64{{123.68, 116.779, 103.939}, {58.393, 57.12, 57.375}}, [2][3]float64{{123.675, 116.28, 103.53}, {58.395, 57.12, 57.375}}
	for mode, want := range map[string]struct {
		hue, saturation, brightness, contrast, lighting float64
		norm                                            [2][3]float64
	}{
		Paper:       {0.4, 0.4, 0.4, 0, 0.1, caffe},
		MXNet2018:   {0, 0.4, 0.4, 0.4, 0.1, caffe},
		Torchvision: {0, 0, 0, 0, 0, unit},
	} {
		c := Default(mode, 224)
		if c.Hue != want.hue || c.Saturation != want.saturation || c.Brightness != want.brightness || c.Contrast != want.contrast ||
			c.Lighting != want.lighting || c.Mean != want.norm[0] || c.Std != want.norm[1] ||
			c.Scale != [2]float64{0.08, 1} || c.Ratio != [2]float64{0.75, 4. / 3} || c.Flip != 0.5 || c.Crop != RandomResized || c.Exact {
			t.Errorf("%s: %+v", mode, c)
		}
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
	}
	// Krizhevsky's values of unit-range pixels, as Gluon and torchvision's references print them.
	for i, v := range [3]float64{0.2175, 0.0188, 0.0045} {
		if d := v*255 - eigenValues[i]; d > 0.01 || d < -0.01 {
			t.Errorf("eigenvalue %d: %v, want %v", i, eigenValues[i], v*255)
		}
	}
	for i := range 3 { // principal components are orthonormal, to their four digits
		for j := range 3 {
			dot := 0.0
			for c := range 3 {
				dot += eigenVectors[c][i] * eigenVectors[c][j]
			}
			if i == j {
				dot--
			}
			if dot > 2e-4 || dot < -2e-4 {
				t.Errorf("eigenvectors %d and %d: %v off orthonormal", i, j, dot)
			}
		}
	}
}

// Every fault is named, all of them at once.
func TestValidate(t *testing.T) {
	for want, spoil := range map[string]func(*Config){
		`nearest: "paper"`:         func(c *Config) { c.Mode = "papr" },
		`nearest: "mxnet-2018"`:    func(c *Config) { c.Mode = "mxnet" },
		`nearest: "pad"`:           func(c *Config) { c.Crop = "padded" },
		"size = 0":                 func(c *Config) { c.Size = 0 },
		"size = 9000":              func(c *Config) { c.Size = 9000 },
		"scale = [0 1]":            func(c *Config) { c.Scale[0] = 0 },
		"scale = [0.9 0.5]":        func(c *Config) { c.Scale = [2]float64{0.9, 0.5} },
		"ratio = [2 1]":            func(c *Config) { c.Ratio = [2]float64{2, 1} },
		"padding = -1":             func(c *Config) { c.Padding = -1 },
		"padding = 4 goes with":    func(c *Config) { c.Padding = 4 },
		"flip = 1.5":               func(c *Config) { c.Flip = 1.5 },
		"hue = 2":                  func(c *Config) { c.Hue = 2 },
		"contrast = -0.1":          func(c *Config) { c.Contrast = -0.1 },
		"mxnet-2018 has no hue":    func(c *Config) { c.Mode = MXNet2018 },
		"lighting = -1":            func(c *Config) { c.Lighting = -1 },
		"mean[1] = 256":            func(c *Config) { c.Mean[1] = 256 },
		"std[2] = 0":               func(c *Config) { c.Std[2] = 0 },
		"eval_short = 100 is":      func(c *Config) { c.EvalShort = 100 },
		"eval_short = 10000, want": func(c *Config) { c.EvalShort = 10000 },
	} {
		c := Default(Paper, 224)
		spoil(&c)
		err := c.Validate()
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "input: ") {
			t.Errorf("%v, want an error with %q", err, want)
		}
		if _, err := NewTrain(c, gpu.Float32); err == nil {
			t.Errorf("%s: NewTrain does not refuse it", want)
		}
	}
	c := Default(Paper, 224)
	c.Flip, c.Hue, c.Std[0] = 2, 3, -1
	if err := c.Validate(); strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("three faults give %v", err)
	}
	if _, err := NewEval(Default(Paper, 224), gpu.Uint8); err == nil {
		t.Error("samples of uint8 are not refused")
	}
}
