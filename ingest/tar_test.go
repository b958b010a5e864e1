package ingest

import (
	"archive/tar"
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"bagpipe/shards"
)

// packed makes a tar of headers; regular files without data get the picture.
func packed(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		data := []byte(nil)
		if h.Typeflag == 0 || h.Typeflag == tar.TypeReg {
			h.Typeflag, h.Size, data = tar.TypeReg, int64(len(jpg)), jpg
		}
		h.Mode = 0o644
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Whatever an entry is called, nothing is written, and all that is no picture is listed.
func TestTarSkips(t *testing.T) {
	b := packed(t, tar.Header{Name: "./", Typeflag: tar.TypeDir}, tar.Header{Name: "./a/1.jpg"}, tar.Header{Name: "b//1.jpg"},
		tar.Header{Name: "../a/out.jpg"}, tar.Header{Name: "/etc/root.jpg"}, tar.Header{Name: "a/../../up.jpg"}, tar.Header{Name: `a\..\win.jpg`},
		tar.Header{Name: "a/.hidden.jpg"}, tar.Header{Name: "__MACOSX/a/1.jpg"}, tar.Header{Name: "stray.jpg"}, tar.Header{Name: "a/notes.txt"},
		tar.Header{Name: "a/link.jpg", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, tar.Header{Name: "a/hard.jpg", Typeflag: tar.TypeLink, Linkname: "a/1.jpg"},
		tar.Header{Name: "a/pipe.jpg", Typeflag: tar.TypeFifo}, tar.Header{Name: "a/dev.jpg", Typeflag: tar.TypeChar},
		tar.Header{Name: "a/" + strings.Repeat("x", shards.MaxName) + ".jpg"})
	out := "a path that leads out of the archive"
	want := map[string]string{"../a/out.jpg": out, "etc/root.jpg": out, "a/../../up.jpg": out, "a/../win.jpg": out, "a/.hidden.jpg": "hidden",
		"__MACOSX/a/1.jpg": "hidden", "stray.jpg": skipNoClass, "a/notes.txt": skipExtension, "a/link.jpg": skipIrregular, "a/hard.jpg": skipIrregular,
		"a/pipe.jpg": skipIrregular, "a/dev.jpg": skipIrregular, "a/" + strings.Repeat("x", shards.MaxName-2): skipLongName}
	for name, file := range map[string][]byte{"train.tar": b, "train.tar.gz": gz(b), "lone.tgz": gz(b)} {
		if got := skips(t, tree{name: file}.folder(t), "train"); !maps.Equal(got, want) {
			t.Errorf("%s: skips\n%q, want\n%q", name, got, want)
		}
	}
}

// A tar that ends early, wherever, is an error: never a smaller data set.
func TestTarCutShort(t *testing.T) {
	b := flat("a/1.jpg", "a/2.jpg", "b/1.jpg").tar()
	end := len(bytes.TrimRight(b, "\x00"))/512*512 + 512 // behind the last contents
	for name, whole := range map[string][]byte{"train.tar": b, "train.tar.gz": gz(b)} {
		dir := t.TempDir()
		for n := range whole {
			if name == "train.tar" && n%128 != 0 && n%512 != 511 {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, name), whole[:n], 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := Scan(t.Context(), dir, 0)
			if enough := name == "train.tar" && n >= end+512 && n%512 == 0; enough != (err == nil) {
				t.Errorf("%s cut to %d of %d bytes: %v", name, n, len(whole), err)
			} else if err != nil && !strings.Contains(err.Error(), name) {
				t.Errorf("%s cut to %d bytes: %v", name, n, err)
			}
		}
	}
	// What follows the end is nobody's.
	for name, whole := range map[string][]byte{"train.tar": append(bytes.Clone(b), "more"...), "train.tar.gz": append(gz(b), make([]byte, 1000)...),
		"train.tgz": append(gz(b[:1000]), gz(b[1000:])...)} {
		if s, err := Scan(t.Context(), tree{name: whole}.folder(t), 0); err != nil || s.Count["train"] != 3 {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
}

// A header that claims 200 MB of a file of 2 kB costs no 200 MB.
func TestTarClaims(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	h := tar.Header{Name: "a/1.jpg", Mode: 0o644, Size: 200e6}
	if err := w.WriteHeader(&h); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "train.tar")
	if err := os.WriteFile(file, append(b.Bytes(), make([]byte, 2000)...), 0o644); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var err error
	for _, err = range (tarFile{path: file, strays: true}).items(t.Context()) {
		if err != nil {
			break
		}
	}
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "cut short") {
		t.Errorf("got %v", err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
		t.Errorf("%d MB allocated", used>>20)
	}
}

// FuzzTar takes any bytes for a tar: an error that names the file, or items that are in order, as many as counted.
func FuzzTar(f *testing.F) {
	whole := flat("a/1.jpg", "b/1.jpg").tar()
	f.Add(whole)
	f.Add(gz(whole))
	f.Add(gz(flat("s/train/a/1.jpg", "s/train/b/1.jpg", "s/val/a/1.jpg").tar()))
	f.Add(packed(f, tar.Header{Name: "/a/1.jpg"}, tar.Header{Name: "a/" + strings.Repeat("y", 300) + ".jpg"}, tar.Header{Name: "a/l.jpg", Typeflag: tar.TypeSymlink, Linkname: "x"}))
	seeds, err := filepath.Glob("testdata/*.tar*")
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range seeds {
		b, err := os.ReadFile(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, name := range []string{"train.tar", "lone.tar"} {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
			split, _, _ := strings.Cut(name, ".")
			parts, err := tarParts(t.Context(), path, map[string]string{"train": "train"}[split])
			if err != nil {
				if !strings.Contains(err.Error(), path) {
					t.Fatal(err)
				}
				continue
			}
			for split, p := range parts {
				n, want := 0, 0
				for _, c := range p.(tarFile).classes {
					want += c
				}
				for item, err := range p.items(t.Context()) {
					if err != nil {
						if errors.Is(err, os.ErrNotExist) {
							t.Fatal(err)
						}
						want = n // contents can be damaged where headers are sound
						break
					}
					if item.Skip == "" {
						n++
					}
					if len(item.Name) > shards.MaxName || item.Skip == "" && (!strings.HasPrefix(item.Name, item.Class+"/") || p.(tarFile).classes[item.Class] == 0) {
						t.Fatalf("%s: %+v", split, item)
					}
				}
				if n != want {
					t.Fatalf("%s: %d pictures, %d were counted", split, n, want)
				}
			}
		}
	})
}
