package shards

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

var update = flag.Bool("update", false, "write golden files anew")

// sample is a record and what it was made from.
type sample struct {
	Record
	picture []byte
}

// samples makes records of every kind: noise that no codec shrinks, text that each does, one byte.
func samples(t testing.TB, policy string, n int) []sample {
	t.Helper()
	enc, err := NewEncoder(policy)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	var out []sample
	for i := range n {
		b := bytes.Repeat(fmt.Appendf(nil, "picture %d, ", i), 1+rnd.IntN(20))
		switch i % 4 {
		case 1:
			b = make([]byte, 1+rnd.IntN(300))
			for j := range b {
				b[j] = byte(rnd.Uint32())
			}
		case 3:
			b = b[:1]
		}
		stored, codec := enc.Encode(nil, b)
		out = append(out, sample{Record{Meta: Meta{Label: int32(i % 3), Width: 1 + i, Height: MaxSide - i, Components: 1 + i%4, Format: Format(i % 3)},
			Name: fmt.Sprintf("class %d/%d.jpg", i%3, i), Data: stored, Raw: len(b), Codec: codec}, b})
	}
	return out
}

var classes = []string{"ant", "bee", "chat à queue"}

// writeSet writes records into train and val, a third of them into val.
func writeSet(dir string, o WriterOptions, records []sample) (*Manifest, error) {
	w, err := NewWriter(dir, o)
	if err != nil {
		return nil, err
	}
	defer w.Abort()
	cut := len(records) - len(records)/3
	for i, part := range [][]sample{records[:cut], records[cut:]} {
		if err := w.Split([]string{"train", "val"}[i]); err != nil {
			return nil, err
		}
		for _, r := range part {
			if err := w.Add(r.Record); err != nil {
				return nil, err
			}
		}
	}
	return w.Finish(Summary{Classes: classes, Stats: &Stats{Pictures: 7, Mean: [3]float64{123.675, 116.28, 103.53}},
		Bad:   []Bad{{"train", "ant/bad.jpg", "it is damaged"}},
		Skips: map[string]int{"val": 2}, Skipped: []Bad{{"val", "notes.txt", "not in a class folder"}}})
}

// checkSet compares a data set with what it was made from.
func checkSet(d *Dataset, records []sample) error {
	cut := len(records) - len(records)/3
	if !slices.Equal(d.Classes, classes) || d.Stats == nil || d.Stats.Mean[0] != 123.675 {
		return fmt.Errorf("classes %q, stats %v", d.Classes, d.Stats)
	}
	var buf []byte
	for k, part := range [][]sample{records[:cut], records[cut:]} {
		s, err := d.Split([]string{"train", "val"}[k])
		if err != nil {
			return err
		}
		if s.Len() != len(part) {
			return fmt.Errorf("%s: %d records, want %d", s.Name, s.Len(), len(part))
		}
		for i, r := range part {
			b, err := s.Read(i, &buf)
			if err != nil {
				return err
			}
			if !bytes.Equal(b, r.picture) {
				return fmt.Errorf("%s: record %d: %q, want %q", s.Name, i, b, r.picture)
			}
			if s.Meta(i) != r.Meta || s.Label(i) != r.Label {
				return fmt.Errorf("%s: record %d: %+v, want %+v", s.Name, i, s.Meta(i), r.Meta)
			}
			if c, n := s.Codec(i); c != r.Codec || n != len(r.Data) {
				return fmt.Errorf("%s: record %d: %d bytes with codec %v, want %d with %v", s.Name, i, n, c, len(r.Data), r.Codec)
			}
			// A damaged name may become a place, but never another name.
			if got := s.Source(i); got != r.Name && !strings.Contains(got, ": record ") {
				return fmt.Errorf("%s: record %d: name %q, want %q", s.Name, i, got, r.Name)
			}
		}
	}
	return nil
}

func openAndCheck(dir string, records []sample) error {
	d, err := Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return checkSet(d, records)
}

func TestRoundTrip(t *testing.T) {
	used := map[string]map[Codec]int{}
	for _, policy := range CodecNames() {
		for _, size := range []int64{0, 1, 1000, 4000} { // one shard, one a record, some
			records := samples(t, policy, 40)
			dir := filepath.Join(t.TempDir(), "set")
			m, err := writeSet(dir, WriterOptions{Codec: policy, ShardBytes: size}, records)
			if err != nil {
				t.Fatal(err)
			}
			if err := openAndCheck(dir, records); err != nil {
				t.Errorf("codec %s, shards of %d: %v", policy, size, err)
			}
			if faults, err := Verify(t.Context(), dir, nil); err != nil || faults != nil {
				t.Errorf("codec %s, shards of %d: verify: %v, %v", policy, size, faults, err)
			}
			for _, s := range m.Splits {
				for _, f := range s.Shards {
					if size > 1 && f.Bytes > size+2000 {
						t.Errorf("%s has %d bytes, want about %d", f.File, f.Bytes, size)
					}
				}
				if want := map[int64]int{0: 1, 1: s.Records}[size]; want > 0 && len(s.Shards) != want {
					t.Errorf("codec %s, shards of %d: %d shards, want %d", policy, size, len(s.Shards), want)
				}
			}
			used[policy] = map[Codec]int{}
			for _, r := range records {
				used[policy][r.Codec]++
			}
		}
	}
	// Noise and single bytes stay as they are whatever the policy; what shrinks is compressed.
	for policy, want := range map[string]Codec{"auto": Zstd, "lz4": LZ4, "zstd": Zstd} {
		if used[policy][None] < 20 || used[policy][want] < 15 || used[policy][None]+used[policy][want] != 40 {
			t.Errorf("policy %s used %v, want about half none and half %v", policy, used[policy], want)
		}
	}
	if used["none"][None] != 40 {
		t.Errorf("policy none used %v", used["none"])
	}
}

