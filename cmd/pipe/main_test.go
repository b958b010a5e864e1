package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"bagpipe/bench"
	"bagpipe/ingest"
	"bagpipe/internal/cli"
	"bagpipe/stages/vision"
	"bagpipe/trainer"

	"github.com/alecthomas/kong"
)

// scratch is the folder of the tests' fixtures.
var scratch string

func TestMain(m *testing.M) {
	var err error
	if scratch, err = os.MkdirTemp("", "pipe-test-"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(scratch)
	os.Exit(code)
}

// pipe runs a command line and returns what a process would.
func pipe(args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	code = run(context.Background(), args, cli.Streams{Out: &o, Err: &e})
	return code, o.String(), e.String()
}

// pipeOK fails the test unless the command succeeds.
func pipeOK(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errs := pipe(args...)
	if code != cli.OK {
		t.Fatalf("pipe %s: code %d: %s", strings.Join(args, " "), code, errs)
	}
	return out
}

// pictures is a data set of ten classes, and the folder it was made from.
var pictures = sync.OnceValues(func() (set, folder string) {
	folder = filepath.Join(scratch, "pictures")
	set = folder + ".shards"
	p := bench.Pictures{Train: 6, Val: 2, MinSide: 32, MaxSide: 40, Noise: 5, Quality: 80}
	if err := p.Write(context.Background(), folder); err != nil {
		panic(err)
	}
	if _, err := ingest.Shardify(context.Background(), folder, set, ingest.Options{Decode: vision.Decode, Header: vision.Meta}); err != nil {
		panic(err)
	}
	return set, folder
})

// trainArgs are the arguments of a training of a few steps.
func trainArgs(run string, more ...string) []string {
	set, _ := pictures()
	return append([]string{"train", "--data", set, "--recipe", "demo", "--run", run, "--batch", "20", "--set", "log_steps=1"}, more...)
}

// model is a run that has been trained for two epochs.
var model = sync.OnceValue(func() string {
	run := filepath.Join(scratch, "run")
	if code, _, errs := pipe(trainArgs(run, "--epochs", "2", "--set", "warmup_epochs=0", "-q")...); code != cli.OK {
		panic(errs)
	}
	return run
})

// TestUsage holds faults of the command line to one line, exit code 2 and the
// nearest word.
func TestUsage(t *testing.T) {
	set, _ := pictures()
	for _, c := range []struct{ args, want string }{
		{"tran", `"train"`},
		{"train", "--data"},
		{"train --dta x", `"--data"`},
		{"train --data x --epoch 3", `"--epochs"`},
		{"train --data x --recipe demmo", `nearest is "demo"`},
		{"train --data x --recipe demo --set epocs=3", `nearest is "epochs"`},
		{"train --data x --recipe demo --set model=resnet5", `nearest is "resnet50"`},
		{"train --data x --recipe demo --set lr", "KEY=VALUE"},
		{"train --data x --recipe demo --set lr=fast", "lr"},
		{"train --data x --recipe demo --epochs 0", "epochs"},
		{"train --data x --recipe demo --epochs many", "--epochs"},
		{"train --data x --workers -1", "--workers"},
		{"train --data x --recipe demo --workers 4097", "--workers 4097, want 0 to 4096"},
		{"eval --data x --model y --workers 4097", "--workers 4097, want 0 to 4096"},
		{"bench --workers 1000000000", "--workers 1000000000, want 0 to 4096"},
		{"train --data " + set + " --recipe demo --device cude", `nearest is "cuda"`},
		{"train --data " + set + " --recipe demo --device cpu:x", "cpu:x"},
		{"predict --model x", "image"},
		{"predict --model x -k 0 y.jpg", "-k 0"},
		{"show resnet50dd", `nearest is "resnet50d"`},
		{"show resnet50 --size -1", "--size"},
		{"show resnet50 --batch 0", "--batch"},
		{"bench --mode papper", `nearest: "paper"`},
		{"bench --train --model resnet5", `nearest is "resnet50"`},
		{"bench --images -1", "--images"},
		{"bench --need -1", "--need"},
		{"bench --seconds -1", "--seconds"},
		{"bench --seconds 1 --images 5", "--seconds"},
		{"bench --graph x.png", "--log"},
		{"train --data x --memory 8", "512MiB"},
		{"bench --need 5 --plan 8xH100", "exclude"},
		{"bench --plan 8xH10", `nearest is "H100"`},
		{"train --data x --recipe demo --workers some", "--workers some"},
		{"demo --shrot", `"--short"`},
	} {
		code, out, errs := pipe(strings.Fields(c.args)...)
		if code != cli.Usage || !strings.Contains(errs, c.want) || strings.Count(errs, "\n") != 1 || out != "" {
			t.Errorf("pipe %s: code %d, %q, %q; want code 2 and one line with %s", c.args, code, out, errs, c.want)
		}
	}
}

// TestFailure holds faults of the world to one line, exit code 1, place and remedy.
func TestFailure(t *testing.T) {
	set, folder := pictures()
	empty := t.TempDir()
	file := filepath.Join(empty, "file.safetensors")
	if err := os.WriteFile(file, []byte("not weights"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, want string }{
		{"train --recipe demo --data " + empty + "/none", "shardify"},
		{"train --recipe demo --data " + folder, "shardify"},
		{"train --recipe demo --device cuda --data " + set, "no CUDA backend yet"},
		{"train --recipe demo --data " + set + " --batch 20 --run " + model(), "--resume"},
		{"train --recipe demo --data " + set + " --resume --run " + empty, "--resume"},
		{"train --recipe demo --data " + set + " --batch 1000 --run " + empty + "/run", "lower batch"},
		{"eval --data " + set + " --model " + empty + "/none", "want a run directory"},
		{"eval --data " + set + " --model " + empty, "checkpoint"},
		{"eval --data " + set + " --model " + file, "file.safetensors"},
		{"eval --data " + set + " --split left --model " + model(), "no split"},
		{"eval --data " + folder + " --model " + model(), "shardify"},
		{"bench --data " + folder, "shardify"},
		{"demo --dir " + empty, "choose another --dir"},
		{"demo --dir " + file, "choose another --dir"},
		{"show resnet50 --size 8192 --batch 1048576", ""},
	} {
		code, _, errs := pipe(strings.Fields(c.args)...)
		if c.want == "" {
			continue // any end that is no panic
		}
		if code != cli.Failure || !strings.Contains(errs, c.want) || !strings.HasPrefix(lastLine(errs), "pipe: ") {
			t.Errorf("pipe %s: code %d, %q; want code 1 and a line with %s", c.args, code, errs, c.want)
		}
	}
}

func lastLine(s string) string {
	s = strings.TrimSuffix(s, "\n")
	return s[strings.LastIndex(s, "\n")+1:]
}

// TestHelpExamplesParse takes the examples from every help page to the parser.
func TestHelpExamplesParse(t *testing.T) {
	pages := []string{"--help"}
	for _, c := range []string{"train", "eval", "predict", "bench", "preview", "diff", "show", "recipes", "devices", "demo"} {
		pages = append(pages, c+" --help")
	}
	for _, page := range pages {
		examples := 0
		for _, line := range strings.Split(pipeOK(t, strings.Fields(page)...), "\n") {
			if line = strings.TrimSpace(line); !strings.HasPrefix(line, "pipe ") {
				continue
			}
			examples++
			parser, err := kong.New(&grammar{}, kong.Exit(func(int) {}))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parser.Parse(strings.Fields(line)[1:]); err != nil {
				t.Errorf("pipe %s: example %q: %v", page, line, err)
			}
		}
		if examples == 0 {
			t.Errorf("pipe %s shows no example", page)
		}
	}
}

func TestShow(t *testing.T) {
	list := pipeOK(t, "show")
	for _, want := range []string{"resnet50d", "25.58 M", "cifar-resnet20", "269.7 k"} {
		if !strings.Contains(list, want) {
			t.Errorf("show lacks %q:\n%s", want, list)
		}
	}
	table := pipeOK(t, "show", "resnet50d", "--batch", "2", "--size", "160", "--classes", "7")
	for _, want := range []string{"layer4.2.conv3", "conv2d", "2×5×5×2048", "2×7", "2 x 160 x 160 x 3, 7 classes"} {
		if !strings.Contains(table, want) {
			t.Errorf("show resnet50d lacks %q:\n%s", want, table)
		}
	}
	var m modelCost
	decode(t, pipeOK(t, "show", "resnet50", "--json"), &m)
	if m.Params != 25557032 || m.MACs < 3.8e9 || m.MACs > 3.9e9 || len(m.Layers) < 100 {
		t.Errorf("resnet50: %d parameters, %d MACs, %d layers", m.Params, m.MACs, len(m.Layers))
	}
	var all []modelCost
	decode(t, pipeOK(t, "show", "--json"), &all)
	if len(all) < 20 || all[0].Layers != nil {
		t.Errorf("%d models, first %+v", len(all), all[0])
	}
}

func TestRecipes(t *testing.T) {
	text := pipeOK(t, "recipes")
	var lines []recipeLine
	decode(t, pipeOK(t, "recipes", "--json"), &lines)
	if len(lines) != len(trainer.Recipes()) {
		t.Fatalf("%d lines for %d recipes", len(lines), len(trainer.Recipes()))
	}
	for _, l := range lines {
		if l.Name == "" || l.Title == "" || l.Expected == "" || l.Model == "" || l.Epochs < 1 {
			t.Errorf("recipe %+v", l)
		}
		if !strings.Contains(text, l.Name) || !strings.Contains(text, l.Title) || !strings.Contains(text, l.Expected) {
			t.Errorf("recipe %s is not in the text:\n%s", l.Name, text)
		}
	}
}

func TestDevices(t *testing.T) {
	text := pipeOK(t, "devices")
	var list deviceList
	decode(t, pipeOK(t, "devices", "--json"), &list)
	if len(list.Devices) == 0 || list.Devices[0].Name != "cpu:0" || list.Devices[0].Threads < 1 || len(list.Backends) < 2 {
		t.Errorf("devices %+v", list)
	}
	for _, b := range list.Backends {
		if !strings.Contains(text, b.Kind) || !b.Usable && (b.Why == "" || !strings.Contains(text, b.Why)) {
			t.Errorf("backend %+v is not explained:\n%s", b, text)
		}
	}
}

// TestTrainEvalPredict goes the whole way in a few steps.
func TestTrainEvalPredict(t *testing.T) {
	set, folder := pictures()
	run := filepath.Join(t.TempDir(), "run")
	var r trained
	code, out, errs := pipe(trainArgs(run, "--epochs", "1", "--set", "warmup_epochs=0", "--json", "--workers", "1")...)
	if code != cli.OK {
		t.Fatal(errs)
	}
	decode(t, out, &r)
	if r.Run != run || r.Steps != 3 || r.Epochs != 1 || r.Images != 20 || r.Interrupted || len(r.Input) == 0 {
		t.Errorf("trained %+v", r)
	}
	for _, want := range []string{"60 pictures to train and 20 to evaluate, 10 classes", "epoch 1/1", "3 of 3 steps"} {
		if !strings.Contains(errs, want) {
			t.Errorf("progress lacks %q:\n%s", want, errs)
		}
	}
	var e evaluated
	decode(t, pipeOK(t, "eval", "--data", set, "--model", run, "--json"), &e)
	if e.Images != 20 || e.Top1 != r.Top1 || e.Split != "val" || e.Loss <= 0 {
		t.Errorf("evaluated %+v, trained %+v", e, r)
	}
	text := pipeOK(t, "eval", "--data", set, "--model", e.Source)
	for _, want := range []string{fmt.Sprintf("top-1 %.2f %%", e.Top1), "top-5", "loss", "20 pictures"} {
		if !strings.Contains(text, want) {
			t.Errorf("eval lacks %q: %s", want, text)
		}
	}
	picture := filepath.Join(folder, "val", "ring", "00000.jpg")
	text = pipeOK(t, "predict", "--model", run, "-k", "3", picture)
	if lines := strings.Split(strings.TrimSpace(text), "\n"); len(lines) != 4 || lines[0] != picture || !strings.Contains(lines[1], " %  ") {
		t.Errorf("predict: %q", text)
	}
}

// TestPredictGoesOn puts bad pictures between good ones.
func TestPredictGoesOn(t *testing.T) {
	_, folder := pictures()
	good := filepath.Join(folder, "val", "ring", "00000.jpg")
	bad := filepath.Join(t.TempDir(), "bad.jpg")
	if err := os.WriteFile(bad, []byte("\xff\xd8\xff\xe0 and no more"), 0o666); err != nil {
		t.Fatal(err)
	}
	files := []string{good, bad, bad + ".none", folder, good}
	code, out, errs := pipe(append([]string{"predict", "--json", "-k", "100", "--model", model()}, files...)...)
	if code != cli.Failure {
		t.Errorf("code %d with bad pictures", code)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != len(files) {
		t.Fatalf("%d lines for %d pictures: %s", len(lines), len(files), out)
	}
	for i, line := range lines {
		var p predicted
		decode(t, line, &p)
		isGood := i == 0 || i == 4
		if p.File != files[i] || isGood != (p.Error == "") || isGood != (len(p.Predictions) == 10) {
			t.Errorf("picture %d: %s", i, line)
		}
		if !isGood && !strings.Contains(errs, "pipe: "+files[i]+": ") {
			t.Errorf("no error names %s: %s", files[i], errs)
		}
		sum := 0.0
		for _, c := range p.Predictions {
			sum += c.Probability
		}
		if isGood && (sum < 0.999 || sum > 1.001) {
			t.Errorf("probabilities add up to %g", sum)
		}
	}
	if strings.Contains(errs, "ring/00000") || !strings.Contains(errs, "3 of 5") {
		t.Errorf("errors: %s", errs)
	}
}

// TestEvalRefusesOtherClasses evaluates on a set that lacks a class.
func TestEvalRefusesOtherClasses(t *testing.T) {
	_, folder := pictures()
	other := filepath.Join(t.TempDir(), "other")
	if err := os.CopyFS(other, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	for _, split := range []string{"train", "val"} {
		if err := os.Rename(filepath.Join(other, split, "ring"), filepath.Join(other, split, "sting")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ingest.Shardify(context.Background(), other, other+".shards", ingest.Options{Decode: vision.Decode, Header: vision.Meta}); err != nil {
		t.Fatal(err)
	}
	code, _, errs := pipe("eval", "--data", other+".shards", "--model", model())
	if code != cli.Failure || !strings.Contains(errs, "other classes") || !strings.Contains(errs, "ring") {
		t.Errorf("code %d: %s", code, errs)
	}
}

// stopper ends a context once a text has passed.
type stopper struct {
	io.Writer
	at   string
	stop func()
}

func (s stopper) Write(b []byte) (int, error) {
	if strings.Contains(string(b), s.at) {
		s.stop()
	}
	return s.Writer.Write(b)
}

// TestStopAndResume stops a training as a signal does and follows the advice given.
func TestStopAndResume(t *testing.T) {
	set, _ := pictures()
	t.Chdir(t.TempDir())
	ctx, stop := context.WithCancel(context.Background())
	var out, errs bytes.Buffer
	args := []string{"train", "--data", set, "--recipe", "demo", "--batch", "20", "--epochs", "3", "--set", "warmup_epochs=0"}
	code := run(ctx, args, cli.Streams{Out: &out, Err: stopper{&errs, "epoch 1/3", stop}})
	if code != cli.Failure || !strings.Contains(errs.String(), "stopped after step ") {
		t.Fatalf("code %d: %s", code, &errs)
	}
	_, advice, ok := strings.Cut(lastLine(errs.String()), "go on with: pipe ")
	if !ok {
		t.Fatalf("no advice: %s", &errs)
	}
	var last trained
	decode(t, pipeOK(t, append(strings.Fields(advice), "--json")...), &last)
	if last.Steps != 9 || last.Interrupted {
		t.Errorf("resumed to %+v", last)
	}
	// Without --run, the last one of the recipe is meant; it is at its end.
	var again trained
	decode(t, pipeOK(t, "train", "--data", set, "--resume", "--json"), &again)
	if again.Run != last.Run || again.Steps != 9 {
		t.Errorf("resumed %+v, want %+v", again, last)
	}
	if code, _, errs := pipe("train", "--data", set, "--recipe", "cifar10-resnet20", "--resume"); code != cli.Failure || !strings.Contains(errs, "--run") {
		t.Errorf("no run of the recipe: code %d, %s", code, errs)
	}
}

func TestCompareTellsRunsApart(t *testing.T) {
	dir := t.TempDir()
	runs := []string{filepath.Join(dir, "a", "run"), filepath.Join(dir, "b", "run"), filepath.Join(dir, "other")}
	for _, run := range runs {
		if err := os.MkdirAll(run, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(run, "metrics.jsonl"), []byte(`{"epoch":0,"top1":50,"train_loss":1}`+"\n"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	out := pipeOK(t, append([]string{"compare", "-o", filepath.Join(dir, "curves.png")}, runs...)...)
	for _, want := range []string{"\n" + runs[0] + " ", "\n" + runs[1] + " ", "\nother "} {
		if !strings.Contains(out, want) {
			t.Errorf("no line begins with %q:\n%s", want, out)
		}
	}
}

func TestBench(t *testing.T) {
	set, _ := pictures()
	var r bench.Result
	decode(t, pipeOK(t, "bench", "--data", set, "--size", "32", "--images", "100", "--workers", "2", "--json"), &r)
	if r.Images < 100 || r.Workers != 2 || r.Batch != 60 || r.Bottleneck == "" || r.CPUSecondsPerImage < 0 {
		t.Errorf("measured %+v", r)
	}
	if r.Plan != nil {
		t.Errorf("a plan nobody asked for: %+v", r.Plan)
	}
	decode(t, pipeOK(t, "bench", "--data", set, "--size", "32", "--images", "100", "--eval", "--type", "float16", "--json"), &r)
	if r.Images < 100 || r.Bad != 0 {
		t.Errorf("measured %+v of evaluation", r)
	}
	if code, _, text := pipe("bench", "--data", set, "--seconds", "5", "--log", filepath.Join(t.TempDir(), "log"), "--graph", "nowhere/graph.png"); code != 1 || !strings.Contains(text, "choose another --graph") {
		t.Errorf("a graph in no folder: exit %d: %s", code, text)
	}
	for _, wrong := range [][]string{{"--type", "int32"}, {"--type", "float8"}, {"--train", "--eval"}, {"--train", "--type", "float16"}} {
		if code, _, text := pipe(append([]string{"bench"}, wrong...)...); code != 2 {
			t.Errorf("%v: exit %d, want 2: %s", wrong, code, text)
		}
	}
	dir := t.TempDir()
	profiles := []string{"--cpuprofile", filepath.Join(dir, "cpu"), "--memprofile", filepath.Join(dir, "mem"), "--trace", filepath.Join(dir, "trace")}
	decode(t, pipeOK(t, append([]string{"bench", "--data", set, "--size", "32", "--images", "100", "--plan", "8xV100", "--json"}, profiles...)...), &r)
	if r.Plan == nil || r.Plan.Need != 10723 || r.Plan.Cores < 1 || r.Plan.BytesPerImage < 100 || r.Plan.RingBytes < 1 {
		t.Errorf("plan %+v", r.Plan)
	}
	for i := 1; i < len(profiles); i += 2 {
		if fi, err := os.Stat(profiles[i]); err != nil || fi.Size() == 0 {
			t.Errorf("%s: %v, %v", profiles[i-1], fi, err)
		}
	}
	text := pipeOK(t, "bench", "--data", set, "--size", "32", "--images", "20", "--train", "--model", "cifar-resnet20", "--need", "100", "-q")
	for _, want := range []string{"vision", "device", "cpu s", "img/s", "-bound: ", "100 img/s take "} {
		if !strings.Contains(text, want) {
			t.Errorf("the table lacks %q:\n%s", want, text)
		}
	}
}

func TestPreview(t *testing.T) {
	set, _ := pictures()
	out := filepath.Join(t.TempDir(), "sheet.png")
	pipeOK(t, "preview", "--data", set, "--recipe", "demo", "--images", "9", "--out", out)
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, err := png.DecodeConfig(f)
	if err != nil || c.Width != 6*232 || c.Height != 2*(224+68) {
		t.Errorf("%+v, %v", c, err)
	}
	if code, _, _ := pipe("preview", "--data", set, "--images", "0"); code != cli.Usage {
		t.Errorf("no images: code %d", code)
	}
}

// TestDemoOwnsItsFolder checks what the demo may overwrite.
func TestDemoOwnsItsFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	c := demoCmd{Dir: dir}
	if err := c.claim(); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(dir, "run", "config.toml")
	if err := os.Mkdir(filepath.Dir(old), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(old, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := c.claim(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); err == nil {
		t.Error("the old run is still there")
	}
}

func TestShellWord(t *testing.T) {
	for in, want := range map[string]string{"runs/a": "runs/a", "my run": "'my run'", "it's": `'it'\''s'`, "": "''"} {
		if got := cli.Word(in); got != want {
			t.Errorf("%q becomes %s, want %s", in, got, want)
		}
	}
}

func decode(t *testing.T, text string, to any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), to); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}
