package bench

import (
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestCurves(t *testing.T) {
	run := t.TempDir()
	metrics := `{"epoch":0,"step":50,"loss":2.1,"lr":0.1,"images_per_second":9}
{"epoch":0,"step":60,"loss":1.9,"train_loss":2.05,"lr":0.1,"top1":31.5,"top5":80,"images_per_second":9}
{"epoch":1,"step":120,"train_loss":1.5,"lr":0.1,"images_per_second":9}
{"epoch":2,"step":180,"loss":1.2,"train_loss":1.25,"lr":0.1,"top1":60,"top5":90,"images_per_second":9}
{"epoch":3,"step":2`
	if err := os.WriteFile(filepath.Join(run, "metrics.jsonl"), []byte(metrics), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := ReadCurve(run)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.Epoch, []float64{1, 3}) || !slices.Equal(c.Top1, []float64{31.5, 60}) || !slices.Equal(c.Loss, []float64{2.05, 1.25}) {
		t.Errorf("curve %+v", c)
	}
	path := filepath.Join(t.TempDir(), "curves.png")
	if err := PlotCurves([]Curve{c, c}, path); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if img, err := png.Decode(f); err != nil || img.Bounds().Dx() < 500 {
		t.Errorf("picture: %v", err)
	}
	if err := PlotCurves([]Curve{c}, filepath.Join(run, "none", "curves.png")); err == nil || !strings.Contains(err.Error(), "pipe compare -o FILE") {
		t.Errorf("a folder that is not there: %v", err)
	}
	for dir, want := range map[string]string{t.TempDir(): "no run directory", filepath.Join(run, "none"): "no run directory"} {
		if _, err := ReadCurve(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

// The lines of 16 runs differ in colour or dashes.
func TestStylesDiffer(t *testing.T) {
	seen := map[string]int{}
	for i := range 16 {
		s := style(i)
		look := fmt.Sprint(s.Color, s.Dashes)
		if k, there := seen[look]; there {
			t.Errorf("runs %d and %d look alike", k, i)
		}
		seen[look] = i
	}
}