// A record keeps its codec from 5 % gain on.
func TestCodecMustPay(t *testing.T) {
	noise := make([]byte, 10000)
	rnd := rand.New(rand.NewPCG(3, 4))
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	for _, policy := range []string{"auto", "lz4", "zstd"} {
		for _, c := range []struct {
			zeros int
			pays  bool
		}{{0, false}, {300, false}, {1000, true}, {9000, true}} {
			b := append(bytes.Clone(noise), make([]byte, c.zeros)...)[c.zeros:]
			enc, err := NewEncoder(policy)
			if err != nil {
				t.Fatal(err)
			}
			out, codec := enc.Encode(nil, b)
			if (codec != None) != c.pays || c.pays && len(out) > 9500 || !c.pays && len(out) != len(b) {
				t.Errorf("%s: %d zeros of %d bytes gave codec %v with %d bytes", policy, c.zeros, len(b), codec, len(out))
			}
		}
	}
	if _, err := NewEncoder("gzip"); err == nil || !strings.Contains(err.Error(), "zstd") {
		t.Errorf("codec gzip gave %v", err)
	}
}

// Every reader sees the same bytes at once, with a buffer of its own or none.
func TestReadIsConcurrent(t *testing.T) {
	records := samples(t, "auto", 60)
	dir := filepath.Join(t.TempDir(), "set")
	if _, err := writeSet(dir, WriterOptions{ShardBytes: 1000}, records); err != nil {
		t.Fatal(err)
	}
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	s, err := d.Split("train")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for k := range 4 {
		wg.Go(func() {
			var own []byte
			buf := &own
			if k%2 == 0 {
				buf = nil
			}
			for i := range s.Len() * 5 {
				i = (i*7 + k) % s.Len()
				b, err := s.Read(i, buf)
				if err != nil || !bytes.Equal(b, records[i].picture) || s.Source(i) != records[i].Name {
					t.Errorf("record %d: %q, %v", i, b, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestReadAllocatesNothing(t *testing.T) {
	records := samples(t, "auto", 12)
	dir := filepath.Join(t.TempDir(), "set")
	if _, err := writeSet(dir, WriterOptions{}, records); err != nil {
		t.Fatal(err)
	}
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	s, _ := d.Split("train")
	buf := make([]byte, 0, 1000)
	for i := range s.Len() {
		if n := testing.AllocsPerRun(100, func() { s.Read(i, &buf) }); n > 0 {
			c, _ := s.Codec(i)
			t.Errorf("record %d with codec %v: %v allocations a read", i, c, n)
		}
	}
}

func TestSplits(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "set")
	if _, err := writeSet(dir, WriterOptions{}, samples(t, "none", 9)); err != nil {
		t.Fatal(err)
	}
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if s, err := d.Split("test"); err != nil || s.Name != "val" {
		t.Errorf("test without one gave %v, %v; want val", s, err)
	}
	if _, err := d.Split("dev"); err == nil || !strings.Contains(err.Error(), "[train val]") {
		t.Errorf("split dev gave %v", err)
	}
	order := []string{"train", "val", "test", "a", "b"}
	if !slices.IsSortedFunc(order, CompareSplits) {
		t.Errorf("%v is not in order", order)
	}
}

// Data sets written by earlier builds stay readable. Their shards are the fuzz targets' seeds, too.
func TestReadsGoldenFiles(t *testing.T) {
	for _, policy := range []string{"none", "lz4", "zstd"} {
		dir := filepath.Join("testdata", "v1-"+policy)
		records := samples(t, policy, 9)
		if *update {
			os.RemoveAll(dir)
			if _, err := writeSet(dir, WriterOptions{Codec: policy}, records); err != nil {
				t.Fatal(err)
			}
		}
		d, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range d.Splits() { // what the codec makes of a picture may change
			s, _ := d.Split(name)
			for i := range s.Len() {
				k := i
				if name == "val" {
					k += 6
				}
				if b, err := s.Read(i, nil); err != nil || !bytes.Equal(b, records[k].picture) || s.Meta(i) != records[k].Meta || s.Source(i) != records[k].Name {
					t.Errorf("%s: %s %d: %q, %v", dir, name, i, b, err)
				}
			}
		}
		d.Close()
	}
}
