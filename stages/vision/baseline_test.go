//go:build cgo

package vision

import (
	"archive/tar"
	"bytes"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// photographs are full-size pictures beside the project, read in place where they are.
const photographs = "../../../shared/data/inet1k/inet1k-300.tar"

// compareKernels decodes a part of src, a picture of that height, by libjpeg alone and by every kernel of the own
// decoder, into pixels and into lines, and reports whether the own one did it.
func compareKernels(t *testing.T, name string, src []byte, height int, at Rect) bool {
	t.Helper()
	var want, got pixels
	var split, direct lines
	decode := func(k kernel, p *pixels) (*decoder, error) {
		d := &decoder{kernel: k}
		info, err := d.info(src)
		if err == nil {
			err = d.part(p, src, info, at)
		}
		return d, err
	}
	d, wantErr := decode(libjpeg, &want)
	d.close()
	own := false
	for _, k := range []kernel{best, portable} {
		d, err := decode(k, &got)
		if err == nil && wantErr != nil && at.Y+at.H < height {
			d.close() // libjpeg reads further below the part, to where the file is damaged
			continue
		}
		if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
			t.Fatalf("%s: part %+v: kernel %d says %v, libjpeg %v", name, at, k, err, wantErr)
		}
		if err == nil {
			if !bytes.Equal(got.pix, want.pix) {
				t.Fatalf("%s: part %+v: kernel %d differs from libjpeg", name, at, k)
			}
			ok, err := d.lines(&direct, src, at)
			if err != nil {
				t.Fatalf("%s: part %+v: kernel %d into lines: %v", name, at, k, err)
			}
			if ok {
				own = true
				split.splitPlain(want, Rect{0, 0, at.W, at.H}, [3]byte{})
				equalLines(t, name, &direct, &split)
			}
		}
		d.close()
	}
	return own
}

// randomPart is the whole, a corner or any part of a picture.
func randomPart(r *rand.Rand, w, h int) Rect {
	at := Rect{0, 0, w, h}
	switch r.IntN(4) {
	case 0:
	case 1:
		at.W, at.H = 1+r.IntN(w), 1+r.IntN(h)
	default:
		at.W, at.H = 1+r.IntN(w), 1+r.IntN(h)
		at.X, at.Y = r.IntN(w-at.W+1), r.IntN(h-at.H+1)
	}
	return at
}

// The own decoder makes libjpeg's pixels of parts and wholes, and is the one that
// decodes common pictures.
func TestBaselineIsLibjpeg(t *testing.T) {
	pictures := map[string][]byte{}
	names, _ := filepath.Glob("testdata/seeds/*.jpg")
	odd, _ := filepath.Glob(oddPictures + "/*")
	for _, name := range append(names, odd...) {
		if src, err := os.ReadFile(name); err == nil {
			pictures[name] = src
		}
	}
	full := readTar(t, photographs, pictures)
	r := rand.New(rand.NewPCG(4, 4))
	own, tried, ownFull := 0, 0, 0
	for _, name := range slices.Sorted(maps.Keys(pictures)) {
		src := pictures[name]
		info, err := Header(src)
		if err != nil || !isJPEG(src) || info.Width*info.Height > 4<<20 {
			continue
		}
		parts := 8
		switch {
		case len(src) > 20_000:
			parts = 2
		case filepath.Dir(name) == "testdata/seeds": // there where nothing else is
			parts = 20
		}
		for range parts {
			tried++
			if compareKernels(t, filepath.Base(name), src, info.Height, randomPart(r, info.Width, info.Height)) {
				own++
				if filepath.Dir(name) != "testdata/seeds" && filepath.Dir(name) != oddPictures {
					ownFull++
				}
			}
		}
	}
	t.Logf("%d parts of %d pictures, %d by the own decoder", tried, len(pictures), own)
	if own < 100 || ownFull < full {
		t.Errorf("the own decoder took %d of %d parts, %d of %d photographs", own, tried, ownFull, full)
	}
}

// readTar adds the files of a tar, where it is there, and returns their number.
func readTar(t *testing.T, name string, to map[string][]byte) (n int) {
	f, err := os.Open(name)
	if err != nil {
		t.Logf("without photographs: %v", err)
		return 0
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if to[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
		n++
	}
}

// A table with a code of all ones, which T.81 forbids, is refused as libjpeg refuses it.
func TestCodeOfOnes(t *testing.T) {
	src, err := os.ReadFile("testdata/seeds/420.jpg")
	if err != nil {
		t.Fatal(err)
	}
	standard := []byte{0xff, 0xc4, 0, 0x1f, 0, 0, 1, 5, 1, 1, 1, 1, 1, 1, 0} // of first coefficients: its last code is of 9 bits
	at := bytes.Index(src, standard)
	if at < 0 {
		t.Fatal("420.jpg has another table")
	}
	src[at+12], src[at+13] = 2, 0
	info, err := Header(src)
	if err != nil {
		t.Fatal(err)
	}
	whole := Rect{0, 0, info.Width, info.Height}
	if compareKernels(t, "420.jpg with a code of ones", src, info.Height, whole) {
		t.Error("decoded")
	}
}

// FuzzBaseline: whatever the file, the own decoder makes of any part of it what libjpeg
// makes, or leaves it to libjpeg.
func FuzzBaseline(f *testing.F) {
	addSeeds(f, func(src []byte) {
		if isJPEG(src) {
			f.Add(src, uint64(1))
		}
	})
	f.Fuzz(func(t *testing.T, src []byte, seed uint64) {
		info, err := Header(src)
		if err != nil || !isJPEG(src) || !small(src) {
			return
		}
		compareKernels(t, "input", src, info.Height, randomPart(rand.New(rand.NewPCG(seed, 1)), info.Width, info.Height))
	})
}
