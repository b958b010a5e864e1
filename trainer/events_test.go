package trainer

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The reader below knows nothing of the writer: it takes the bytes apart by the
// wire format's definition.

type event struct {
	wall    float64
	step    int64
	version string
	started bool
	tag     string
	value   float32
}

func TestEvents(t *testing.T) {
	dir := t.TempDir()
	before := time.Now()
	w, err := newEventWriter(dir)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 300) // lengths of two bytes
	for _, e := range []event{{tag: "loss/train", value: 2.5}, {tag: long, step: 1, value: -1e-3}, {tag: "top1", step: 1 << 40, value: 93.25}} {
		if err := w.scalar(e.tag, int(e.step), float64(e.value)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.flush(); err != nil {
		t.Fatal(err)
	}
	flushed := readEvents(t, eventFiles(t, dir)[0])
	if err := w.scalar("loss/train", 7, math.NaN()); err != nil {
		t.Fatal(err)
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	got := readEvents(t, eventFiles(t, dir)[0])
	if len(flushed) != 5 || len(got) != 6 {
		t.Fatalf("%d events after flush and %d after close, want 5 and 6", len(flushed), len(got))
	}
	for i := range got {
		wall := time.UnixMicro(int64(got[i].wall * 1e6))
		if wall.Before(before.Add(-time.Millisecond)) || wall.After(time.Now().Add(time.Millisecond)) {
			t.Errorf("event %d: wall time %v, want about %v", i, wall, before)
		}
		got[i].wall = 0
	}
	want := []event{
		{version: "brain.Event:2"},
		{started: true},
		{tag: "loss/train", value: 2.5},
		{tag: long, step: 1, value: -1e-3},
		{tag: "top1", step: 1 << 40, value: 93.25},
	}
	if !slices.Equal(got[:5], want) {
		t.Errorf("events %+v, want %+v", got[:5], want)
	}
	if last := got[5]; last.step != 7 || last.value == last.value {
		t.Errorf("last event %+v, want NaN at step 7", last)
	}
}

// TestEventFraming holds the checksum of a record's length to the one in a file of
// TensorBoard 2.21's own writer, whose first record has 72 bytes.
func TestEventFraming(t *testing.T) {
	if got, want := masked([]byte{72, 0, 0, 0, 0, 0, 0, 0}), uint32(0x9d4892fe); got != want {
		t.Errorf("masked checksum %#x, want %#x", got, want)
	}
}

// TestEventFilesOfResumedRuns starts three times within a second and tears the
// first file as a kill does.
func TestEventFilesOfResumedRuns(t *testing.T) {
	dir := t.TempDir()
	for step := range 3 {
		w, err := newEventWriter(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.scalar("loss", 10*step, 1); err != nil {
			t.Fatal(err)
		}
		if err := w.close(); err != nil {
			t.Fatal(err)
		}
		if step == 0 {
			file := eventFiles(t, dir)[0]
			if info, err := os.Stat(file); err != nil || os.Truncate(file, info.Size()-3) != nil {
				t.Fatal("cannot tear the file")
			}
		}
	}
	files := eventFiles(t, dir)
	if len(files) != 3 {
		t.Fatalf("%d files, want one a start", len(files))
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	for i, f := range files { // glob sorts by name, as TensorBoard does
		if !strings.HasSuffix(f, "."+host) {
			t.Errorf("%s does not name the host %s", filepath.Base(f), host)
		}
		if i == 0 {
			continue // torn
		}
		if es := readEvents(t, f); len(es) != 3 || !es[1].started || es[1].step != int64(10*i) || es[2].step != int64(10*i) {
			t.Errorf("%s: %+v, want a session that starts at step %d", filepath.Base(f), es, 10*i)
		}
	}
}

func TestEventErrors(t *testing.T) {
	if _, err := newEventWriter(filepath.Join(t.TempDir(), "missing")); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("error %v, want one that names the folder", err)
	}
	w, err := newEventWriter(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w.file.Close() // as a full disk: nothing more can be written
	if err := w.flush(); err == nil {
		t.Error("flush to a closed file gave no error")
	}
	if err := w.flush(); err == nil {
		t.Error("the first error did not stick")
	}
}

func eventFiles(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "events.out.tfevents.*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no event files in %s: %v", dir, err)
	}
	return files
}

func readEvents(t *testing.T, file string) (es []event) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	unmask := func(b []byte) uint32 {
		c := binary.LittleEndian.Uint32(b) - 0xa282ead8
		return c<<15 | c>>17
	}
	sum := func(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
	for len(b) > 0 {
		n := int(binary.LittleEndian.Uint64(b))
		data := b[12 : 12+n]
		if unmask(b[8:]) != sum(b[:8]) || unmask(b[12+n:]) != sum(data) {
			t.Fatalf("%s: record %d: wrong checksum", file, len(es))
		}
		var e event
		fields(t, data, func(num int, v uint64, b []byte) {
			switch num {
			case 1:
				e.wall = math.Float64frombits(v)
			case 2:
				e.step = int64(v)
			case 3:
				e.version = string(b)
			case 5:
				fields(t, b, func(_ int, _ uint64, b []byte) { // Summary.value
					fields(t, b, func(num int, v uint64, b []byte) {
						if num == 1 {
							e.tag = string(b)
						} else {
							e.value = math.Float32frombits(uint32(v))
						}
					})
				})
			case 7:
				fields(t, b, func(_ int, v uint64, _ []byte) { e.started = v == 1 })
			}
		})
		es = append(es, e)
		b = b[12+n+4:]
	}
	return es
}

// fields calls f with every field of a message: its number, and its value or bytes.
func fields(t *testing.T, b []byte, f func(num int, v uint64, b []byte)) {
	t.Helper()
	uvarint := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			t.Fatal("bad varint")
		}
		b = b[n:]
		return v
	}
	for len(b) > 0 {
		key := uvarint()
		num := int(key >> 3)
		switch key & 7 {
		case 0:
			f(num, uvarint(), nil)
		case 1:
			f(num, binary.LittleEndian.Uint64(b), nil)
			b = b[8:]
		case 2:
			n := uvarint()
			f(num, 0, b[:n])
			b = b[n:]
		case 5:
			f(num, uint64(binary.LittleEndian.Uint32(b)), nil)
			b = b[4:]
		default:
			t.Fatalf("wire type %d", key&7)
		}
	}
}
