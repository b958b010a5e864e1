package ingest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"bagpipe/shards"
)

// One data set, whatever the number of workers and whether the pictures came from folders or tars.
func TestSameBytes(t *testing.T) {
	all := pictures([]string{"train", "val"}, []string{"ant", "bee", "chat à queue"}, 9).with(tree{
		"train/ant/broken.jpg": []byte("\xff\xd8\xff\xe0 no picture"), "train/bee/empty.jpg": {}, "train/bee/notes.txt": []byte("x"),
		"train/ant/.DS_Store": []byte("x"), "val/stray.jpg": picture(1, false), "train/bee/deep/er/1.jpg": picture(2, false)})
	train, val := all.below("train"), all.below("val")
	sources := map[string]string{
		"folder":      all.folder(t),
		"tars":        tree{"train.tar": train.tar(), "val.tar": val.tar()}.folder(t),
		"gzipped":     tree{"train.tar.gz": gz(train.tar()), "valid.tgz": gz(val.tar())}.folder(t),
		"mixed":       all.below("train").in("training").with(tree{"validation.tar.gz": gz(val.tar())}).folder(t),
		"one tar":     tree{"pictures.tar": all.tar()}.folder(t),
		"wrapped tar": tree{"pictures.tgz": gz(all.in("some/where").tar())}.folder(t),
		"wrapped":     all.in("inner").folder(t),
		"split named": tree{"train.tar": train.in("x/train").tar(), "val.tar": val.in("val").tar()}.folder(t),
	}
	var first tree
	for name, src := range sources {
		for _, workers := range []int{1, 2, 7} {
			for _, codec := range []string{"auto", "lz4"} {
				o := options()
				o.Workers, o.StatsSample, o.MaxBad, o.ShardBytes, o.Codec = workers, 20, 0.1, 4000, codec
				dst, r, err := shardify(t, src, o)
				if err != nil {
					t.Fatal(name, workers, err)
				}
				if r.Pictures != 55 || r.Bad != 2 || r.Skipped != 3 {
					t.Errorf("%s, %d workers: %+v", name, workers, r)
				}
				if codec != "auto" {
					continue // the codec is part of the bytes; here it is enough that it works
				}
				got := files(t, dst)
				if first == nil {
					first = got
				}
				if d := differ(first, got); d != nil {
					t.Errorf("%s, %d workers: other bytes in %v", name, workers, d)
				}
			}
		}
	}
	if len(first) < 5 {
		t.Errorf("only %d files, want several shards", len(first))
	}
}

// in puts a tree below a folder.
func (t tree) in(dir string) tree {
	out := tree{}
	for name, b := range t {
		out[dir+"/"+name] = b
	}
	return out
}

// Each record is the picture's file, byte for byte, in the order of the source, with the size of its header.
func TestRecordsAreTheFiles(t *testing.T) {
	all := pictures([]string{"train"}, []string{"a", "b"}, 20)
	o := options()
	o.ShardBytes = 3000
	dst, _, err := shardify(t, all.folder(t), o)
	if err != nil {
		t.Fatal(err)
	}
	d, err := shards.Open(dst)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	s, err := d.Split("train")
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, strings.TrimPrefix(name, "train/"))
	}
	slices.Sort(names)
	for i, name := range names {
		want := all["train/"+name]
		got, err := s.Read(i, nil)
		m, _ := header(want)
		m.Label = int32(name[0] - 'a')
		if err != nil || string(got) != string(want) || s.Source(i) != name || s.Meta(i) != m {
			t.Errorf("record %d: %q, %+v, %v; want %q, %+v", i, s.Source(i), s.Meta(i), err, name, m)
		}
	}
}

