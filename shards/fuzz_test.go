package shards

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// golden calls add with each file of the data sets in testdata.
func golden(f *testing.F, pattern string, add func(b []byte)) {
	paths, err := filepath.Glob(filepath.Join("testdata", "v1-*", pattern))
	if err != nil || len(paths) == 0 {
		f.Fatal(paths, err)
	}
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			f.Fatal(err)
		}
		add(b)
	}
}

// FuzzOpenShard opens any bytes and reads all that the index names, once as they are and once with the checksums
// made right, without which hardly a mutation would get beyond them.
func FuzzOpenShard(f *testing.F) {
	golden(f, "*.shard", func(b []byte) { f.Add(b) })
	f.Add(handShard([]handRecord{exampleRecord}))
	z, err := newZstdDecoder()
	if err != nil {
		f.Fatal(err)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(dir, "train-00000.shard")
		for _, file := range [][]byte{b, repaired(b)} {
			if err := os.WriteFile(path, file, 0o644); err != nil {
				t.Fatal(err)
			}
			s, err := (&opener{open: osOpen, z: z}).shard(path)
			if err != nil {
				if !wanted(err) {
					t.Fatal(err)
				}
				continue
			}
			if names, err := s.names(); err != nil && !wanted(err) || err == nil && len(names) != s.x.len() {
				t.Fatal(names, err)
			}
			var buf []byte
			for i := range s.x.len() {
				got, err := s.read(i, &buf)
				if err != nil && !wanted(err) || err == nil && len(got) != s.x.rawLen(i) {
					t.Fatal(i, len(got), err)
				}
			}
			s.in.Close()
		}
	})
}

// repaired makes the checksums of the footer right where its offsets make sense.
func repaired(b []byte) []byte {
	n := len(b) - trailerSize
	if n < headerSize {
		return b
	}
	b = append([]byte{}, b...)
	t := b[n:]
	index, names := le.Uint64(t), le.Uint64(t[8:])
	if index <= uint64(n) && names <= index {
		copy(t[28:], le.AppendUint32(nil, crcOf(b[index:n])))
		copy(t[32:], le.AppendUint32(nil, crcOf(b[names:index])))
	}
	copy(t[36:], le.AppendUint32(nil, crcOf(append(append([]byte{}, b[:headerSize]...), t[:36]...))))
	return b
}

// FuzzIndex takes raw columns and names, as they are after decompression. An index that is taken gives the same
// bytes when it is written.
func FuzzIndex(f *testing.F) {
	x := index{offset: []uint32{16, 19, 40}, raw: []uint32{3, 50}, crc: []uint32{1, 2}, label: []int32{0, 1}, width: []uint16{1, 65535},
		height: []uint16{65535, 1}, kind: []uint8{packKind(1, None, JPEG), packKind(4, Zstd, Other)}}
	f.Add(x.appendTo(nil), []byte("\x01\x00\x02\x00abc"), uint32(40))
	f.Fuzz(func(t *testing.T, b, names []byte, end uint32) {
		n := len(b) / indexEntry
		x, err := parseIndex("f.shard", b, n, end)
		if err != nil && !wanted(err) {
			t.Fatal(err)
		}
		if err == nil && string(x.appendTo(nil)) != string(b) {
			t.Fatalf("%x became %x", b, x.appendTo(nil))
		}
		if n = min(n, len(names)/2); err == nil {
			if list, err := parseNames("f.shard", names, n); err != nil && !wanted(err) || err == nil && len(strings.Join(list, "")) != len(names)-2*n {
				t.Fatal(list, err)
			}
		}
	})
}

// FuzzManifest reads any bytes, once as they are and once under a right check. A manifest that is taken survives
// being written.
func FuzzManifest(f *testing.F) {
	golden(f, ManifestName, func(b []byte) { f.Add(b) })
	shard := handShard([]handRecord{exampleRecord})
	f.Add(handManifest(shard, []string{"cat", "dog"}, 1, 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		if body, _, ok := strings.Cut(string(b), ",\n  \"check\""); ok {
			if m, err := ParseManifest([]byte(body + string(handCheck([]byte(body))))); err != nil && !wanted(err) {
				t.Fatal(m, err)
			}
		}
		m, err := ParseManifest(b)
		if err != nil {
			if !wanted(err) {
				t.Fatal(err)
			}
			return
		}
		again, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		if m2, err := ParseManifest(again); err != nil || m2.Hash != m.Hash {
			t.Fatalf("%v: %s", err, again)
		}
	})
}
