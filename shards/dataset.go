package shards

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"

	"bagpipe/internal/cores"
)

// Dataset is an opened folder of shards: manifest and index in memory, records in the files. Its methods and those
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

// Options of opening a data set.
type Options struct {
	Open func(path string) (Input, error) // opens a shard file; nil: the operating system's
}

// Open opens every shard of a data set and checks sizes, indexes and labels against the manifest; records are
// checked as they are read. Errors are *MalformedError, *UnsupportedError or the file system's. Each shard
// keeps its file open.
func Open(dir string) (*Dataset, error) { return OpenWith(dir, Options{}) }

// OpenWith is Open with options.
func OpenWith(dir string, o Options) (_ *Dataset, err error) {
	if o.Open == nil {
		o.Open = osOpen
	}
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
		s := &Split{Name: info.Name, start: make([]int, 1, len(info.Shards)+1), shards: make([]*shard, len(info.Shards))}
		for _, f := range info.Shards {
			s.start = append(s.start, s.start[len(s.start)-1]+f.Records)
		}
		d.splits = append(d.splits, s)
	}
	if err := d.openShards(o); err != nil {
		return nil, err
	}
	return d, nil
}

// openShards opens all shards on all cores, as unpacking and checking the indexes of millions of records takes
// seconds on one. The error is that of the first shard in the manifest's order that has one.
func (d *Dataset) openShards(o Options) error {
	type job struct {
		info ShardInfo
		to   **shard
		err  error
	}
	var jobs []*job
	for k, info := range d.Manifest.Splits {
		for i, f := range info.Shards {
			jobs = append(jobs, &job{info: f, to: &d.splits[k].shards[i]})
		}
	}
	var next atomic.Int64
	var failed atomic.Bool
	var workers sync.WaitGroup
	for range min(cores.N(), len(jobs)) {
		workers.Go(func() {
			opener := &opener{open: o.Open, z: d.z}
			// Jobs are taken in order, so all before one that fails are done.
			for !failed.Load() {
				i := int(next.Add(1)) - 1
				if i >= len(jobs) {
					return
				}
				j := jobs[i]
				if *j.to, j.err = opener.shard(filepath.Join(d.Dir, j.info.File)); j.err == nil {
					j.err = (*j.to).agrees(j.info, len(d.Classes))
				}
				if j.err != nil {
					failed.Store(true)
				}
			}
		})
	}
	workers.Wait()
	for _, j := range jobs {
		if j.err != nil {
			return j.err
		}
	}
	return nil
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

// Close closes the files. Slices that Read returned stay what they are: buffers of the callers.
func (d *Dataset) Close() error {
	var errs []error
	for _, s := range d.splits {
		for _, sh := range s.shards {
			if sh != nil { // opening failed before it
				errs = append(errs, sh.in.Close())
			}
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

// Room is how many bytes of its buffer Read of record i uses.
func (s *Split) Room(i int) int {
	k, j := s.locate(i)
	return s.shards[k].room(j)
}

// Read returns the picture bytes of record i, CRC checked, in *buf, which grows as needed: they are the
// caller's, valid until the next Read with the same buf. buf may be nil, at the price of an allocation.
//
// An error for which OfRecord is true is about this record alone; any other is the file system's, mostly an
// *IOError: then other records are not to be relied on either.
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
