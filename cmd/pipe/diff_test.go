package main

import (
	"cmp"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bagpipe/internal/cli"
)

// differ compares two settings on the test's pictures.
func differ(t *testing.T, a, b string, more ...string) (r compared) {
	t.Helper()
	set, _ := pictures()
	args := append([]string{"diff", a, b, "--data", set, "--images", "8", "--set", "input.size=32", "--json", "-o", filepath.Join(t.TempDir(), "d.png")}, more...)
	decode(t, pipeOK(t, args...), &r)
	if len(r.Steps) != stepCount || r.Images != 8 || len(r.Pictures) != 8 {
		t.Fatalf("%s against %s: %+v", a, b, r)
	}
	return r
}

// TestDiffFindsTheStep changes one step at a time: those before it stay equal.
func TestDiffFindsTheStep(t *testing.T) {
	for _, c := range []struct {
		a, b  string
		more  []string
		first int // step that differs first; stepCount: none
	}{
		{"paper", "default", nil, stepCount},
		{"paper", "paper,hue=0", nil, stepColour},
		{"paper", "paper,exact", nil, stepColour},
		{"paper,exact=false", "input.exact=true", nil, stepColour},
		{"paper", "paper,mean=[120, 116.779, 103.939]", []string{"--eval"}, stepSample},
		{"paper", "mxnet-2018", []string{"--same-params"}, stepCut},
		{"paper", "mxnet-2018", []string{"--eval"}, stepCut},
	} {
		r := differ(t, c.a, c.b, c.more...)
		if r.Geometry != 0 {
			t.Errorf("%s against %s: %d other crops", c.a, c.b, r.Geometry)
		}
		for i, d := range r.Steps {
			// float32 undoes a normalisation by another mean to a hair.
			if equal := d.Max < 1e-3; d.Images != 8 || equal != (i < c.first) {
				t.Errorf("%s against %s: step %s: %+v", c.a, c.b, d.Step, d)
			}
		}
		if !slices.IsSortedFunc(r.Pictures, func(a, b pictureDiff) int { return cmp.Compare(b.Mean, a.Mean) }) {
			t.Errorf("%s against %s: the worst picture is not the first", c.a, c.b)
		}
	}
}

// TestDiffTellsOfGeometry compares modes, which draw other crops.
func TestDiffTellsOfGeometry(t *testing.T) {
	if r := differ(t, "paper", "mxnet-2018", "--seed", "1"); r.Geometry == 0 || r.Steps[stepDecode].Images == 8 {
		t.Errorf("%+v", r.Steps)
	}
	set, _ := pictures()
	out := filepath.Join(t.TempDir(), "d.png")
	text := pipeOK(t, "diff", "paper", "mxnet-2018", "--data", set, "--images", "20", "--seed", "1", "--worst", "3", "-o", out)
	for _, want := range []string{"crop+resize", "PSNR", "other parts are compared", "--same-params", out} {
		if !strings.Contains(text, want) {
			t.Errorf("the table lacks %q:\n%s", want, text)
		}
	}
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, err := png.DecodeConfig(f)
	if err != nil || c.Width != 3*(256+8) || c.Height != 18+3*(256+64) {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestStepDiff(t *testing.T) {
	var d stepDiff
	d.add(4, func(i int) float64 { return []float64{0, -3, 1, 0}[i] })
	if d.finish(); d.Max != 3 || d.Mean != 1 || *d.PSNR < 44.15 || *d.PSNR > 44.16 { // 10 log10(255^2 / 2.5)
		t.Errorf("%+v, %v dB", d, *d.PSNR)
	}
}

func TestDiffUsage(t *testing.T) {
	set, _ := pictures()
	for _, c := range []struct{ args, want string }{
		{"paper", `"<b>"`},
		{"papr mxnet-2018", `nearest is "paper"`},
		{"demo demmo", `nearest is "demo"`},
		{"paper paper,exakt", `nearest is "input.exact"`},
		{"paper paper,flip=often", "input.flip"},
		{"paper paper,size=64", "--set input.size=128"},
		{"paper paper --images 0", "--images 0, want 1"},
		{"paper paper --worst 0", "--worst 0, want 1"},
	} {
		args := append([]string{"diff", "--data", set}, strings.Fields(c.args)...)
		code, out, errs := pipe(args...)
		if code != cli.Usage || !strings.Contains(errs, c.want) || strings.Count(errs, "\n") != 1 || out != "" {
			t.Errorf("pipe diff %s: code %d, %q; want code 2 and one line with %s", c.args, code, errs, c.want)
		}
	}
}
