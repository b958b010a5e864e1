package shards

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// ManifestName is the file that makes a folder a data set.
const ManifestName = "manifest.json"

const manifestFormat = "bagpipe-shards"

// Manifest is what manifest.json holds. It carries no time and no path, so that equal input gives equal bytes.
type Manifest struct {
	Format  string      `json:"format"`  // "bagpipe-shards"
	Version int         `json:"version"` // 1
	Hash    string      `json:"hash"`    // of the shards' hashes, splits and classes; hex SHA-256
	Codec   string      `json:"codec"`   // the policy the shards were written with
	Classes []string    `json:"classes"` // the label is the position
	Splits  []SplitInfo `json:"splits"`  // train, val, test, then others by name
	Bad     []Bad       `json:"bad"`     // pictures left out
	Skipped []Bad       `json:"skipped"` // the first files that are no pictures; SplitInfo.Skipped counts them all
	Stats   *Stats      `json:"stats,omitempty"`
}

// SplitInfo is one split of a manifest.
type SplitInfo struct {
	Name        string      `json:"name"`
	Records     int         `json:"records"`
	Bytes       int64       `json:"bytes"`        // of the shard files
	SourceBytes int64       `json:"source_bytes"` // of the pictures kept, as they came
	Bad         int         `json:"bad"`          // pictures left out
	Skipped     int         `json:"skipped"`      // files that are no pictures
	Shards      []ShardInfo `json:"shards"`
}

// ShardInfo is one shard file of a manifest.
type ShardInfo struct {
	File    string `json:"file"` // base name
	Records int    `json:"records"`
	Bytes   int64  `json:"bytes"`  // size of the file
	SHA256  string `json:"sha256"` // of the whole file, hex
}

