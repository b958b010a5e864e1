package shards

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// faulty fails at one of its files' operations, counted from 0 over all of them.
type faulty struct {
	File
	at *int
}

func (f faulty) step() error {
	*f.at--
	if *f.at == -1 {
		return &os.PathError{Op: "write", Path: "shard", Err: syscall.ENOSPC}
	}
	return nil
}

func (f faulty) Write(b []byte) (int, error) {
	if err := f.step(); err != nil {
		n, _ := f.File.Write(b[:len(b)/2]) // as much as fits
		return n, err
	}
	return f.File.Write(b)
}

func (f faulty) Sync() error  { return errors.Join(f.step(), f.File.Sync()) }
func (f faulty) Close() error { return errors.Join(f.step(), f.File.Close()) }

func faultyCreate(at *int) func(string) (File, error) {
	return func(path string) (File, error) {
		f := faulty{at: at}
		if err := f.step(); err != nil {
			return nil, err
		}
		file, err := os.Create(path)
		f.File = file
		return f, err
	}
}

// empty says whether nothing is left in a folder.
func empty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// The disk fills up at each step in turn. Every one is reported in a clear line, and nothing stays behind: not
// a file where there was nothing, not a byte changed where a data set was.
func TestDiskFullAtEveryStep(t *testing.T) {
	records := samples(t, "auto", 9)
	steps := 0
	for _, replacing := range []bool{false, true} {
		for step := 0; ; step++ {
			parent := t.TempDir()
			dir := filepath.Join(parent, "set")
			if replacing {
				if _, err := writeSet(dir, WriterOptions{}, records[:6]); err != nil {
					t.Fatal(err)
				}
			}
			at := step
			_, err := writeSet(dir, WriterOptions{ShardBytes: 100, Force: true, Create: faultyCreate(&at)}, records)
			if err == nil {
				if err := openAndCheck(dir, records); err != nil || at < 0 {
					t.Errorf("without a fault (%d steps left): %v", at, err)
				}
				steps = step
				break
			}
			if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "full") || !strings.Contains(err.Error(), "-o") {
				t.Errorf("step %d: %v", step, err)
			}
			if !replacing {
				empty(t, parent)
			} else if err := openAndCheck(dir, records[:6]); err != nil {
				t.Errorf("step %d: the data set that was there: %v", step, err)
			} else if entries, _ := os.ReadDir(parent); len(entries) != 1 {
				t.Errorf("step %d: left behind: %v", step, entries)
			}
		}
	}
	if steps < 20 {
		t.Errorf("%d steps, want a create, writes, sync and close of each of several files", steps)
	}
}

// A real full device says so at the first flush.
func TestDeviceFull(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here")
	}
	parent := t.TempDir()
	_, err := writeSet(filepath.Join(parent, "set"), WriterOptions{Create: func(string) (File, error) {
		return os.OpenFile("/dev/full", os.O_WRONLY, 0)
	}}, samples(t, "none", 9))
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
	empty(t, parent)
}

func TestWriterRefuses(t *testing.T) {
	good := samples(t, "none", 1)[0].Record
	for what, change := range map[string]func(*Record){
		"empty":            func(r *Record) { r.Data, r.Raw = nil, 0 },
		"raw differs":      func(r *Record) { r.Raw++ },
		"too large":        func(r *Record) { r.Raw = MaxRecord + 1 },
		"unlikely codec":   func(r *Record) { r.Codec, r.Raw = LZ4, len(r.Data)*255+1 },
		"codec of no kind": func(r *Record) { r.Codec = Zstd + 1 },
		"long name":        func(r *Record) { r.Name = strings.Repeat("x", MaxName+1) },
		"no width":         func(r *Record) { r.Width = 0 },
		"great height":     func(r *Record) { r.Height = MaxSide + 1 },
		"label below 0":    func(r *Record) { r.Label = -1 },
		"5 components":     func(r *Record) { r.Components = 5 },
		"format":           func(r *Record) { r.Format = Other + 1 },
		"label of classes": func(r *Record) { r.Label = int32(len(classes)) },
	} {
		parent := t.TempDir()
		w, err := NewWriter(filepath.Join(parent, "set"), WriterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		r := good
		change(&r)
		err = w.Split("train")
		if err != nil {
			t.Fatal(err)
		}
		first := w.Add(r)
		if again := w.Add(good); first != nil && again != first {
			t.Errorf("%s: %v, then %v: the first error must stick", what, first, again)
		}
		if _, err := w.Finish(Summary{Classes: classes}); err == nil {
			t.Errorf("%s: taken", what)
		}
		empty(t, parent)
	}
	parent := t.TempDir()
	for _, splits := range [][]string{{"val", "train"}, {"train", "train"}, {""}, {"a/b"}, {".."}} {
		w, err := NewWriter(filepath.Join(parent, "set"), WriterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range splits {
			err = errors.Join(err, w.Split(s))
		}
		if err == nil {
			t.Errorf("splits %q: taken", splits)
		}
		w.Abort()
		empty(t, parent)
	}
	err := WriterOptions{ShardBytes: -1, Codec: "gzip"}.Validate()
	if err == nil || !strings.Contains(err.Error(), "-1") || !strings.Contains(err.Error(), "gzip") {
		t.Errorf("options with two faults: %v", err)
	}
	if _, err := NewWriter(filepath.Join(parent, "set"), WriterOptions{Codec: "gzip"}); err == nil {
		t.Error("codec gzip: taken")
	}
}
