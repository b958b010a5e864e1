package shards

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// unreliable is an Input with faults.
type unreliable struct {
	Input
	read func(b []byte, off int64) (int, error) // in place of ReadAt, unless it returns errPass
}

// errPass makes unreliable read as if nothing were.
var errPass = errors.New("pass")

func (u unreliable) ReadAt(b []byte, off int64) (int, error) {
	n, err := u.read(b, off)
	if err == errPass {
		return u.Input.ReadAt(b, off)
	}
	return n, err
}

// with opens files through read.
func with(read func(b []byte, off int64) (int, error)) Options {
	return Options{Open: func(path string) (Input, error) {
		f, err := os.Open(path)
		return unreliable{f, read}, err
	}}
}

// written makes a data set whose train split is one shard, and returns its records of train.
func written(t *testing.T) (dir string, train []sample) {
	records := samples(t, "auto", 24)
	dir = filepath.Join(t.TempDir(), "set")
	if _, err := writeSet(dir, WriterOptions{}, records); err != nil {
		t.Fatal(err)
	}
	return dir, records[:16]
}

// opened opens a data set for the length of the test.
func opened(t *testing.T, dir string, o Options) *Split {
	d, err := OpenWith(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	s, err := d.Split("train")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ioFault checks that an error is the file system's and tells what, where and what to do.
func ioFault(t *testing.T, err, cause error, words ...string) {
	t.Helper()
	var e *IOError
	if !errors.As(err, &e) || OfRecord(err) || !errors.Is(err, cause) {
		t.Errorf("got %v (%T), want an *IOError of %v", err, err, cause)
		return
	}
	for _, w := range append(words, "train-00000.shard: record ", e.Remedy) {
		if !strings.Contains(err.Error(), w) || w == "" {
			t.Errorf("%q lacks %q", err, w)
		}
	}
}

func TestReadErrorIsTheDisks(t *testing.T) {
	dir, train := written(t)
	broken := false
	s := opened(t, dir, with(func(b []byte, off int64) (int, error) {
		if broken {
			return len(b) / 2, &os.PathError{Op: "read", Path: "train-00000.shard", Err: syscall.EIO}
		}
		return 0, errPass
	}))
	var buf []byte
	broken = true
	for i := range train {
		_, err := s.Read(i, &buf)
		ioFault(t, err, syscall.EIO, "input/output error", "check the disk")
	}
	// Names are for messages alone: a place must do.
	if got := s.Source(3); got != "train-00000.shard: record 3" {
		t.Errorf("name %q", got)
	}
	broken = false
	if b, err := s.Read(3, &buf); err != nil || !bytes.Equal(b, train[3].picture) {
		t.Errorf("after the fault: %q, %v", b, err)
	}
}

func TestShortReadIsTheDisks(t *testing.T) {
	dir, train := written(t)
	for _, end := range []error{nil, io.EOF, io.ErrUnexpectedEOF} {
		short := false
		s := opened(t, dir, with(func(b []byte, off int64) (int, error) {
			if short {
				return len(b) - 1, end
			}
			return 0, errPass
		}))
		short = true
		for i, r := range train {
			_, err := s.Read(i, nil)
			ioFault(t, err, io.ErrUnexpectedEOF, fmt.Sprintf("%d of %d bytes", len(r.Data)-1, len(r.Data)), "check the disk")
		}
	}
}

// A file cut short while it is open is an error for what is gone, at every length, and never a signal. What is
// left can be read.
func TestFileCutShortWhileOpen(t *testing.T) {
	dir, train := written(t)
	path := filepath.Join(dir, "train-00000.shard")
	s := opened(t, dir, Options{})
	x := s.shards[0].x
	var buf []byte
	for size := int64(x.offset[len(train)]); size >= 0; size -= 7 {
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		for i, r := range train {
			b, err := s.Read(i, &buf)
			if int64(x.offset[i+1]) <= size {
				if err != nil || !bytes.Equal(b, r.picture) {
					t.Errorf("%d bytes left: record %d: %q, %v", size, i, b, err)
				}
				continue
			}
			ioFault(t, err, io.ErrUnexpectedEOF, fmt.Sprintf("cut short while it was open: %d bytes", size), "copy the data set again")
		}
	}
}

// Files that are removed or replaced by renaming while they are open are read to the end of the run.
func TestFileRemovedWhileOpen(t *testing.T) {
	dir, train := written(t)
	s := opened(t, dir, Options{})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := writeSet(dir, WriterOptions{}, samples(t, "none", 3)); err != nil {
		t.Fatal(err)
	}
	var buf []byte
	for i, r := range train {
		if b, err := s.Read(i, &buf); err != nil || !bytes.Equal(b, r.picture) {
			t.Errorf("record %d: %q, %v", i, b, err)
		}
	}
}

func TestBitFlipIsTheRecords(t *testing.T) {
	dir, train := written(t)
	victim := -1
	var s *Split
	s = opened(t, dir, Options{Open: func(path string) (Input, error) {
		f, err := os.Open(path)
		return unreliable{f, func(b []byte, off int64) (int, error) {
			n, err := f.ReadAt(b, off)
			if victim >= 0 && off == int64(s.shards[0].x.offset[victim]) {
				b[len(b)/2] ^= 4
			}
			return n, err
		}}, err
	}})
	var buf []byte
	for victim = range train {
		for i, r := range train {
			b, err := s.Read(i, &buf)
			var m *MalformedError
			switch {
			case i != victim:
				if err != nil || !bytes.Equal(b, r.picture) {
					t.Errorf("record %d beside the damaged %d: %q, %v", i, victim, b, err)
				}
			case !errors.As(err, &m) || !OfRecord(err) || m.Place != fmt.Sprintf("train-00000.shard: record %d", i):
				t.Errorf("record %d: %v", i, err)
			}
		}
	}
}

// A disk that takes ten seconds for each read is slow, no fault.
func TestSlowDisk(t *testing.T) {
	dir, train := written(t)
	synctest.Test(t, func(t *testing.T) {
		d, err := OpenWith(dir, with(func(b []byte, off int64) (int, error) { time.Sleep(10 * time.Second); return 0, errPass }))
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		s, _ := d.Split("train")
		start := time.Now()
		for i, r := range train {
			if b, err := s.Read(i, nil); err != nil || !bytes.Equal(b, r.picture) {
				t.Errorf("record %d: %q, %v", i, b, err)
			}
		}
		if took := time.Since(start); took != time.Duration(len(train))*10*time.Second {
			t.Errorf("%d records in %v: want one read each", len(train), took)
		}
	})
}

// Every read of opening fails in turn: the error is the disk's, not a damaged data set's, and no file stays open.
func TestFaultsWhileOpening(t *testing.T) {
	dir, _ := written(t)
	for step := 0; ; step++ {
		left, live := step, 0
		_, err := OpenWith(dir, Options{Open: func(path string) (Input, error) {
			if filepath.Base(path) != "train-00000.shard" {
				return os.Open(path)
			}
			f, err := os.Open(path)
			live++
			return closing{unreliable{f, func([]byte, int64) (int, error) {
				if left--; left == -1 {
					return 0, syscall.EIO
				}
				return 0, errPass
			}}, &live}, err
		}})
		if err == nil {
			if step != 3 {
				t.Errorf("opening a shard took %d reads, want 3: header, trailer, index", step)
			}
			break
		}
		if live != 0 || !errors.Is(err, syscall.EIO) || OfRecord(err) || !strings.Contains(err.Error(), "train-00000.shard") {
			t.Errorf("step %d: %v, %d files open", step, err, live)
		}
	}
	_, err := OpenWith(dir, Options{Open: func(path string) (Input, error) {
		return nil, &os.PathError{Op: "open", Path: path, Err: syscall.EMFILE}
	}})
	if !errors.Is(err, syscall.EMFILE) || !strings.Contains(err.Error(), "ulimit") {
		t.Errorf("too many open files: %v", err)
	}
}

// closing counts files that are open.
type closing struct {
	Input
	live *int
}

func (c closing) Close() error { *c.live--; return c.Input.Close() }

// The first shard in the manifest's order that has a fault is the one that is named, however the shards were opened.
func TestOpeningNamesTheFirstFault(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "set")
	m, err := writeSet(dir, WriterOptions{ShardBytes: 1}, samples(t, "none", 60))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(m.Splits[0].Shards); n != 40 {
		t.Fatalf("%d shards", n)
	}
	for range 20 {
		_, err := OpenWith(dir, Options{Open: func(path string) (Input, error) {
			if base := filepath.Base(path); base >= "train-00011.shard" && base < "val" {
				return nil, &os.PathError{Op: "open", Path: base, Err: os.ErrPermission}
			}
			return os.Open(path)
		}})
		if !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "train-00011.shard") {
			t.Fatal(err)
		}
	}
}

// BenchmarkRead reads records of picture size, in a shuffled order, from the page cache.
func BenchmarkRead(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "set")
	w, err := NewWriter(dir, WriterOptions{})
	if err != nil {
		b.Fatal(err)
	}
	if err := w.Split("train"); err != nil {
		b.Fatal(err)
	}
	data := bytes.Repeat([]byte("0123456789"), 11_000)
	for i := range 1000 {
		data[i]++
		if err := w.Add(Record{Meta: Meta{Width: 1, Height: 1, Components: 3}, Data: data, Raw: len(data)}); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := w.Finish(Summary{Classes: []string{"a"}}); err != nil {
		b.Fatal(err)
	}
	d, err := Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	s, _ := d.Split("train")
	o, i := NewOrder(s.Len(), 1, 0, true), 0
	var buf []byte
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := s.Read(o.At(i%s.Len()), &buf); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
