package vision

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"bagpipe/gpu"
)

func (p pixels) image() *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, p.w, p.h))
	for i := range p.w * p.h {
		copy(m.Pix[4*i:], p.pix[3*i:3*i+3])
		m.Pix[4*i+3] = 255
	}
	return m
}

func asPNG(t testing.TB, p pixels) []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, p.image()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func asJPEG(t testing.TB, p pixels) []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, p.image(), &jpeg.Options{Quality: 92}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func newTest(t testing.TB, c Config, dt gpu.DType, train bool) *Processor {
	t.Helper()
	p, err := newProcessor(c, dt, train)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func asBytes(f []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(f))), 4*len(f))
}

// process returns the float32 sample of src.
func process(t testing.TB, p *Processor, src []byte, seed uint64, epoch, index int) []float32 {
	t.Helper()
	dst := make([]byte, 4*3*p.c.Size*p.c.Size)
	if err := p.Process(dst, src, seed, epoch, index); err != nil {
		t.Fatal(err)
	}
	return asFloats(dst)
}

// CIFAR's crop, to the pixel: the window of the padded picture that was drawn, the
// mean colour outside, turned over or not, normalised.
func TestPadPixels(t *testing.T) {
	for _, mode := range []string{Paper, MXNet2018, Torchvision} {
		c := Default(mode, 8)
		c.Crop, c.Padding = Pad, 4
		c.Hue, c.Saturation, c.Brightness, c.Contrast, c.Lighting = 0, 0, 0, 0, 0
		p, src := newTest(t, c, gpu.Float32, true), scene(7, 8, 8)
		file := asPNG(t, src)
		flips := 0
		for index := range 200 {
			got := process(t, p, file, 1, 0, index)
			at := p.params.Crop
			for y := range 8 {
				for x := range 8 {
					from := x
					if p.params.Flip {
						from = 7 - x
					}
					sx, sy := at.X+from, at.Y+y
					for k := range 3 {
						level := math.Round(c.Mean[k])
						if sx >= 0 && sy >= 0 && sx < 8 && sy < 8 {
							level = float64(src.pix[3*(8*sy+sx)+k])
						}
						want := (level - c.Mean[k]) / c.Std[k]
						if d := float64(got[3*(8*y+x)+k]) - want; math.Abs(d) > 1e-5 {
							t.Fatalf("%s: crop %+v, flip %v: pixel %d,%d channel %d is %g, want %g", mode, at, p.params.Flip, x, y, k, got[3*(8*y+x)+k], want)
						}
					}
				}
			}
			if p.params.Flip {
				flips++
			}
		}
		if flips < 60 || flips > 140 {
			t.Errorf("%s: %d flips of 200", mode, flips)
		}
	}
}

// A sample is a function of seed, epoch and index, whatever was made before it.
func TestSamplesDependOnTheirNumberOnly(t *testing.T) {
	files := [][]byte{asJPEG(t, scene(1, 60, 45)), asJPEG(t, scene(2, 40, 64)), asPNG(t, scene(3, 30, 200))}
	for _, mode := range []string{Paper, MXNet2018, Torchvision} {
		p := newTest(t, Default(mode, 16), gpu.Float32, true)
		var first [][]float32
		for i := range 30 {
			first = append(first, process(t, p, files[i%3], 5, 2, i))
		}
		again := newTest(t, Default(mode, 16), gpu.Float32, true)
		for i := 29; i >= 0; i-- {
			if !slices.Equal(process(t, again, files[i%3], 5, 2, i), first[i]) {
				t.Fatalf("%s: sample %d differs when made in another order", mode, i)
			}
		}
		for name, other := range map[string][]float32{
			"seed": process(t, p, files[0], 6, 2, 0), "epoch": process(t, p, files[0], 5, 3, 0), "index": process(t, p, files[0], 5, 2, 1),
		} {
			if slices.Equal(other, first[0]) {
				t.Errorf("%s: another %s gives the same sample", mode, name)
			}
		}
		eval := newTest(t, Default(mode, 16), gpu.Float32, false)
		if !slices.Equal(process(t, eval, files[0], 1, 1, 1), process(t, eval, files[0], 2, 2, 2)) {
			t.Errorf("%s: evaluation is random", mode)
		}
	}
}

// Processors share nothing: four at once make what one makes.
func TestProcessorsAtOnce(t *testing.T) {
	files := [][]byte{asJPEG(t, scene(1, 60, 45)), asJPEG(t, scene(2, 40, 64)), asPNG(t, scene(3, 30, 200))}
	const each = 25
	for _, mode := range []string{Paper, MXNet2018} {
		one := newTest(t, Default(mode, 16), gpu.Float32, true)
		var want, got [4 * each][]float32
		for i := range want {
			want[i] = process(t, one, files[i%3], 5, 2, i)
		}
		var wg sync.WaitGroup
		for w := range 4 {
			p := newTest(t, Default(mode, 16), gpu.Float32, true)
			wg.Go(func() {
				for i := w; i < len(got); i += 4 {
					dst := make([]float32, 3*16*16)
					if err := p.Process(asBytes(dst), files[i%3], 5, 2, i); err != nil {
						t.Error(err)
					}
					got[i] = dst
				}
			})
		}
		wg.Wait()
		for i := range want {
			if !slices.Equal(got[i], want[i]) {
				t.Fatalf("%s: sample %d differs", mode, i)
			}
		}
	}
}