// Bad is a file that did not become a record.
type Bad struct {
	Split  string `json:"split"`
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// checkEnd is the end of a manifest file: CRC32C of all bytes before it. Hash guards the pictures, this the rest.
const checkEnd = ",\n  \"check\": \"%08x\"\n}\n"

// encode gives the bytes of manifest.json.
func (m *Manifest) encode() ([]byte, error) {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	b = bytes.TrimSuffix(b, []byte("\n}"))
	return fmt.Appendf(b, checkEnd, crcOf(b)), nil
}

// sound says whether the bytes of a manifest are as encode gave them.
func sound(b []byte) bool {
	at := len(b) - len(fmt.Sprintf(checkEnd, 0))
	return at >= 0 && string(b[at:]) == fmt.Sprintf(checkEnd, crcOf(b[:at]))
}

// dataHash is the identity of the data: every field is preceded by its length, so none can pose as another.
func (m *Manifest) dataHash() string {
	h := sha256.New()
	put := func(s string) { fmt.Fprintf(h, "%d:%s\n", len(s), s) }
	put(manifestFormat)
	put(fmt.Sprint(m.Version))
	put(fmt.Sprint(len(m.Classes)))
	for _, c := range m.Classes {
		put(c)
	}
	for _, s := range m.Splits {
		put(s.Name)
		put(fmt.Sprint(len(s.Shards)))
		for _, f := range s.Shards {
			put(f.SHA256)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// CompareSplits orders train, val, test before all others, which go by name.
func CompareSplits(a, b string) int {
	rank := func(s string) int {
		if i := slices.Index([]string{"train", "val", "test"}, s); i >= 0 {
			return i
		}
		return 3
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a, b))
}

// ParseManifest reads and checks the bytes of a manifest.
func ParseManifest(b []byte) (*Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, malformed(ManifestName, "%v", err)
	}
	if m.Format != manifestFormat {
		return nil, malformed(ManifestName, "format %q, want %q: not a data set of shards", m.Format, manifestFormat)
	}
	if m.Version != version {
		return nil, unsupported(ManifestName, "version %d, this program reads %d", m.Version, version)
	}
	if !sound(b) {
		return nil, malformed(ManifestName, "its check does not fit: edited, damaged or cut short")
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	if got := m.dataHash(); got != m.Hash {
		return nil, malformed(ManifestName, "hash %.12s of its contents, want %.12s: edited or damaged", got, m.Hash)
	}
	return &m, nil
}

func (m *Manifest) check() error {
	seen := map[string]bool{}
	for i, c := range m.Classes {
		if c == "" || seen[c] || !utf8.ValidString(c) {
			return malformed(ManifestName, "class %d %q is empty, double or not UTF-8", i, c)
		}
		seen[c] = true
	}
	files := map[string]bool{}
	for i, s := range m.Splits {
		if s.Name == "" || i > 0 && CompareSplits(m.Splits[i-1].Name, s.Name) >= 0 {
			return malformed(ManifestName, "split %d %q is empty, double or out of order", i, s.Name)
		}
		records, size := 0, int64(0)
		for _, f := range s.Shards {
			if f.File == "" || f.File != filepath.Base(f.File) || !filepath.IsLocal(f.File) || files[f.File] {
				return malformed(ManifestName, "shard file %q leaves the folder or is double", f.File)
			}
			if f.Records < 1 || f.Records > maxRecords || f.Bytes < headerSize+trailerSize || f.Bytes > 2*maxShard {
				return malformed(ManifestName, "%s: %d records, %d bytes", f.File, f.Records, f.Bytes)
			}
			files[f.File] = true
			records += f.Records
			size += f.Bytes
		}
		if records != s.Records || size != s.Bytes {
			return malformed(ManifestName, "split %s: %d records, %d bytes, but its shards have %d, %d", s.Name, s.Records, s.Bytes, records, size)
		}
	}
	return nil
}

// ReadManifest reads the manifest of a data set. For anything that is no data set the error says what it is
// and what to do.
func ReadManifest(dir string) (*Manifest, error) {
	path := filepath.Join(dir, ManifestName)
	fi, err := os.Stat(path)
	if err != nil || !fi.Mode().IsRegular() {
		return nil, explain(dir, err)
	}
	if fi.Size() > maxManifest {
		return nil, malformed(path, "%d bytes, at most %d", fi.Size(), maxManifest)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("shards: %w", err)
	}
	return ParseManifest(b)
}

// explain says what lies at dir instead of a data set.
func explain(dir string, cause error) error {
	wrong := func(problem, remedy string) error {
		return &MalformedError{Place: dir, Problem: problem, Remedy: remedy}
	}
	fi, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return wrong("no such data set", "make one: shardify FOLDER-OF-PICTURES -o "+dir)
	case err != nil:
		return fmt.Errorf("shards: %w", err)
	case !fi.IsDir():
		return explainFile(dir, wrong)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("shards: %w", err)
	}
	if len(entries) == 0 {
		return wrong("the folder is empty", "make a data set: shardify FOLDER-OF-PICTURES -o "+dir)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), shardSuffix) {
			return wrong("shards without "+ManifestName+": an unfinished copy", remakeIt)
		}
	}
	if cause != nil && !errors.Is(cause, fs.ErrNotExist) {
		return fmt.Errorf("shards: %w", cause)
	}
	for _, e := range entries {
		if e.IsDir() || strings.Contains(e.Name(), ".tar") || strings.Contains(e.Name(), ".tgz") {
			clean := filepath.Clean(dir)
			return wrong("a folder of pictures, not of shards", fmt.Sprintf("run shardify %s, then use %s.shards", clean, clean))
		}
	}
	return wrong("no "+ManifestName+" in this folder: not a data set of shards", "make one: shardify FOLDER-OF-PICTURES")
}

func explainFile(path string, wrong func(problem, remedy string) error) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("shards: %w", err)
	}
	defer f.Close()
	head := make([]byte, 8)
	n, _ := f.Read(head)
	head = head[:n]
	switch {
	case string(head) == headerMagic || filepath.Base(path) == ManifestName:
		return wrong("one file of a data set", "name its folder: "+filepath.Dir(path))
	case bytes.HasPrefix(head, []byte{0xff, 0xd8}):
		return wrong("a JPEG picture, not a data set", "put pictures into CLASS folders and run shardify on them")
	case bytes.HasPrefix(head, []byte("\x89PNG")):
		return wrong("a PNG picture, not a data set", "put pictures into CLASS folders and run shardify on them")
	}
	return wrong("a file, not a folder of shards", "make a data set: shardify FOLDER-OF-PICTURES")
}
