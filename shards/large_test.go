//go:build unix

package shards

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// largeSet writes a data set of n records without their pictures: shards as shardify cuts them, 256 MiB of
// pictures of 110 KB on the average, whose records are holes in sparse files. Headers, names, indexes and
// trailers are complete, so that opening it is opening a real one.
func largeSet(tb testing.TB, n int) (dir string) {
	const perShard, size, numClasses = 2400, 110_000, 1000
	dir = tb.TempDir()
	z, err := newZstdEncoder()
	if err != nil {
		tb.Fatal(err)
	}
	defer z.Close()
	m := &Manifest{Format: manifestFormat, Version: version, Codec: "auto", Bad: []Bad{}, Skipped: []Bad{}}
	for c := range numClasses {
		m.Classes = append(m.Classes, fmt.Sprintf("n%08d", 1440764+c*977))
	}
	split := SplitInfo{Name: "train", Records: n}
	rnd := rand.New(rand.NewPCG(1, 1))
	for first := 0; first < n; first += perShard {
		s := shardWriter{at: headerSize}
		for i := first; i < min(first+perShard, n); i++ {
			label := i * numClasses / n
			w, h := 500, 333+rnd.IntN(168)
			if i%4 == 0 {
				w, h = h, w
			}
			name := fmt.Sprintf("%s/%s_%d.JPEG", m.Classes[label], m.Classes[label], rnd.IntN(20_000))
			s.lens = le.AppendUint16(s.lens, uint16(len(name)))
			s.names = append(s.names, name...)
			length := uint32(size/2 + rnd.IntN(size))
			x := &s.x
			x.offset, x.raw = append(x.offset, uint32(s.at)), append(x.raw, length)
			x.crc, x.label = append(x.crc, rnd.Uint32()), append(x.label, int32(label))
			x.width, x.height = append(x.width, uint16(w)), append(x.height, uint16(h))
			x.kind = append(x.kind, packKind(3, None, JPEG))
			s.at += int64(length)
		}
		info := ShardInfo{File: fmt.Sprintf("train-%05d%s", first/perShard, shardSuffix), SHA256: fmt.Sprintf("%064x", first)}
		s.x.offset = append(s.x.offset, uint32(s.at))
		info.Records = s.x.len()
		t := trailer{namesOffset: uint64(s.at), records: uint32(info.Records)}
		raw := append(s.lens, s.names...)
		foot := z.EncodeAll(raw, nil)
		t.namesRaw, t.namesCRC, t.indexOffset = uint32(len(raw)), crcOf(foot), t.namesOffset+uint64(len(foot))
		raw = s.x.appendTo(nil)
		packed := z.EncodeAll(raw, nil)
		t.indexRaw, t.indexCRC = uint32(len(raw)), crcOf(packed)
		foot = t.appendTo(append(foot, packed...))
		f, err := os.Create(filepath.Join(dir, info.File))
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := f.WriteAt(header(), 0); err != nil {
			tb.Fatal(err)
		}
		if _, err := f.WriteAt(foot, s.at); err != nil {
			tb.Fatal(err)
		}
		if err := f.Close(); err != nil {
			tb.Fatal(err)
		}
		info.Bytes = s.at + int64(len(foot))
		split.Bytes += info.Bytes
		split.Shards = append(split.Shards, info)
	}
	m.Splits = []SplitInfo{split}
	m.Hash = m.dataHash()
	b, err := m.encode()
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, ManifestName), b, 0o644)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return dir
}

// heap returns the bytes of live objects.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what the first one's finalizers let go
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// inOrder visits positions of an order and reads their labels, as a loader would.
func inOrder(s *Split, o Order, n int) (sum int64) {
	for i := range min(n, o.Len()) {
		sum += int64(s.Label(o.At(i)))
	}
	return sum
}

// TestMemoryOfARecord holds an opened data set, manifest included, to 32 bytes a record, and an epoch in shuffled order to nothing
// more.
func TestMemoryOfARecord(t *testing.T) {
	const n = 300_000
	dir := largeSet(t, n)
	before := heap()
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	opened := heap()
	s, _ := d.Split("train")
	for _, o := range []Order{NewOrder(n, 1, 0, true), NewBlockOrder(n, 1, 0, 32)} {
		if sum := inOrder(s, o, n); sum != 149_850_000 {
			t.Errorf("the labels sum up to %d", sum)
		}
	}
	shuffled := heap()
	per := float64(opened-before) / n
	t.Logf("%.1f bytes a record, %d for two epochs' orders", per, shuffled-opened)
	if per > 32 || shuffled-opened > 64<<10 {
		t.Errorf("%.1f bytes a record, want at most 32; %d more after two epochs", per, shuffled-opened)
	}
	runtime.KeepAlive(d)
}

// cpuTime is what this process has used, user and system.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkOpen14M opens a data set of the size of ImageNet-22k and reports what it keeps. The files need 300 MB:
//
//	TMPDIR=/dev/shm go test ./shards -run xxx -bench Open14M -benchtime 10x
func BenchmarkOpen14M(b *testing.B) {
	const n = 14_000_000
	dir := largeSet(b, n)
	before := heap()
	var worst, cpu time.Duration
	for b.Loop() {
		start, used := time.Now(), cpuTime(b)
		d, err := Open(dir)
		if err != nil {
			b.Fatal(err)
		}
		worst = max(worst, time.Since(start))
		cpu += cpuTime(b) - used
		b.StopTimer()
		opened := heap()
		s, _ := d.Split("train")
		inOrder(s, NewOrder(n, 1, 0, true), 1_000_000)
		shuffled := heap()
		b.ReportMetric(float64(opened-before)/n, "heap-B/record")
		b.ReportMetric(float64(shuffled-opened), "order-B")
		if err := d.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(worst.Seconds(), "worst-s")
	b.ReportMetric(cpu.Seconds()/float64(b.N), "cpu-s/op")
}
