package bench

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bagpipe/stages/vision"
)

// TestPicturesAreDecodable draws each class once in each size.
func TestPicturesAreDecodable(t *testing.T) {
	for name, p := range map[string]Pictures{"small": Small(), "photos": Photos()} {
		size := 0
		for class, label := range p.Classes() {
			b, err := p.Encode("train", class, 0)
			if err != nil {
				t.Fatal(err)
			}
			size += len(b)
			pix, w, h, err := vision.Decode(b)
			if err != nil {
				t.Fatalf("%s: %s: %v", name, label, err)
			}
			if long, short := max(w, h), min(w, h); long < p.MinSide || long > p.MaxSide || 10*short < 7*long {
				t.Errorf("%s: %s is %d x %d, want a longer side of %d to %d", name, label, w, h, p.MinSide, p.MaxSide)
			}
			if lo, hi := slices.Min(pix), slices.Max(pix); int(hi)-int(lo) < 60 {
				t.Errorf("%s: %s has levels %d to %d only", name, label, lo, hi)
			}
		}
		if size /= len(p.Classes()); name == "photos" && (size < 90e3 || size > 140e3) {
			t.Errorf("photographs of %d bytes, want about the 110 kB of ImageNet's", size)
		}
	}
}

func TestPicturesDependOnSeedAndPlaceAlone(t *testing.T) {
	p := Small()
	encode := func(p Pictures, split string, class, i int) string {
		b, err := p.Encode(split, class, i)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	first := encode(p, "train", 3, 7)
	if encode(p, "train", 3, 7) != first {
		t.Error("the same picture twice differs")
	}
	other := p
	other.Seed++
	for name, b := range map[string]string{"seed": encode(other, "train", 3, 7), "split": encode(p, "val", 3, 7),
		"class": encode(p, "train", 4, 7), "number": encode(p, "train", 3, 8)} {
		if b == first {
			t.Errorf("another %s gives the same picture", name)
		}
	}
}

func TestWriteIsTheSameForAnyWorkers(t *testing.T) {
	one, three := t.TempDir(), t.TempDir()
	p := Pictures{Train: 2, Val: 1, MinSide: 32, MaxSide: 40, Noise: 5, Quality: 80, Seed: 9, Workers: 1}
	if err := p.Write(context.Background(), one); err != nil {
		t.Fatal(err)
	}
	p.Workers = 3
	if err := p.Write(context.Background(), three); err != nil {
		t.Fatal(err)
	}
	files := 0
	err := fs.WalkDir(os.DirFS(one), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		a, err1 := os.ReadFile(filepath.Join(one, path))
		b, err2 := os.ReadFile(filepath.Join(three, path))
		if !bytes.Equal(a, b) {
			t.Errorf("%s differs", path)
		}
		return errors.Join(err1, err2)
	})
	if err != nil || files != 30 {
		t.Errorf("%d files, want 30: %v", files, err)
	}
	if _, err := os.Stat(filepath.Join(one, "val", "spiral", "00000.jpg")); err != nil {
		t.Error(err)
	}
}

func TestPicturesRefuseNonsense(t *testing.T) {
	p := Pictures{Train: 0, Val: -1, MinSide: 8, MaxSide: 4, Noise: -1, Quality: 0, Workers: -1}
	err := p.Write(context.Background(), t.TempDir())
	if err == nil || strings.Count(err.Error(), "bench: ") != 5 {
		t.Errorf("got %v, want all five faults", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Small().Write(ctx, t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := Small().Write(context.Background(), file); err == nil {
		t.Error("wrote below a file")
	}
}
