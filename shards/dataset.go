package shards

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sort"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Dataset is an opened folder of shards: manifest and index in memory, records mapped. Its methods and those
// of its splits are safe for concurrent use, Close excepted.
type Dataset struct {
	Dir      string
	Classes  []string // the label is the position
	Hash     string   // hex; equal for equal data whatever the number of workers that wrote it
	Stats    *Stats   // nil when not measured
	Manifest *Manifest

	splits []*Split
	z      *zstd.Decoder
}

// Open maps every shard of a data set and checks sizes, indexes and labels against the manifest; records are
// checked as they are read. Errors are *MalformedError, *UnsupportedError or the file system's.
func Open(dir string) (_ *Dataset, err error) {
	m, err := ReadManifest(dir)
	if err != nil {
		return nil, err
	}
	z, err := newZstdDecoder()
	if err != nil {
		return nil, fmt.Errorf("shards: %w", err)
	}
	d := &Dataset{Dir: dir, Classes: m.Classes, Hash: m.Hash, Stats: m.Stats, Manifest: m, z: z}
	defer func() {
		if err != nil {
			d.Close()
		}
	}()
	for _, info := range m.Splits {
		s := &Split{Name: info.Name, start: []int{0}}
		d.splits = append(d.splits, s)
		for _, f := range info.Shards {
			sh, err := openShard(filepath.Join(dir, f.File), z)
			if err != nil {
				return nil, err
			}
			s.shards = append(s.shards, sh)
			s.start = append(s.start, s.start[len(s.start)-1]+sh.x.len())
			if err := sh.agrees(f, len(m.Classes)); err != nil {
				return nil, err
			}
		}
	}
	return d, nil
}

// agrees checks an opened shard against its line of the manifest.
func (s *shard) agrees(f ShardInfo, classes int) error {
	if s.size != f.Bytes {
		return malformed(s.file, "%d bytes, want %d", s.size, f.Bytes)
	}
	if s.x.len() != f.Records {
		return malformed(s.file, "%d records, want %d", s.x.len(), f.Records)
	}
	for i, l := range s.x.label {
		if int(l) >= classes {
			return malformed(s.file, "record %d has label %d of %d classes", i, l, classes)
		}
	}
	return nil
}

// Close unmaps the shards. Slices that Read returned must not be touched afterwards.
func (d *Dataset) Close() error {
	var errs []error
	for _, s := range d.splits {
		for _, sh := range s.shards {
			errs = append(errs, sh.m.close())
		}
	}
	d.splits = nil
	d.z.Close()
	return errors.Join(errs...)
}

// Splits names the splits: train, val, test, then others by name.
func (d *Dataset) Splits() []string {
	var names []string
	for _, s := range d.splits {
		names = append(names, s.Name)
	}
	return names
}

// Split finds a split by name. Asked for val where there is only test, or the reverse, it gives that one: data
// sets call the split held out by either name.
func (d *Dataset) Split(name string) (*Split, error) {
	other := map[string]string{"val": "test", "test": "val"}[name]
	for _, want := range []string{name, other} {
		if i := slices.IndexFunc(d.splits, func(s *Split) bool { return s.Name == want }); i >= 0 {
			return d.splits[i], nil
		}
	}
	return nil, fmt.Errorf("shards: %s: no split %q, there is %v", d.Dir, name, d.Splits())
}

// Split is one of train, val, test: records 0..Len()-1 in the order of the source.
type Split struct {
	Name string

	shards []*shard
	start  []int // len(shards)+1: number of the first record of each shard, then the total

	mu     sync.Mutex // guards the names of one shard, the last asked for
	named  int        // which, plus 1
	recent []string
}

// Len is the number of records.
func (s *Split) Len() int { return s.start[len(s.start)-1] }

// locate panics on a record number outside 0..Len()-1, as indexing a slice does.
func (s *Split) locate(i int) (k, j int) {
	if i < 0 || i >= s.Len() {
		panic(fmt.Sprintf("shards: record %d of %d in split %s", i, s.Len(), s.Name))
	}
	k = sort.SearchInts(s.start, i+1) - 1
	return k, i - s.start[k]
}

// Meta is the index entry of record i.
func (s *Split) Meta(i int) Meta {
	k, j := s.locate(i)
	return s.shards[k].x.meta(j)
}

// Label is the class of record i.
func (s *Split) Label(i int) int32 {
	k, j := s.locate(i)
	return s.shards[k].x.label[j]
}

// Codec is how record i lies in its file, Stored how many bytes it takes there.
func (s *Split) Codec(i int) (c Codec, stored int) {
	k, j := s.locate(i)
	x := s.shards[k].x
	return x.codec(j), x.stored(j)
}

// Read returns the picture bytes of record i, CRC checked. A record that is not compressed comes back as a
// view of the map, valid until the Dataset is closed and not to be written; any other is unpacked into *buf,
// which grows as needed, and is valid until the next Read with the same buf. buf may be nil, at the price of an
// allocation.
func (s *Split) Read(i int, buf *[]byte) ([]byte, error) {
	k, j := s.locate(i)
	return s.shards[k].read(j, buf)
}

// Source is the name record i had in the source ("n01440764/n01440764_18.JPEG"), for messages. Names lie
// compressed in the shard; those of the last shard asked for are kept. A damaged block gives a name made
// from the place.
func (s *Split) Source(i int) string {
	k, j := s.locate(i)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.named != k+1 {
		names, err := s.shards[k].names()
		if err != nil {
			return fmt.Sprintf("%s: record %d", s.shards[k].file, j)
		}
		s.named, s.recent = k+1, names
	}
	return s.recent[j]
}