// The 16-bit samples are the float32 ones, rounded once.
func TestHalfSamples(t *testing.T) {
	files := [][]byte{asJPEG(t, scene(4, 60, 45)), asPNG(t, scene(5, 33, 70))}
	for _, train := range []bool{true, false} {
		for _, c := range []Config{Default(Paper, 16), Default(MXNet2018, 16), Default(Torchvision, 16), exact(Default(Paper, 16))} {
			for dt, narrow := range map[gpu.DType]func(float32) uint16{gpu.Float16: gpu.ToFloat16, gpu.BFloat16: gpu.ToBFloat16} {
				wide, p := newTest(t, c, gpu.Float32, train), newTest(t, c, dt, train)
				dst := make([]byte, 2*3*16*16)
				for i := range 12 {
					want := process(t, wide, files[i%2], 3, 0, i)
					if err := p.Process(dst, files[i%2], 3, 0, i); err != nil {
						t.Fatal(err)
					}
					for k, got := range asHalves(dst) {
						if got != narrow(want[k]) {
							t.Fatalf("%s %v: element %d is %#04x, want %#04x of %g", c.Mode, dt, k, got, narrow(want[k]), want[k])
						}
					}
				}
			}
		}
	}
}

func exact(c Config) Config { c.Exact = true; return c }

func TestSlotSize(t *testing.T) {
	p := newTest(t, Default(Paper, 16), gpu.BFloat16, false)
	for _, size := range []int{0, 16*16*3*2 - 1, 16 * 16 * 3 * 4} {
		if err := p.Process(make([]byte, size), nil, 0, 0, 0); err == nil || !strings.Contains(err.Error(), "want 1536") {
			t.Errorf("slot of %d bytes: %v", size, err)
		}
	}
}

// A strip's resized whole can be a thousand times as large as the strip: only the crop
// of it is made. Whole, these would take 4 to 13 GB.
func TestStripsStaySmall(t *testing.T) {
	for _, s := range [][2]int{{60000, 1}, {1, 60000}, {50000, 3}, {2, 40000}, {30000, 4}} {
		file := asPNG(t, pixels{make([]byte, 3*s[0]*s[1]), s[0], s[1]})
		for _, mode := range []string{Paper, MXNet2018, Torchvision} {
			for _, train := range []bool{true, false} {
				p := newTest(t, Default(mode, 224), gpu.Float32, train)
				before := allocated()
				process(t, p, file, 1, 0, 0)
				if mb := (allocated() - before) >> 20; mb > 64 {
					t.Errorf("%s: a picture of %dx%d takes %d MB", mode, s[0], s[1], mb)
				}
			}
		}
	}
}

// allocated returns the bytes that the Go heap has handed out so far.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// In the steady state a JPEG costs no memory, but for the three small objects (a wait
// group and two closures) that rez makes on each of its two passes. The pure-Go
// decoder makes a new picture each time.
func TestProcessAllocatesNothing(t *testing.T) {
	if !usesLibjpeg {
		t.Skip("image/jpeg allocates")
	}
	const rezMakes = 6
	file := asJPEG(t, scene(6, 500, 375))
	pad := Default(Paper, 32)
	pad.Crop, pad.Padding = Pad, 4
	for _, c := range []struct {
		name  string
		c     Config
		file  []byte
		train bool
		want  float64
	}{
		{"mxnet", Default(MXNet2018, 224), file, true, 0},
		{"mxnet eval", Default(MXNet2018, 224), file, false, 0},
		{"cifar", pad, asJPEG(t, scene(6, 32, 32)), true, 0},
		{"paper", Default(Paper, 32), asJPEG(t, scene(6, 60, 45)), true, rezMakes},
		{"paper exact", exact(Default(Paper, 16)), asJPEG(t, scene(6, 50, 45)), true, rezMakes},
		{"paper eval", Default(Paper, 224), file, false, rezMakes},
	} {
		for _, dt := range []gpu.DType{gpu.Float32, gpu.Float16} {
			t.Run(fmt.Sprint(c.name, " ", dt), func(t *testing.T) {
				p, index := newTest(t, c.c, dt, c.train), 0
				dst := make([]byte, dt.Size()*3*c.c.Size*c.c.Size)
				one := func() {
					index++
					if err := p.Process(dst, c.file, 1, 0, index); err != nil {
						t.Fatal(err)
					}
				}
				for warm := 0; c.want > 0 && c.train && warm < 1500 || warm < 20; warm++ { // until every table has been used
					one()
				}
				before := allocated()
				n := testing.AllocsPerRun(100, one)
				if bytes := (allocated() - before) / 101; n > c.want || bytes > 1024 {
					t.Errorf("a picture costs %v allocations of %d bytes, want %v", n, bytes, c.want)
				}
			})
		}
	}
}

func BenchmarkProcess(b *testing.B) {
	file := asJPEG(b, scene(6, 500, 375))
	for _, c := range []Config{Default(Paper, 224), exact(Default(Paper, 224)), Default(MXNet2018, 224), Default(Torchvision, 224)} {
		name := c.Mode
		if c.Exact {
			name += "-exact"
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			p := newTest(b, c, gpu.Float32, true)
			dst := make([]byte, 4*3*224*224)
			index := 0
			for b.Loop() {
				index++
				if err := p.Process(dst, file, 1, 0, index); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "img/s")
		})
	}
}
