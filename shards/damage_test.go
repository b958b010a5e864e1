package shards

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// wanted says whether an error about damaged bytes is of the promised kinds.
func wanted(err error) bool {
	var m *MalformedError
	var u *UnsupportedError
	return errors.As(err, &m) || errors.As(err, &u)
}

// damage calls change with each file of a data set that mixes codecs, one at a time, and restores it.
func damage(t *testing.T, change func(t *testing.T, path string, b []byte, check func(what string, at int, b []byte))) {
	records := append(samples(t, "lz4", 4), samples(t, "zstd", 8)...)
	dir := filepath.Join(t.TempDir(), "set")
	if _, err := writeSet(dir, WriterOptions{}, records); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{ManifestName, "train-00000.shard", "val-00000.shard"} {
		path := filepath.Join(dir, name)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		change(t, path, bytes.Clone(whole), func(what string, at int, b []byte) {
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := openAndCheck(dir, records); err != nil && !wanted(err) {
				t.Errorf("%s %s at %d: %v", name, what, at, err)
			}
			if at%5 != 0 { // verify takes longer
				return
			}
			faults, err := Verify(t.Context(), dir, nil)
			if err == nil && len(faults) == 0 {
				t.Errorf("%s %s at %d: verify finds nothing", name, what, at)
			}
			for _, f := range append(faults, err) {
				if f != nil && !wanted(f) {
					t.Errorf("%s %s at %d: verify: %v", name, what, at, f)
				}
			}
		})
		if err := os.WriteFile(path, whole, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEveryTruncation(t *testing.T) {
	damage(t, func(t *testing.T, path string, b []byte, check func(string, int, []byte)) {
		for n := range b {
			check("cut", n, b[:n])
		}
		check("with a byte more", len(b), append(bytes.Clone(b), 0))
	})
}

// One bit of every byte: a flip is found on opening, on reading, or does not matter to what is read.
func TestBitFlips(t *testing.T) {
	damage(t, func(t *testing.T, path string, b []byte, check func(string, int, []byte)) {
		for i := range b {
			bit := byte(1) << (i * 5 % 8)
			b[i] ^= bit
			check("flipped", i, b)
			b[i] ^= bit
		}
	})
}

// Small files whose checksums are right claim much: opening and reading must not take much memory for them.
func TestLyingSizes(t *testing.T) {
	one := handRecord{stored: []byte("abc"), raw: 3, width: 1, height: 1, components: 1, name: "a"}
	with := func(change func(*handRecord)) []byte {
		r := one
		change(&r)
		return handShard([]handRecord{r})
	}
	trailer := func(at int, v uint64, n int) []byte {
		b := handShard([]handRecord{one})
		t := b[len(b)-trailerSize:]
		copy(t[at:], little(v, n))
		copy(t[36:], castagnoli(b[:16], t[:36]))
		return b
	}
	for what, shard := range map[string][]byte{
		"lz4 to 256 MiB":      with(func(r *handRecord) { r.codec, r.raw = 1, MaxRecord }),
		"zstd to 256 MiB":     with(func(r *handRecord) { r.codec, r.raw = 2, MaxRecord }),
		"zstd of nonsense":    with(func(r *handRecord) { r.codec, r.raw = 2, 100 }),
		"lz4 of nonsense":     with(func(r *handRecord) { r.codec, r.raw = 1, 100 }),
		"none to 256 MiB":     with(func(r *handRecord) { r.raw = MaxRecord }),
		"empty":               with(func(r *handRecord) { r.stored, r.raw = nil, 0 }),
		"width 0":             with(func(r *handRecord) { r.width = 0 }),
		"components 5":        with(func(r *handRecord) { r.components = 5 }),
		"codec 3":             with(func(r *handRecord) { r.codec = 3 }),
		"format 3":            with(func(r *handRecord) { r.format = 3 }),
		"label of no class":   with(func(r *handRecord) { r.label = 2 }),
		"label below 0":       with(func(r *handRecord) { r.label = -1 }),
		"2^26 records":        trailer(24, maxRecords, 4),
		"names of 4 GiB":      trailer(20, 1<<32-1, 4),
		"index of 4 GiB":      trailer(16, 1<<32-1, 4),
		"index beyond":        trailer(0, 1<<40, 8),
		"names beyond":        trailer(8, 1<<40, 8),
		"names before":        trailer(8, 15, 8),
		"no records":          handShard(nil),
		"header of version 2": append([]byte("BAGSHARD\x02"), handShard([]handRecord{one})[9:]...),
		"a header, no more":   []byte("BAGSHARD\x01\x00\x00\x00\x00\x00\x00\x00"),
		"nothing":             nil,
	} {
		dir := writeFiles(t, map[string][]byte{"train-00000.shard": shard, ManifestName: handManifest(shard, []string{"cat", "dog"}, 1, 3)})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		faults, err := Verify(t.Context(), dir, nil)
		runtime.ReadMemStats(&after)
		if err != nil {
			faults = append(faults, err)
		}
		if len(faults) == 0 {
			t.Errorf("%s: no fault found", what)
		}
		for _, f := range faults {
			if !wanted(f) {
				t.Errorf("%s: %v", what, f)
			}
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20 {
			t.Errorf("%s: %d MiB allocated for a file of %d bytes", what, used>>20, len(shard))
		}
	}
}
