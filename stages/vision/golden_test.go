package vision

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"

	"bagpipe/gpu"
)

const reference = "../../testdata/reference"

// golden is what chain.py wrote.
type golden struct {
	Cases []struct {
		Name, Mode, Picture string
		Size                int
		Exact               bool
		Params              *struct {
			Crop                                  [4]int
			Flip                                  bool
			Hue, Saturation, Brightness, Contrast float64
			Order                                 [3]uint8
			Light                                 [3]float64
		}
		Sample []float64 // times 1e4
	}
	Decode []int
}

func readGolden(t *testing.T) (g golden) {
	b, err := os.ReadFile(filepath.Join(reference, "chain.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// TestGolden holds the chain against the numpy, OpenCV and Pillow reference.
// mxnet-2018 must match to the level; rez's 14-bit weights may round a level away from
// Pillow's 22 bits; its 8 bits between the passes may differ by a level from the paper
// reference's double precision, and the colour chain can multiply that by up to about
// 4 (measured: 3.1, mean 0.25).
func TestGolden(t *testing.T) {
	for _, c := range readGolden(t).Cases {
		t.Run(c.Name, func(t *testing.T) {
			src, err := os.ReadFile(filepath.Join(reference, c.Picture))
			if err != nil {
				t.Fatal(err)
			}
			config := Default(c.Mode, c.Size)
			config.Exact = c.Exact
			p, err := newProcessor(config, gpu.Float32, c.Params != nil)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if err := p.dec.decode(&p.decoded, src); err != nil {
				t.Fatal(err)
			}
			if q := c.Params; q != nil {
				p.params = Params{Crop: Rect{q.Crop[0], q.Crop[1], q.Crop[2], q.Crop[3]}, Flip: q.Flip,
					Hue: q.Hue, Saturation: q.Saturation, Brightness: q.Brightness, Contrast: 1, Order: q.Order, Light: q.Light}
				if c.Mode == MXNet2018 {
					p.params.Contrast = q.Contrast
				}
			} else {
				p.params.centre(config, p.decoded.w, p.decoded.h)
			}
			dst := make([]byte, 4*len(c.Sample))
			p.apply(dst)
			worst, sum := 0.0, 0.0
			for i, got := range asFloats(dst) {
				d := math.Abs(float64(got)-c.Sample[i]/1e4) * config.Std[i%3] // in levels
				worst, sum = max(worst, d), sum+d
			}
			mean := sum / float64(len(c.Sample))
			t.Logf("largest difference %.3f levels, mean %.4f", worst, mean)
			limit := map[string][2]float64{Paper: {3.5, 0.3}, MXNet2018: {0.01, 0.005}, Torchvision: {1.01, 0.2}}[c.Mode]
			if worst > limit[0] || mean > limit[1] {
				t.Errorf("largest difference %.3f levels, mean %.4f; want at most %v", worst, mean, limit)
			}
		})
	}
}

// TestDecodeGolden: to the level with libjpeg; Go's decoder has another inverse DCT
// and repeats chroma where libjpeg smooths it.
func TestDecodeGolden(t *testing.T) {
	src, err := os.ReadFile(filepath.Join(reference, "decode.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	pix, w, h, err := Decode(src)
	if err != nil || w != 37 || h != 29 {
		t.Fatal(w, h, err)
	}
	worst, sum := 0, 0
	for i, want := range readGolden(t).Decode {
		d := int(pix[i]) - want
		worst, sum = max(worst, d, -d), sum+max(d, -d)
	}
	t.Logf("largest difference %d levels, mean %.2f", worst, float64(sum)/float64(len(pix)))
	if usesLibjpeg && worst > 0 || float64(sum)/float64(len(pix)) > 6 {
		t.Errorf("largest difference %d levels, mean %.2f", worst, float64(sum)/float64(len(pix)))
	}
}

var usesLibjpeg = func() bool {
	info, _ := debug.ReadBuildInfo()
	for _, s := range info.Settings {
		if s.Key == "CGO_ENABLED" {
			return s.Value == "1"
		}
	}
	return false
}()
