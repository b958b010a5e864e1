package ingest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"bagpipe/shards"
)

// header and decode stand in for stages/vision, which ingest must not know.
func header(src []byte) (shards.Meta, error) {
	c, format, err := image.DecodeConfig(bytes.NewReader(src))
	m := shards.Meta{Width: c.Width, Height: c.Height, Components: 3}
	if format == "png" {
		m.Format = shards.PNG
	}
	return m, err
}

func decode(src []byte) (pix []byte, w, h int, err error) {
	img, _, err := image.Decode(bytes.NewReader(src))
	if err != nil {
		return nil, 0, 0, err
	}
	b := img.Bounds()
	for y := range b.Dy() {
		for x := range b.Dx() {
			r, g, b, _ := img.At(b.Min.X+x, b.Min.Y+y).RGBA()
			pix = append(pix, byte(r>>8), byte(g>>8), byte(b>>8))
		}
	}
	return pix, b.Dx(), b.Dy(), nil
}

func options() Options { return Options{Header: header, Decode: decode} }

// picture is a random JPEG, or a PNG.
func picture(seed uint64, asPNG bool) []byte {
	rnd := rand.New(rand.NewPCG(seed, 0))
	img := image.NewRGBA(image.Rect(0, 0, 1+rnd.IntN(24), 1+rnd.IntN(24)))
	for i := range img.Pix {
		img.Pix[i] = byte(rnd.Uint32() >> 3)
	}
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			c := img.RGBAAt(x, y)
			img.SetRGBA(x, y, color.RGBA{c.R, c.G, c.B, 255})
		}
	}
	var b bytes.Buffer
	var err error
	if asPNG {
		err = png.Encode(&b, img)
	} else {
		err = jpeg.Encode(&b, img, nil)
	}
	if err != nil {
		panic(err)
	}
	return b.Bytes()
}

// tree is files by path.
type tree map[string][]byte

// pictures is a tree with n pictures of each class below each split.
func pictures(splits, classes []string, n int) tree {
	t := tree{}
	for s, split := range splits {
		for c, class := range classes {
			for i := range n {
				ext := ".jpg"
				if i%3 == 2 {
					ext = ".png"
				}
				t[filepath.ToSlash(filepath.Join(split, class, fmt.Sprintf("%03d%s", i, ext)))] = picture(uint64(s*1000000+c*1000+i), i%3 == 2)
			}
		}
	}
	return t
}

func (t tree) with(more tree) tree {
	all := tree{}
	for _, from := range []tree{t, more} {
		for k, v := range from {
			all[k] = v
		}
	}
	return all
}

// folder writes the tree below a new folder.
func (t tree) folder(tb testing.TB) string {
	tb.Helper()
	dir := tb.TempDir()
	for name, b := range t {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, b, 0o644)); err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}

// tar packs the tree in the order in which a walk through folders meets it.
func (t tree) tar() []byte {
	m := fstest.MapFS{}
	for name, b := range t {
		m[name] = &fstest.MapFile{Data: b, Mode: 0o644}
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := errors.Join(w.AddFS(m), w.Close()); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func gz(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		panic(err)
	}
	w.Close()
	return out.Bytes()
}

// below cuts the tree down to what lies below a folder.
func (t tree) below(dir string) tree {
	out := tree{}
	for name, b := range t {
		if rest, ok := strings.CutPrefix(name, dir+"/"); ok {
			out[rest] = b
		}
	}
	return out
}

// files reads all files of a folder.
func files(t testing.TB, dir string) tree {
	t.Helper()
	out := tree{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out[p], err = os.ReadFile(filepath.Join(dir, p))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// differ names the files in which two trees differ.
func differ(a, b tree) (names []string) {
	for name := range a.with(b) {
		if !bytes.Equal(a[name], b[name]) || (a[name] == nil) != (b[name] == nil) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// shardify runs Shardify into a new folder.
func shardify(t testing.TB, src string, o Options) (string, Report, error) {
	t.Helper()
	dst := filepath.Join(t.TempDir(), "out.shards")
	r, err := Shardify(t.Context(), src, dst, o)
	if err != nil {
		if entries, _ := os.ReadDir(filepath.Dir(dst)); len(entries) > 0 {
			t.Errorf("after %v: left behind %v", err, entries)
		}
	}
	return dst, r, err
}
