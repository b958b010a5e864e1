package shards

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The encoder of this file knows docs/shard-format.md and nothing of the package: integers, checksums and zstd
// frames are made by hand.

// little gives the n low bytes of v, least first.
func little(v uint64, n int) (b []byte) {
	for range n {
		b = append(b, byte(v))
		v >>= 8
	}
	return b
}

// castagnoli is CRC-32C bit by bit.
func castagnoli(parts ...[]byte) []byte {
	crc := ^uint32(0)
	for _, b := range bytes.Join(parts, nil) {
		crc ^= uint32(b)
		for range 8 {
			odd := crc & 1
			crc >>= 1
			if odd == 1 {
				crc ^= 0x82f63b78
			}
		}
	}
	return little(uint64(^crc), 4)
}

// frame stores b in a zstd frame (RFC 8878, 3.1.1) without compressing it: magic, descriptor for a content size
// of 4 bytes in a single segment, the size, one last block of type raw.
func frame(b []byte) []byte {
	out := []byte{0x28, 0xb5, 0x2f, 0xfd, 0xa0}
	out = append(out, little(uint64(len(b)), 4)...)
	out = append(out, little(uint64(len(b))<<3|1, 3)...)
	return append(out, b...)
}

type handRecord struct {
	stored        []byte
	raw           int
	label         int
	width, height int
	components    int
	format, codec byte
	name          string
}

func handShard(records []handRecord) []byte {
	head := append([]byte("BAGSHARD"), append(little(1, 4), little(0, 4)...)...)
	file := bytes.Clone(head)
	columns := make([][]byte, 10)
	var lengths, names []byte
	for _, r := range records {
		for i, c := range [][]byte{little(uint64(len(file)), 4), little(uint64(len(r.stored)), 4), little(uint64(r.raw), 4),
			castagnoli(r.stored), little(uint64(r.label), 4), little(uint64(r.width), 2), little(uint64(r.height), 2),
			{byte(r.components)}, {r.format}, {r.codec}} {
			columns[i] = append(columns[i], c...)
		}
		lengths = append(lengths, little(uint64(len(r.name)), 2)...)
		names = append(names, r.name...)
		file = append(file, r.stored...)
	}
	names = append(lengths, names...)
	index := bytes.Join(columns, nil)
	namesAt := len(file)
	file = append(file, frame(names)...)
	indexAt := len(file)
	file = append(file, frame(index)...)
	trailer := bytes.Join([][]byte{little(uint64(indexAt), 8), little(uint64(namesAt), 8), little(uint64(len(index)), 4),
		little(uint64(len(names)), 4), little(uint64(len(records)), 4), castagnoli(frame(index)), castagnoli(frame(names))}, nil)
	file = append(file, trailer...)
	file = append(file, castagnoli(head, trailer)...)
	return append(file, "BAGTRAIL"...)
}

// handManifest is a manifest.json around one train shard.
func handManifest(shard []byte, classes []string, records, sourceBytes int) []byte {
	sum := sha256.Sum256(shard)
	var ids []byte
	for _, s := range append([]string{"bagpipe-shards", "1", fmt.Sprint(len(classes))}, append(classes, "train", "1", hex.EncodeToString(sum[:]))...) {
		ids = append(ids, fmt.Sprintf("%d:%s\n", len(s), s)...)
	}
	hash := sha256.Sum256(ids)
	text := fmt.Sprintf(`{"format": "bagpipe-shards", "version": 1, "hash": "%x", "codec": "none", "classes": ["%s"],
 "splits": [{"name": "train", "records": %d, "bytes": %d, "source_bytes": %d, "bad": 0, "skipped": 0,
 "shards": [{"file": "train-00000.shard", "records": %d, "bytes": %d, "sha256": "%x"}]}], "bad": [], "skipped": []`,
		hash, strings.Join(classes, `", "`), records, len(shard), sourceBytes, records, len(shard), sum)
	return append([]byte(text), handCheck([]byte(text))...)
}

// handCheck is the end of a manifest.
func handCheck(text []byte) []byte {
	crc := castagnoli(text)
	return fmt.Appendf(nil, ",\n  \"check\": \"%02x%02x%02x%02x\"\n}\n", crc[3], crc[2], crc[1], crc[0])
}

// writeFiles fills a new folder.
func writeFiles(t testing.TB, files map[string][]byte) string {
	dir := t.TempDir()
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// exampleRecord is the one of the worked example in docs/shard-format.md.
var exampleRecord = handRecord{stored: []byte("abc"), raw: 3, label: 1, width: 2, height: 258, components: 3, format: 2, name: "dog/1.bmp"}

func TestReadsWhatTheSpecificationSays(t *testing.T) {
	records := []handRecord{
		exampleRecord,
		{stored: []byte{0x12, 'a', 1, 0, 0x50, 'b', 'c', 'd', 'e', 'f'}, raw: 12, width: 65535, height: 1, components: 1, codec: 1, name: "cat/é.jpg"}, // LZ4 block: "a", 6 more from 1 back, "bcdef"
		{stored: frame([]byte("zstd")), raw: 4, label: 1, width: 1, height: 65535, components: 4, format: 1, codec: 2, name: strings.Repeat("n", MaxName)},
	}
	shard := handShard(records)
	dir := writeFiles(t, map[string][]byte{"train-00000.shard": shard, ManifestName: handManifest(shard, []string{"cat", "dog"}, 3, 19)})
	if faults, err := Verify(t.Context(), dir, nil); err != nil || len(faults) > 0 {
		t.Fatal(faults, err)
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
	want := []string{"abc", "aaaaaaabcdef", "zstd"}
	for i, r := range records {
		b, err := s.Read(i, nil)
		if err != nil || string(b) != want[i] {
			t.Errorf("record %d: %q, %v; want %q", i, b, err, want[i])
		}
		m := Meta{int32(r.label), r.width, r.height, r.components, Format(r.format)}
		if got := s.Meta(i); got != m {
			t.Errorf("record %d: meta %+v, want %+v", i, got, m)
		}
		if got := s.Source(i); got != r.name {
			t.Errorf("record %d: name %q, want %q", i, got, r.name)
		}
	}
}

// The dump in the documentation is what this encoder gives for the example, and what the package reads.
func TestWorkedExample(t *testing.T) {
	doc, err := os.ReadFile("../docs/shard-format.md")
	if err != nil {
		t.Fatal(err)
	}
	var dump []string
	for line := range strings.Lines(string(doc)) {
		if at, rest, ok := strings.Cut(strings.TrimSpace(line), "  "); ok && len(at) == 4 && strings.Trim(at, "0123456789abcdef") == "" {
			cells, _, _ := strings.Cut(rest, "   ")
			dump = append(dump, strings.Fields(cells)...)
		}
	}
	want := handShard([]handRecord{exampleRecord})
	got, err := hex.DecodeString(strings.Join(dump, ""))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the dump in docs/shard-format.md differs from its rules (%v); want\n%s", err, hex.Dump(want))
	}
}
