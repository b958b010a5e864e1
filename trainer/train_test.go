package trainer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLearns trains a small network on colours that tell the classes apart.
func TestLearns(t *testing.T) {
	d := dataset(t, 3, 48, 15)
	o := options(t, "cpu:0", d)
	var l log
	o.Observer = &l
	r := train(t, small(t, "epochs=6"), o)
	if r.Top1 < 90 || r.Images != 15 || r.Steps != 36 || r.Epochs != 6 || r.Interrupted {
		t.Errorf("result %+v, want at least 90 %% of 15 pictures after 36 steps", r)
	}
	if l.start.StepsPerEpoch != 6 || l.start.TrainN != 48 || l.start.ValN != 15 || l.start.DataHash != d.Hash || l.start.Params != 269267 {
		t.Errorf("start %+v", l.start)
	}
	if len(l.steps) != 36 || len(l.epochs) != 6 || !l.epochs[0].Best || !l.epochs[5].Evaluated {
		t.Errorf("told of %d steps and %d epochs", len(l.steps), len(l.epochs))
	}
	m, err := OpenModel(o.Run)
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "cifar-resnet20" || len(m.Classes) != 3 || m.Input.Size != 16 {
		t.Errorf("model %+v", m)
	}
	split, _ := d.Split("val")
	again, err := Evaluate(t.Context(), m, split, o)
	if err != nil {
		t.Fatal(err)
	}
	if again.Top1 != r.BestTop1 || again.Images != 15 {
		t.Errorf("the best checkpoint evaluates to %+v, the run said %v", again, r.BestTop1)
	}
	src, err := split.Read(4, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := m.Predict(o.Devices[0], src, 2)
	if err != nil {
		t.Fatal(err)
	}
	if len(p) != 2 || p[0].Class != m.Classes[4%3] || p[0].Probability < p[1].Probability {
		t.Errorf("predictions %+v, want %s first", p, m.Classes[4%3])
	}
	if _, err := m.Predict(o.Devices[0], []byte("no picture"), 2); err == nil {
		t.Error("no error for bytes that are no picture")
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

// variants of a recipe that keep different things from step to step.
var variants = map[string][]string{
	"plain":      nil,
	"mixup":      {"mixup=0.2", "mixup_off_epochs=1"},
	"accumulate": {"accumulate=2"},
	"ema":        {"ema=0.9"},
	"block":      {"shuffle=block", "shuffle_block=3"},
	"dropout":    {"dropout=0.5", "accumulate=2"},
}

// TestResumeIsExact stops trainings by a signal's context at several steps, inside
// epochs and at their ends, and resumes them: the last checkpoint and the metrics
// must be those of an undisturbed run, bit for bit.
func TestResumeIsExact(t *testing.T) {
	d := dataset(t, 3, 28, 9)
	for name, sets := range variants {
		t.Run(name, func(t *testing.T) {
			c := small(t, append(sets, "epochs=2")...)
			whole := options(t, "cpu:0", d)
			train(t, c, whole)
			want := lastFiles(t, whole.Run)
			for _, stop := range []int{1, 2, 3, 5} {
				o := options(t, "cpu:0", d)
				ctx, cancel := context.WithCancel(t.Context())
				o.Observer = &log{onStep: func(s Step) {
					if s.Step+1 == stop {
						cancel()
					}
				}}
				r, err := Train(ctx, c, o)
				if err != nil || !r.Interrupted || r.Steps != stop {
					t.Fatalf("stopped at %d: %+v, %v", stop, r, err)
				}
				o.Observer, o.Resume, o.Workers = nil, true, 1
				train(t, c, o)
				if got := lastFiles(t, o.Run); !bytes.Equal(got[0], want[0]) || !bytes.Equal(got[1], want[1]) {
					t.Errorf("stopped at step %d: the final checkpoint differs from an undisturbed run's", stop)
				}
				if a, b := losses(t, o.Run), losses(t, whole.Run); a != b {
					t.Errorf("stopped at step %d: metrics\n%s\nwant\n%s", stop, a, b)
				}
			}
		})
	}
}

// losses returns what metrics.jsonl says of the training, without its times.
func losses(t *testing.T, run string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(run, metricsName))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for one := range strings.Lines(string(text)) {
		var l line
		if err := json.Unmarshal([]byte(one), &l); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, l.Epoch, l.Step, deref(l.Loss), deref(l.TrainLoss), deref(l.Top1), l.LR)
	}
	return b.String()
}

func deref(x *float64) float64 {
	if x == nil {
		return -1
	}
	return *x
}

// TestKilledRunGoesOn resumes a copy of the files as a kill -9 after a checkpoint
// inside an epoch would leave them: later lines and half-written files included.
func TestKilledRunGoesOn(t *testing.T) {
	d := dataset(t, 3, 28, 9)
	c := small(t, "epochs=2", "checkpoint_steps=2")
	whole := options(t, "cpu:0", d)
	killed := options(t, "cpu:0", d)
	whole.Observer = &log{onStep: func(s Step) {
		if s.Step == 2 { // step 3 is done, the checkpoint is of step 2
			if err := os.CopyFS(killed.Run, os.DirFS(whole.Run)); err != nil {
				t.Error(err)
			}
		}
	}}
	train(t, c, whole)
	if s, err := readState(filepath.Join(checkpointDir(killed.Run), lastName)); err != nil || s.Step != 2 {
		t.Fatalf("copied checkpoint of step %d: %v", s.Step, err)
	}
	torn := filepath.Join(killed.Run, metricsName)
	text, _ := os.ReadFile(torn)
	if err := os.WriteFile(torn, append(text, `{"epoch":0,"step":3,"loss":1}`+"\n"+`{"epoch":0,"st`...), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"step-00000003.safetensors.tmp-1", "last.json.tmp-7", "step-00000003.safetensors"} {
		if err := os.WriteFile(filepath.Join(checkpointDir(killed.Run), name), []byte("torn"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	killed.Resume = true
	train(t, c, killed)
	a, b := lastFiles(t, whole.Run), lastFiles(t, killed.Run)
	if !bytes.Equal(a[0], b[0]) || !bytes.Equal(a[1], b[1]) {
		t.Error("the final checkpoint differs from an undisturbed run's")
	}
	if x, y := losses(t, killed.Run), losses(t, whole.Run); x != y {
		t.Errorf("metrics\n%s\nwant\n%s", x, y)
	}
	files, _ := os.ReadDir(checkpointDir(killed.Run))
	if len(files) > 6 {
		t.Errorf("%d files are left of the checkpoints: %v", len(files), files)
	}
}

// TestReplicasAgree trains the same global batch on one device, cut into as many
// parts as the others have devices, and on 2 and 4 devices: batch norm sees the
// same parts, so only the order of float sums differs.
func TestReplicasAgree(t *testing.T) {
	d := dataset(t, 3, 48, 10)
	for _, world := range []int{2, 4} {
		one := options(t, "cpu:0", d)
		var a, b log
		one.Observer = &a
		sets := []string{"batch=16", "lr=0.01", "epochs=3", "log_steps=1", "sync_norm=false"}
		r1 := train(t, small(t, append(sets, fmt.Sprintf("accumulate=%d", world))...), one)
		spec := "cpu:0"
		for i := 1; i < world; i++ {
			spec += fmt.Sprintf(",cpu:%d", i)
		}
		many := options(t, spec, d)
		many.Observer = &b
		r2 := train(t, small(t, sets...), many)
		if worst := furthest(t, b.losses(), a.losses()); worst > 1e-3 {
			t.Errorf("%d devices: losses differ by %.2g\n%v\n%v", world, worst, b.losses(), a.losses())
		}
		if r1.Images != 10 || r2.Images != 10 {
			t.Errorf("%d devices: %d and %d pictures evaluated, want 10", world, r1.Images, r2.Images)
		}
		if math.Abs(r1.Top1-r2.Top1) > 10.01 {
			t.Errorf("%d devices: top-1 %v, one device %v", world, r2.Top1, r1.Top1)
		}
	}
}

// TestReplicasWithSyncNormAgree trains on 2 and 3 devices whose batch norms are
// synchronised: the losses are those of one device on the whole batch.
func TestReplicasWithSyncNormAgree(t *testing.T) {
	d := dataset(t, 3, 48, 10)
	c := small(t, "batch=12", "lr=0.01", "epochs=3", "log_steps=1", "sync_norm=true")
	var want log
	one := options(t, "cpu:0", d)
	one.Observer = &want
	train(t, c, one)
	for _, spec := range []string{"cpu:0,cpu:1", "cpu:0,cpu:1,cpu:2"} {
		many := options(t, spec, d)
		var got log
		many.Observer = &got
		train(t, c, many)
		if worst := furthest(t, got.losses(), want.losses()); worst > 1e-3 {
			t.Errorf("%s: losses differ by %.2g\n%v\n%v", spec, worst, got.losses(), want.losses())
		}
	}
}

// TestEvaluationDoesNotDependOnDevices evaluates a split that divides by nothing.
func TestEvaluationDoesNotDependOnDevices(t *testing.T) {
	d := dataset(t, 3, 16, 13)
	o := options(t, "cpu:0", d)
	train(t, small(t, "epochs=1"), o)
	m, err := OpenModel(o.Run)
	if err != nil {
		t.Fatal(err)
	}
	split, _ := d.Split("val")
	var want Result
	for i, spec := range []string{"cpu:0", "cpu:0,cpu:1", "cpu:0,cpu:1,cpu:2,cpu:3,cpu:4"} {
		e := devices(t, spec)
		e.Data = d
		got, err := Evaluate(t.Context(), m, split, e)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			want = got
		}
		if got.Images != 13 || got.Top1 != want.Top1 || got.Top5 != want.Top5 || math.Abs(got.Loss-want.Loss) > 1e-5 {
			t.Errorf("%s: %+v, want %+v", spec, got, want)
		}
	}
}

// TestBadPictures checks that a picture which cannot be decoded stops nothing, is
// named once, and is left out of an evaluation.
func TestBadPictures(t *testing.T) {
	d := dataset(t, 3, 24, 9, "train-5", "val-3")
	o := options(t, "cpu:0", d)
	var l log
	o.Observer = &l
	r := train(t, small(t), o)
	if r.Images != 8 || r.Bad != 1 {
		t.Errorf("%d evaluated and %d bad, want 8 and 1", r.Images, r.Bad)
	}
	notes := strings.Join(l.notes, "\n")
	if strings.Count(notes, "train-5") != 1 || !strings.Contains(notes, "val-3") {
		t.Errorf("notes do not name train-5 once and val-3:\n%s", notes)
	}
}

func TestDivergenceStops(t *testing.T) {
	d := dataset(t, 3, 24, 9)
	o := options(t, "cpu:0", d)
	c := small(t, "epochs=2", "warmup_epochs=1", "lr=1e30", "schedule=constant", "checkpoint_steps=1")
	_, err := Train(t.Context(), c, o)
	if err == nil {
		t.Fatal("no error at a learning rate of 1e30")
	}
	for _, want := range []string{"step ", "learning rate", "last good checkpoint"} {
		if !strings.Contains(err.Error(), want) && !strings.Contains(err.Error(), "is not finite") {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
	s, e := readState(filepath.Join(checkpointDir(o.Run), lastName))
	if e != nil {
		t.Fatal(e)
	}
	file, _ := os.ReadFile(filepath.Join(checkpointDir(o.Run), s.Weights))
	for name, w := range tensors(t, file) {
		if !finite(w.Data) {
			t.Errorf("the last checkpoint has %s not finite", name)
		}
	}
}

// TestDropoutDrawsAnew trains with a rate of 0 on one batch, whose order alone
// changes from step to step: the loss changes by more than rounding only through
// dropout's masks.
func TestDropoutDrawsAnew(t *testing.T) {
	d := dataset(t, 2, 8, 0)
	spread := func(p string) float64 {
		o := options(t, "cpu:0", d)
		var l log
		o.Observer = &l
		train(t, small(t, "lr=0", "dropout="+p, "epochs=4", "log_steps=1", "input.crop=none", "input.flip=0", "input.saturation=0",
			"input.brightness=0", "input.lighting=0"), o)
		closest := math.Inf(1)
		for i, a := range l.losses() {
			for _, b := range l.losses()[:i] {
				closest = min(closest, math.Abs(a-b))
			}
		}
		return closest
	}
	if without, with := spread("0"), spread("0.5"); without > 1e-5 || with < 1e-4 {
		t.Errorf("the closest two of four losses differ by %v without dropout and %v with it", without, with)
	}
}