func TestBadPictures(t *testing.T) {
	bad := func(n int) tree {
		all := pictures([]string{"train"}, []string{"a", "b"}, 50)
		for i := range n {
			name := fmt.Sprintf("train/a/%03d.jpg", 3*i)
			all[name] = all[name][:40]
		}
		return all
	}
	for _, c := range []struct {
		bad    int
		maxBad float64
		strict bool
		want   string // in the error, "" for success
	}{
		{bad: 0, strict: true},
		{bad: 1}, // 1 % of 100
		{bad: 2, want: "2 of 100 pictures are bad, at most 1 may be"},
		{bad: 1, strict: true, want: "run without --strict"},
		{bad: 1, maxBad: -1, want: "at most 0 may be"},
		{bad: 7, maxBad: 0.07},
		{bad: 8, maxBad: 0.07, want: "8 of 100 pictures are bad, at most 7 may be: [\"train/a/000.jpg: unexpected EOF\""},
		{bad: 17, maxBad: 1},
	} {
		o := options()
		o.MaxBad, o.Strict = c.maxBad, c.strict
		dst, r, err := shardify(t, bad(c.bad).folder(t), o)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v: %v", c, err)
			}
			continue
		}
		if err != nil || r.Bad != c.bad || r.Pictures != 100-c.bad {
			t.Errorf("%+v: %+v, %v", c, r, err)
			continue
		}
		m, err := shards.ReadManifest(dst)
		if err != nil || len(m.Bad) != c.bad || m.Splits[0].Bad != c.bad || m.Splits[0].Records != 100-c.bad {
			t.Errorf("%+v: %v, %v", c, m, err)
		}
		for i, b := range m.Bad {
			if want := (shards.Bad{Split: "train", Name: fmt.Sprintf("a/%03d.jpg", 3*i), Reason: "unexpected EOF"}); b != want {
				t.Errorf("bad %d is %+v, want %+v", i, b, want)
			}
		}
	}
	none := tree{"a/1.jpg": {}, "b/1.jpg": []byte("x")}
	o := options()
	o.MaxBad = 1
	if _, _, err := shardify(t, none.folder(t), o); err == nil || !strings.Contains(err.Error(), "nothing would be left") {
		t.Errorf("all bad: %v", err)
	}
}

// A file that cannot be read is a bad picture, not the end.
func TestUnreadableFile(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root can read everything")
	}
	src := pictures([]string{"train"}, []string{"a", "b"}, 3).folder(t)
	if err := os.Chmod(filepath.Join(src, "train/a/000.jpg"), 0); err != nil {
		t.Fatal(err)
	}
	o := options()
	o.MaxBad = 0.5
	dst, r, err := shardify(t, src, o)
	if err != nil || r.Bad != 1 {
		t.Fatal(r, err)
	}
	m, err := shards.ReadManifest(dst)
	if err != nil || m.Bad[0].Reason != "cannot be read: permission denied" {
		t.Errorf("%v, %v", m.Bad, err)
	}
}

func TestFull(t *testing.T) {
	src := pictures([]string{"train"}, []string{"a", "b"}, 5).folder(t)
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here")
	}
	o := options()
	o.Create = func(string) (shards.File, error) { return os.OpenFile("/dev/full", os.O_WRONLY, 0) }
	if _, _, err := shardify(t, src, o); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "full") {
		t.Errorf("got %v", err)
	}
}

// Stopped at any picture, Shardify ends at once with the context's error, leaves no goroutine and no file.
func TestStop(t *testing.T) {
	src := pictures([]string{"train", "val"}, []string{"a", "b"}, 6).folder(t)
	for at := range 24 {
		dst := filepath.Join(t.TempDir(), "out")
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			o := options()
			o.Workers = 3
			o.Progress = func(p Progress) {
				if p.Pictures == at+1 {
					cancel()
				}
			}
			if _, err := Shardify(ctx, src, dst, o); !errors.Is(err, context.Canceled) {
				t.Errorf("stopped at picture %d: %v", at, err)
			}
		})
		if entries, err := os.ReadDir(filepath.Dir(dst)); err != nil || len(entries) > 0 {
			t.Errorf("stopped at picture %d: left %v, %v", at, entries, err)
		}
	}
}

