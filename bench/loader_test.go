package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"bagpipe/batcher"
	"bagpipe/gpu"
	"bagpipe/ingest"
	"bagpipe/shards"
	"bagpipe/stages"
	"bagpipe/stages/vision"
)

// input is a loader's configuration over a few drawn pictures.
func input(t *testing.T) batcher.Config {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "set")
	p := Pictures{Train: 4, MinSide: 32, MaxSide: 48, Noise: 5, Quality: 80}
	if err := p.Write(context.Background(), dir); err != nil {
		t.Fatal(err)
	}
	if _, err := ingest.Shardify(context.Background(), dir, dir+".shards", ingest.Options{Decode: vision.Decode, Header: vision.Meta}); err != nil {
		t.Fatal(err)
	}
	data, err := shards.Open(dir + ".shards")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { data.Close() })
	split, err := data.Split("train")
	if err != nil {
		t.Fatal(err)
	}
	return batcher.Config{Source: split, Vision: vision.Default(vision.Paper, 32), DType: gpu.Float32, Batch: 8, Workers: 2}
}

func TestLoaderCountsWhatItMeasures(t *testing.T) {
	shown := []int{}
	r, err := Loader(context.Background(), Config{Input: input(t), Images: 50, Progress: func(n int) { shown = append(shown, n) }})
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{8, 16, 24, 32, 40, 48, 56}; !slices.Equal(shown, want) || r.Images != 56 {
		t.Errorf("%d images after %v, want whole batches: %v", r.Images, shown, want)
	}
	if got := float64(r.Images) / r.Seconds; math.Abs(got/r.ImagesPerSecond-1) > 1e-9 {
		t.Errorf("%g images a second, want %g", r.ImagesPerSecond, got)
	}
	if all := r.CPUSecondsPerImage * float64(r.Images); all < 0 || all > 1.1*r.Seconds*float64(runtime.NumCPU())+0.05 {
		t.Errorf("%g CPU seconds in %g seconds on %d cores", all, r.Seconds, runtime.NumCPU())
	}
	names := []string{}
	for _, s := range r.Stages {
		names = append(names, s.Name)
		if s.N < int64(r.Images)-24 || s.N > int64(r.Images)+24 || s.Busy < 0 || s.Starved < 0 || s.Blocked < 0 {
			t.Errorf("stage %+v for %d images and a ring of 24", s, r.Images)
		}
		if all := s.Busy + s.Starved + s.Blocked; all > 1.5*r.Seconds*float64(s.Workers)+0.1 {
			t.Errorf("stage %s was at work for %g s in %g s", s.Name, all, r.Seconds)
		}
	}
	if !slices.Contains(names, r.Bottleneck) || r.Bottleneck == "consumer" {
		t.Errorf("bottleneck %q of %v", r.Bottleneck, names)
	}
	var text bytes.Buffer
	r.Table(&text)
	for _, want := range append(names, "starved s", "cpu s", "CPU ms an image", r.Verdict) {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &text)
		}
	}
}

func TestResultAsJSON(t *testing.T) {
	r := Result{Images: 3, Seconds: 2, Stages: []Stage{{Name: "read"}}}
	var out bytes.Buffer
	if err := r.JSON(&out); err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(out.Bytes(), &fields); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"images", "seconds", "images_per_second", "cpu_seconds_per_image", "stages", "bottleneck"} {
		if _, ok := fields[f]; !ok {
			t.Errorf("no %q in %s", f, &out)
		}
	}
	stage, _ := fields["stages"].([]any)[0].(map[string]any)
	for _, f := range []string{"name", "n", "busy", "starved", "blocked", "cpu", "queue"} {
		if _, ok := stage[f]; !ok {
			t.Errorf("no %q in a stage of %s", f, &out)
		}
	}
	if strings.Count(out.String(), "\n") != 1 {
		t.Errorf("not one line: %s", &out)
	}
}

func TestLoaderTrains(t *testing.T) {
	_, devs, err := gpu.Open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	defer devs[0].Close()
	step, err := NewStep(devs[0], nil, "cifar-resnet20", 8, 32, 10)
	if err != nil {
		t.Fatal(err)
	}
	defer step.Close()
	r, err := Loader(context.Background(), Config{Input: input(t), Images: 16, Step: step})
	if err != nil {
		t.Fatal(err)
	}
	last := r.Stages[len(r.Stages)-1]
	if r.Images != 16 || last.Name != "device" || last.Busy <= 0 {
		t.Errorf("%d images, last stage %+v", r.Images, last)
	}
	loss := make([]byte, 4)
	if err := step.stream.Download(loss, step.Program.Buffer("loss")); err != nil {
		t.Fatal(err)
	}
	if string(loss) == "\x00\x00\x00\x00" {
		t.Error("a loss of 0: nothing was trained")
	}
	if _, err := NewStep(devs[0], nil, "resnet5", 8, 32, 10); err == nil || !strings.Contains(err.Error(), "resnet50") {
		t.Errorf("unknown model: %v", err)
	}
}

func TestLoaderFails(t *testing.T) {
	in := input(t)
	if _, err := Loader(context.Background(), Config{Input: in}); err == nil {
		t.Error("measured no images")
	}
	large := in
	large.Batch = 1000
	if _, err := Loader(context.Background(), Config{Input: large, Images: 1}); err == nil || !strings.Contains(err.Error(), "40") {
		t.Errorf("a batch larger than the split: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stop := func(int) { cancel() }
	if _, err := Loader(ctx, Config{Input: in, Images: 1e9, Progress: stop}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestProcessTimeGrowsWithWork(t *testing.T) {
	before := stages.ProcessCPU()
	if before == 0 {
		t.Skip("the system does not tell")
	}
	x := 1.0
	for begin := time.Now(); stages.ProcessCPU()-before < 20*time.Millisecond; {
		for range 100000 {
			x = math.Sqrt(x + 1)
		}
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("20 ms of work not seen in 10 s (%g)", x)
		}
	}
}
