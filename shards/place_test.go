package shards

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// What is in the way of a data set, and what becomes of it.
func TestDestination(t *testing.T) {
	records := samples(t, "auto", 9)
	old := func(t *testing.T, dir string) {
		if _, err := writeSet(dir, WriterOptions{}, records[:6]); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name  string
		setup func(t *testing.T, dir string)
		force bool
		want  string // in the error, "" for success
		stays string // a file that must be there afterwards
	}{
		{name: "nothing", setup: func(*testing.T, string) {}},
		{name: "parents missing", setup: func(t *testing.T, dir string) { os.Remove(filepath.Dir(dir)) }},
		{name: "empty folder", setup: func(t *testing.T, dir string) { os.Mkdir(dir, 0o755) }},
		{name: "data set", setup: old, want: "there already (replace it with --force)", stays: ManifestName},
		{name: "data set, force", setup: old, force: true},
		{name: "other files, force", force: true, setup: func(t *testing.T, dir string) { write(t, dir+"/thesis.txt", "x") },
			want: "holds other files", stays: "thesis.txt"},
		{name: "data set and more, force", force: true, setup: func(t *testing.T, dir string) {
			old(t, dir)
			write(t, dir+"/thesis.txt", "x")
		}, want: "thesis.txt does not belong", stays: "thesis.txt"},
		{name: "a file", force: true, setup: func(t *testing.T, dir string) { write(t, dir, "x") }, want: "a file is in the way"},
		{name: "below a file", setup: func(t *testing.T, dir string) {
			os.Remove(filepath.Dir(dir))
			write(t, filepath.Dir(dir), "x")
		}, want: "in the way"},
		{name: "left by a killed run", setup: func(t *testing.T, dir string) {
			write(t, dir+".partial/train-00007.shard", "half")
			write(t, dir+".partial/"+ManifestName, "{")
		}},
		{name: "a stranger's partial", setup: func(t *testing.T, dir string) { write(t, dir+".partial/thesis.txt", "x") },
			want: "thesis.txt is not from shardify", stays: "../set.partial/thesis.txt"},
		{name: "a stranger's old, force", force: true, setup: func(t *testing.T, dir string) {
			old(t, dir)
			write(t, dir+".old/thesis.txt", "x")
		}, stays: "../set.old/thesis.txt"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "parent", "set")
			os.Mkdir(filepath.Dir(dir), 0o755)
			c.setup(t, dir)
			_, err := writeSet(dir, WriterOptions{Force: c.force}, records)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("error %v", err)
			case c.want == "":
				if err := openAndCheck(dir, records); err != nil {
					t.Error(err)
				}
				if _, err := os.Stat(dir + ".partial"); err == nil {
					t.Error(".partial is still there")
				}
			case err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir):
				t.Errorf("error %v, want %q and the folder in it", err, c.want)
			}
			if c.stays != "" {
				if _, err := os.Stat(filepath.Join(dir, c.stays)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// A link to a folder stays a link; the data set goes where it leads.
func TestDestinationIsALink(t *testing.T) {
	parent := t.TempDir()
	target, link := filepath.Join(parent, "disk2", "set"), filepath.Join(parent, "set")
	if err := os.MkdirAll(target, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Skip("no links here:", err)
	}
	records := samples(t, "auto", 9)
	if _, err := writeSet(link, WriterOptions{}, records); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Lstat(link); err != nil || fi.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v, %v", fi, err)
	}
	if err := openAndCheck(target, records); err != nil {
		t.Error(err)
	}
}

func TestTwoWriters(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "set")
	first, err := NewWriter(dir, WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Abort()
	if _, err := NewWriter(dir, WriterOptions{}); err == nil || !strings.Contains(err.Error(), "another shardify") {
		t.Errorf("a second writer: %v", err)
	}
}

// A data set that appears while another is written to the same place is not replaced unasked.
func TestDestinationAppears(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "set")
	w, err := NewWriter(dir, WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	records := samples(t, "auto", 9)
	if _, err := writeSet(dir+"2", WriterOptions{}, records); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir+"2", dir); err != nil {
		t.Fatal(err)
	}
	if err := w.Split("train"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(Summary{Classes: classes}); err == nil || !strings.Contains(err.Error(), "there already") {
		t.Errorf("finish: %v", err)
	}
	if err := openAndCheck(dir, records); err != nil {
		t.Error(err)
	}
}

// Whatever a user takes for a data set is named for what it is, with a remedy.
func TestWrongThings(t *testing.T) {
	parent := t.TempDir()
	at := func(name string) string { return filepath.Join(parent, name) }
	if _, err := writeSet(at("good"), WriterOptions{}, samples(t, "none", 9)); err != nil {
		t.Fatal(err)
	}
	write(t, at("half/train-00000.shard"), "x")
	write(t, at("pictures/train/cat/1.jpg"), "x")
	write(t, at("tars/train.tar.gz"), "x")
	write(t, at("docs/readme.txt"), "x")
	write(t, at("other/"+ManifestName), `{"name": "web page", "version": 3}`)
	write(t, at("later/"+ManifestName), `{"format": "bagpipe-shards", "version": 2}`)
	write(t, at("dirs/"+ManifestName+"/x"), "x")
	write(t, at("a.jpg"), "\xff\xd8\xff\xe0")
	write(t, at("a.png"), "\x89PNG\r\n\x1a\n")
	write(t, at("a.txt"), "x")
	os.Mkdir(at("void"), 0o755)
	for name, want := range map[string]string{
		"missing":                "no such data set (make one: shardify",
		"void":                   "the folder is empty (make a data set",
		"half":                   "an unfinished copy (copy the data set again",
		"pictures":               "a folder of pictures, not of shards (run shardify " + at("pictures"),
		"tars":                   "a folder of pictures, not of shards (run shardify",
		"docs":                   "not a data set of shards (make one",
		"other":                  `format "", want "bagpipe-shards": not a data set`,
		"later":                  "version 2, this program reads 1 (use a newer",
		"dirs":                   "not of shards",
		"a.jpg":                  "a JPEG picture, not a data set (put pictures into CLASS folders",
		"a.png":                  "a PNG picture",
		"a.txt":                  "a file, not a folder of shards",
		"good/train-00000.shard": "one file of a data set (name its folder: " + at("good"),
		"good/" + ManifestName:   "one file of a data set",
	} {
		_, err := Open(at(name))
		if err == nil || !wanted(err) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}
