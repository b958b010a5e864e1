package bench

import (
	"context"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bagpipe/batcher"
	"bagpipe/stages"
)

// TestLogAndGraph measures for a time, below a ceiling, and reads and draws what was logged.
func TestLogAndGraph(t *testing.T) {
	in := input(t)
	in.Budget = batcher.NewBudget(1 << 30)
	dir := t.TempDir()
	log := filepath.Join(dir, "log.jsonl")
	var plan batcher.Plan
	r, err := Loader(context.Background(), Config{Input: in, Time: 1500 * time.Millisecond, Log: log, Begin: func(p batcher.Plan) { plan = p }})
	if err != nil {
		t.Fatal(err)
	}
	if r.Seconds < 1.5 || r.Seconds > 20 || r.Memory == nil || *r.Memory != plan || plan.Workers != 2 {
		t.Errorf("measured %+v, plan %+v", r, plan)
	}
	if now, _ := stages.Resident(); now > 0 && (r.Resident == 0 || r.PeakResident < r.Resident) {
		t.Errorf("%d resident, at most %d", r.Resident, r.PeakResident)
	}
	moments, err := ReadLog(log)
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range moments {
		if m.Images < 1 || i > 0 && (m.Seconds <= moments[i-1].Seconds || m.Images <= moments[i-1].Images) {
			t.Errorf("moment %d: %+v", i, m)
		}
	}
	graph := filepath.Join(dir, "graph.png")
	if err := PlotMemory(moments, 1<<30, graph); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(graph)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if img, err := png.Decode(f); err != nil || img.Bounds().Dx() < 500 {
		t.Errorf("picture: %v", err)
	}
	if _, err := ReadLog(filepath.Join(dir, "none")); err == nil {
		t.Error("read a log that is not there")
	}
	if err := os.WriteFile(log, []byte("{\"seconds\":1}\n{\"sec"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadLog(log); err == nil || !strings.Contains(err.Error(), "--seconds") {
		t.Errorf("a log of one line: %v", err)
	}
	in.Budget = nil
	if _, err := Loader(context.Background(), Config{Input: in, Images: 1, Log: dir}); err == nil || !strings.Contains(err.Error(), "--log") {
		t.Errorf("a folder as log: %v", err)
	}
}
