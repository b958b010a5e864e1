//go:build linux

package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"image"
	"image/png"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bagpipe/shards"
)

// bigPNG is a one-colour gray PNG.
func bigPNG(w, h int) []byte {
	var b bytes.Buffer
	e := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := e.Encode(&b, image.NewGray(image.Rect(0, 0, w, h))); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// data finds the real pictures; without them a test has nothing to do.
func data(t testing.TB, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../../../shared/data", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("no %s here", path)
	}
	return path
}

func TestRealPictures(t *testing.T) {
	for name, want := range map[string]struct{ classes, train, val, test int }{
		"inet1k":                    {300, 300, 0, 0}, // a folder with one tar in it
		"imagenette224/val.tar":     {10, 600, 0, 0},
		"scenes":                    {8, 288, 77, 0}, // a tar with train and val inside
		"odd/hostile-folder.tar":    {3, 9, 0, 0},
		"cifar10/test.tar.gz":       {10, 10000, 0, 0},
		"containers/wds-sample.tgz": {}, // no class folders
	} {
		t.Run(name, func(t *testing.T) {
			src, dst := data(t, name), filepath.Join(t.TempDir(), "out")
			code, _, errs := command(t, src, "-o", dst, "--max-bad", "10%", "-q")
			if want.classes == 0 {
				if code != 1 || !strings.Contains(errs, "no classes") {
					t.Error(code, errs)
				}
				return
			}
			if code != 0 {
				t.Fatal(errs)
			}
			m, err := shards.ReadManifest(dst)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]int{}
			for _, s := range m.Splits {
				got[s.Name] = s.Records
			}
			if len(m.Classes) != want.classes || got["train"] != want.train || got["val"] != want.val || got["test"] != want.test {
				t.Errorf("%d classes, %v; want %+v", len(m.Classes), got, want)
			}
			if code, _, errs := command(t, "verify", dst, "-q"); code != 0 {
				t.Error(errs)
			}
			// Pixels in all: what ImageNet's own statistics are like.
			if s := m.Stats; name == "inet1k" && (s.Mean[0] < 110 || s.Mean[0] > 135 || s.Mean[2] > s.Mean[0] || s.Std[0] < 60 || s.Std[0] > 80) {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

// Every odd and hostile file is a record, byte for byte, or listed with its reason; what must be right is a
// record, what must be refused is none; and memory stays small.
func TestOddPictures(t *testing.T) {
	odd, dir := data(t, "odd"), t.TempDir()
	entries, err := os.ReadDir(odd)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range entries {
		class := filepath.Join(dir, "photos", string(rune('a'+i%2)))
		if err := errors.Join(os.MkdirAll(class, 0o755), os.Symlink(filepath.Join(odd, e.Name()), filepath.Join(class, e.Name()))); err != nil {
			t.Fatal(err)
		}
	}
	dst := filepath.Join(dir, "out")
	c, errs := process(t, "", filepath.Join(dir, "photos"), "-o", dst, "--max-bad", "100%", "--workers", "4")
	if err := c.Run(); err != nil {
		t.Fatal(err, errs)
	}
	peak(t, c, 600)
	d, err := shards.Open(dst)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	kept, refused := map[string]bool{}, map[string]string{}
	s, err := d.Split("train")
	if err != nil {
		t.Fatal(err)
	}
	for i := range s.Len() {
		name := filepath.Base(s.Source(i))
		kept[name] = true
		got, err := s.Read(i, nil)
		want, err2 := os.ReadFile(filepath.Join(odd, name))
		if err != nil || err2 != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: other bytes, %v, %v", name, err, err2)
		}
	}
	for _, b := range append(d.Manifest.Bad, d.Manifest.Skipped...) {
		refused[filepath.Base(b.Name)] = b.Reason
	}
	for _, e := range entries {
		if kept[e.Name()] == (refused[e.Name()] != "") {
			t.Errorf("%s: a record %t, listed %q", e.Name(), kept[e.Name()], refused[e.Name()])
		}
	}
	f, err := os.Open(filepath.Join(odd, "manifest.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma, r.LazyQuotes = '\t', true
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch name, expect := row[0], row[2]; {
		case (expect == "ok" || expect == "convert") && !kept[name] && cgo:
			t.Errorf("%s (%s): %s", name, expect, refused[name])
		case expect == "reject" && kept[name] && cgo:
			t.Errorf("%s must be refused", name)
		}
	}
}
