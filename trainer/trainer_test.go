package trainer

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"bagpipe/gpu"
	_ "bagpipe/gpu/host"
	"bagpipe/models"
	"bagpipe/shards"
)

// dataset writes shards of small JPEGs whose class shows in their colours: n for
// training and val held out. A name in bad gets bytes that are no picture.
func dataset(t *testing.T, classes, n, val int, bad ...string) *shards.Dataset {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data.shards")
	w, err := shards.NewWriter(dir, shards.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	add := func(split string, n int) {
		if n == 0 {
			return
		}
		if err := w.Split(split); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			name, label := fmt.Sprintf("%s-%d", split, i), i%classes
			data := picture(t, rnd, label)
			for _, b := range bad {
				if b == name {
					data = []byte{0xff, 0xd8, 0xff, 0xd9, 1, 2, 3}
				}
			}
			r := shards.Record{Meta: shards.Meta{Label: int32(label), Width: 20, Height: 18, Components: 3}, Name: name, Data: data, Raw: len(data)}
			if err := w.Add(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	add("train", n)
	add("val", val)
	var names []string
	for i := range classes {
		names = append(names, fmt.Sprintf("class%d", i))
	}
	if _, err := w.Finish(shards.Summary{Classes: names}); err != nil {
		t.Fatal(err)
	}
	d, err := shards.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// picture encodes noise around a colour of the class.
func picture(t *testing.T, rnd *rand.Rand, class int) []byte {
	img := image.NewRGBA(image.Rect(0, 0, 20, 18))
	base := [3]int{60 + 70*(class%3), 60 + 60*(class/3%3), 190 - 60*(class%3)}
	for i := range 20 * 18 {
		var c [3]uint8
		for k := range c {
			c[k] = uint8(max(0, min(255, base[k]+int(40*rnd.NormFloat64()))))
		}
		img.SetRGBA(i%20, i/20, color.RGBA{c[0], c[1], c[2], 255})
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// small is a recipe that trains in well under a second.
func small(t *testing.T, sets ...string) Config {
	t.Helper()
	c, err := Load("demo", append([]string{"batch=8", "epochs=3", "lr=0.05", "lr_batch=8", "input.size=16", "log_steps=2",
		"model=cifar-resnet20", "checkpoint_minutes=0"}, sets...))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// devices opens devices for the length of the test.
func devices(t *testing.T, spec string) Options {
	t.Helper()
	b, devs, err := gpu.Open(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, d := range devs {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return Options{Backend: b, Devices: devs, Workers: 2}
}

// options completes devices for a training.
func options(t *testing.T, spec string, d *shards.Dataset) Options {
	t.Helper()
	o := devices(t, spec)
	o.Data, o.Run = d, filepath.Join(t.TempDir(), "run")
	return o
}

// train runs a whole training.
func train(t *testing.T, c Config, o Options) Result {
	t.Helper()
	r, err := Train(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// lastFiles returns the bytes of a run's last checkpoint, weights then state.
func lastFiles(t *testing.T, run string) [2][]byte {
	t.Helper()
	s, err := readState(filepath.Join(checkpointDir(run), lastName))
	if err != nil {
		t.Fatal(err)
	}
	var files [2][]byte
	for i, name := range []string{s.Weights, s.State} {
		if files[i], err = os.ReadFile(filepath.Join(checkpointDir(run), name)); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// tensors reads a weights file.
func tensors(t *testing.T, file []byte) map[string]models.Tensor {
	t.Helper()
	w, err := models.ReadWeights(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]models.Tensor{}
	for _, name := range w.Names() {
		if all[name], err = w.Tensor(name); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// log is an Observer that keeps everything.
type log struct {
	start  Start
	steps  []Step
	epochs []Epoch
	notes  []string
	onStep func(Step)
}

func (l *log) Start(s Start) { l.start = s }
func (l *log) Step(s Step) {
	l.steps = append(l.steps, s)
	if l.onStep != nil {
		l.onStep(s)
	}
}
func (l *log) Epoch(e Epoch)    { l.epochs = append(l.epochs, e) }
func (l *log) Note(text string) { l.notes = append(l.notes, text) }

// losses returns the logged losses.
func (l *log) losses() (all []float64) {
	for _, s := range l.steps {
		if s.Logged {
			all = append(all, s.Loss)
		}
	}
	return all
}

// furthest is the largest relative difference of two series.
func furthest(t *testing.T, a, b []float64) (worst float64) {
	t.Helper()
	if len(a) != len(b) || len(a) == 0 {
		t.Fatalf("%d and %d values", len(a), len(b))
	}
	for i := range a {
		worst = max(worst, math.Abs(a[i]-b[i])/math.Abs(b[i]))
	}
	return worst
}
