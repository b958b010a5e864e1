package trainer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"bagpipe/shards"
)

// shaky is a shard file with a fault.
type shaky struct {
	shards.Input
	fault func(b []byte, off int64) error // nil error: read on
}

func (s shaky) ReadAt(b []byte, off int64) (int, error) {
	if err := s.fault(b, off); err != nil {
		return 0, err
	}
	return s.Input.ReadAt(b, off)
}

// reopen opens a data set again, with faults in the reads of one split's records.
func reopen(t *testing.T, d *shards.Dataset, split string, fault func(b []byte, off int64) error) *shards.Dataset {
	t.Helper()
	ready := atomic.Bool{} // opened: from here on records are read
	again, err := shards.OpenWith(d.Dir, shards.Options{Open: func(path string) (shards.Input, error) {
		f, err := os.Open(path)
		return shaky{f, func(b []byte, off int64) error {
			if !ready.Load() || !strings.HasPrefix(filepath.Base(path), split) {
				return nil
			}
			return fault(b, off)
		}}, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	ready.Store(true)
	t.Cleanup(func() { again.Close() })
	return again
}

// TestFailingDiskEndsTheRunWithACheckpoint fails the disk at several reads of the training and of the evaluation. The
// run ends with an error that names file, cause and remedy; resumed on a sound disk, it ends with
// the weights of an undisturbed run, bit for bit.
func TestFailingDiskEndsTheRunWithACheckpoint(t *testing.T) {
	d := dataset(t, 3, 28, 9) // 3 steps an epoch
	for _, spec := range []string{"cpu:0", "cpu:0,cpu:1"} {
		c := small(t, "epochs=2", "mixup=0.2", "ema=0.9")
		whole := options(t, spec, d)
		train(t, c, whole)
		want := lastFiles(t, whole.Run)
		for _, tt := range []struct {
			split string
			read  int32
		}{{"train", 1}, {"train", 20}, {"train", 33}, {"train", 47}, {"val", 1}, {"val", 9}, {"val", 14}} {
			name := fmt.Sprintf("%s: read %d of %s", spec, tt.read, tt.split)
			o := options(t, spec, d)
			reads := atomic.Int32{}
			o.Data = reopen(t, d, tt.split, func([]byte, int64) error {
				if reads.Add(1) >= tt.read { // and from then on
					return &os.PathError{Op: "read", Path: "disk", Err: syscall.EIO}
				}
				return nil
			})
			r, err := Train(t.Context(), c, o)
			var io *shards.IOError
			if !errors.As(err, &io) || !errors.Is(err, syscall.EIO) || r.Interrupted {
				t.Fatalf("%s: %+v, %v", name, r, err)
			}
			for _, word := range []string{fmt.Sprintf("step %d", r.Steps), tt.split + "-00000.shard: record ", "input/output error", "check the disk", "--resume"} {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%s: %q lacks %q", name, err, word)
				}
			}
			if s, err := readState(filepath.Join(checkpointDir(o.Run), lastName)); err != nil || s.Step != r.Steps {
				t.Errorf("%s: checkpoint of step %d, %v; want step %d", name, s.Step, err, r.Steps)
			}
			if tt.split == "val" && r.Steps%3 != 0 {
				t.Errorf("%s: the evaluation failed at step %d", name, r.Steps)
			}
			o.Data, o.Resume, o.Workers = d, true, 1
			train(t, c, o)
			got := lastFiles(t, o.Run)
			if same := bytes.Equal(got[0], want[0]) && bytes.Equal(got[1], want[1]); !same && spec == "cpu:0" {
				t.Errorf("%s: resumed after step %d, the run ends with other weights", name, r.Steps)
			}
			if a, b := losses(t, o.Run), losses(t, whole.Run); a != b && spec == "cpu:0" {
				t.Errorf("%s: metrics\n%s\nwant\n%s", name, a, b)
			}
		}
	}
}

// TestShardCutShortEndsTheRun truncates the training shard on the disk while the run reads it.
func TestShardCutShortEndsTheRun(t *testing.T) {
	d := dataset(t, 3, 28, 0)
	path := filepath.Join(d.Dir, "train-00000.shard")
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	o := options(t, "cpu:0", d)
	o.Observer = &log{onStep: func(s Step) {
		if s.Step == 3 {
			if err := os.Truncate(path, 100); err != nil {
				t.Error(err)
			}
		}
	}}
	c := small(t, "epochs=50", "schedule=constant") // a rate that does not follow epochs
	r, err := Train(t.Context(), c, o)
	if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "cut short while it was open: 100 bytes") || r.Steps < 4 || r.Steps > 10 {
		t.Errorf("%+v, %v", r, err)
	}
	if s, err := readState(filepath.Join(checkpointDir(o.Run), lastName)); err != nil || s.Step != r.Steps {
		t.Errorf("checkpoint of step %d, %v; want step %d", s.Step, err, r.Steps)
	}
	if err := os.WriteFile(path, sound, 0o644); err != nil {
		t.Fatal(err)
	}
	whole := options(t, "cpu:0", d)
	short := c
	short.Epochs = 4
	train(t, short, whole)
	o.Observer, o.Resume = nil, true
	train(t, short, o)
	a, b := lastFiles(t, o.Run), lastFiles(t, whole.Run)
	if !bytes.Equal(a[0], b[0]) || !bytes.Equal(a[1], b[1]) {
		t.Error("the resumed run ends with other weights")
	}
}

// TestDamagedRecordDoesNotEndTheRun flips a bit of one record at every read: another picture takes its place, the
// record is named once, and the run ends with the same weights for any number of workers.
func TestDamagedRecordDoesNotEndTheRun(t *testing.T) {
	d := dataset(t, 3, 28, 9)
	first := int64(16) // where record 0 lies
	var want [2][]byte
	for _, workers := range []int{1, 3} {
		o := options(t, "cpu:0", d)
		path := filepath.Join(d.Dir, "train-00000.shard")
		again, err := shards.OpenWith(d.Dir, shards.Options{Open: func(p string) (shards.Input, error) {
			f, err := os.Open(p)
			if p != path {
				return f, err
			}
			return flipping{f, first}, err
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		var l log
		o.Data, o.Observer, o.Workers = again, &l, workers
		r := train(t, small(t, "epochs=3"), o)
		named := 0
		for _, n := range l.notes {
			if strings.Contains(n, "train-0 could not be read") && strings.Contains(n, "record 0: crc") {
				named++
			}
		}
		if named != 1 || r.Steps != 9 {
			t.Errorf("%d workers: named %d times after %d steps: %q", workers, named, r.Steps, l.notes)
		}
		got := lastFiles(t, o.Run)
		if want[0] == nil {
			want = got
		} else if !bytes.Equal(got[0], want[0]) || !bytes.Equal(got[1], want[1]) {
			t.Errorf("%d workers: other weights", workers)
		}
	}
}

// flipping flips a bit of whatever is read at an offset, but for the header.
type flipping struct {
	shards.Input
	at int64
}

func (f flipping) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.Input.ReadAt(b, off)
	if off == f.at {
		b[len(b)/3] ^= 32
	}
	return n, err
}

// TestInterruptedWhileTheDiskHangs cancels a run whose disk does not answer: it is interrupted, with a checkpoint.
func TestInterruptedWhileTheDiskHangs(t *testing.T) {
	d := dataset(t, 3, 28, 0)
	hang, reads := make(chan struct{}), atomic.Int32{}
	o := options(t, "cpu:0", d)
	stuck := make(chan struct{})
	once := sync.Once{}
	o.Data = reopen(t, d, "train", func([]byte, int64) error {
		if reads.Add(1) > 40 {
			once.Do(func() { close(stuck) })
			<-hang
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-stuck
		time.Sleep(300 * time.Millisecond) // the steps whose batches are there
		cancel()
		// Only now may the workers end; the checkpoint must be there before.
		last := filepath.Join(checkpointDir(o.Run), lastName)
		for range 1000 {
			if _, err := os.Stat(last); err == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if _, err := os.Stat(last); err != nil {
			t.Error("no checkpoint while the disk hangs")
		}
		close(hang)
	}()
	r, err := Train(ctx, small(t, "epochs=50"), o)
	if err != nil || !r.Interrupted {
		t.Errorf("%+v, %v", r, err)
	}
}