// Large pictures wait for each other, however many workers there are.
func TestPixelBudget(t *testing.T) {
	src := pictures([]string{"train"}, []string{"a", "b"}, 12).folder(t)
	var now, most atomic.Int64
	o := options()
	o.Workers, o.MaxBad = 8, 1
	good := ""
	var once sync.Once
	o.Header = func(src []byte) (m shards.Meta, err error) {
		once.Do(func() { good = string(src) })
		if string(src) == good {
			return header(src)
		}
		return shards.Meta{Width: 7000, Height: 7000, Components: 3}, nil // two fit into the budget
	}
	o.Decode = func(src []byte) ([]byte, int, int, error) {
		if string(src) == good {
			return decode(src)
		}
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(3 * time.Millisecond)
		return nil, 0, 0, errors.New("too large to be true")
	}
	if _, r, err := shardify(t, src, o); err != nil || r.Bad != 23 {
		t.Fatal(r, err)
	}
	if most.Load() != 2 {
		t.Errorf("%d large pictures were decoded at once, want 2", most.Load())
	}
}

// Classes that appear while the source is read have no label.
func TestSourceChanges(t *testing.T) {
	src := pictures([]string{"train"}, []string{"a", "b"}, 3).folder(t)
	o := options()
	o.Create = func(path string) (shards.File, error) { return os.Create(path) }
	s, err := Scan(t.Context(), src, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(src, "train/b"), filepath.Join(src, "train/c")); err != nil {
		t.Fatal(err)
	}
	w, err := shards.NewWriter(filepath.Join(t.TempDir(), "out"), shards.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	o.Workers = 2
	if err := errors.Join(w.Split("train"), newJob(s, o, w).run(t.Context(), "train")); err == nil || !strings.Contains(err.Error(), `class "c" was not there before`) {
		t.Errorf("got %v", err)
	}
}

func TestDestinationAmongClasses(t *testing.T) {
	src := pictures([]string{""}, []string{"a", "b"}, 2).folder(t)
	for _, dst := range []string{src + "/out.shards", src + "/a/out", src} {
		if _, err := Shardify(t.Context(), src, dst, options()); err == nil || !strings.Contains(err.Error(), "-o") {
			t.Errorf("%s: %v", dst, err)
		}
	}
	src = pictures([]string{"train"}, []string{"a", "b"}, 2).folder(t)
	if _, err := Shardify(t.Context(), src, src+"/out.shards", options()); err != nil {
		t.Errorf("beside train: %v", err)
	}
}

func TestHoldOut(t *testing.T) {
	src := pictures([]string{""}, []string{"a", "b"}, 200).folder(t)
	o := options()
	o.ValFraction = 0.25
	dst, r, err := shardify(t, src, o)
	if err != nil {
		t.Fatal(err)
	}
	d, err := shards.Open(dst)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	seen := map[string]bool{}
	for _, name := range d.Splits() {
		s, _ := d.Split(name)
		for i := range s.Len() {
			if n := s.Source(i); seen[n] {
				t.Errorf("%s is in both", n)
			} else {
				seen[n] = true
			}
		}
	}
	if val := r.Manifest.Splits[1]; len(seen) != 400 || val.Name != "val" || val.Records < 70 || val.Records > 130 {
		t.Errorf("%d in all, %+v", len(seen), val)
	}
}

func TestOptions(t *testing.T) {
	err := Options{Workers: -1, StatsSample: -2, ValFraction: 1, MaxBad: math.NaN(), Codec: "zip"}.Validate()
	for _, want := range []string{"no decoder", "--workers -1", "--stats -2", "--val-fraction 1", "--max-bad NaN", `codec "zip"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %s is missing", err, want)
		}
	}
	if err := options().Validate(); err != nil {
		t.Error(err)
	}
}

// The index has the size that training will see, whatever the header says.
func TestHeaderAndPixelsDisagree(t *testing.T) {
	o := options()
	o.Header = func(src []byte) (shards.Meta, error) {
		m, err := header(src)
		m.Width++
		return m, err
	}
	all := pictures([]string{"train"}, []string{"a", "b"}, 1)
	dst, _, err := shardify(t, all.folder(t), o)
	if err != nil {
		t.Fatal(err)
	}
	d, err := shards.Open(dst)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	s, _ := d.Split("train")
	if want, _ := header(all["train/a/000.jpg"]); s.Meta(0) != want {
		t.Errorf("%+v, want %+v", s.Meta(0), want)
	}
}
