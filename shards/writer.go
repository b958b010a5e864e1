package shards

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/klauspost/compress/zstd"
)

const shardSuffix = ".shard"

// DefaultShardBytes is the size at which a shard is cut: large enough for sequential reading, small enough to
// copy again when it is damaged.
const DefaultShardBytes = 256 << 20

// File is what the writer needs of a file.
type File interface {
	io.Writer
	Sync() error
	Close() error
}

// WriterOptions has a useful zero value.
type WriterOptions struct {
	ShardBytes int64  // a shard is cut before the record that would exceed it; 0 = DefaultShardBytes
	Codec      string // written into the manifest; "" = auto
	Force      bool   // replace a data set that is already there

	// Create makes a new file; nil = the file system's. Tests inject faults here.
	Create func(path string) (File, error)
}

// Validate lists every fault at once.
func (o WriterOptions) Validate() error {
	var errs []error
	if o.ShardBytes < 0 || o.ShardBytes > maxShard-MaxRecord {
		errs = append(errs, fmt.Errorf("shards: shard size %d, want 0 to %d bytes", o.ShardBytes, int64(maxShard-MaxRecord)))
	}
	if o.Codec != "" && !slices.Contains(CodecNames(), o.Codec) {
		errs = append(errs, fmt.Errorf("shards: codec %q, want one of %v", o.Codec, CodecNames()))
	}
	return errors.Join(errs...)
}

// Record is what the writer takes: an encoded record and its index entry.
type Record struct {
	Meta
	Name string // in the source
	Data []byte // as stored; the writer keeps no reference
	Raw  int    // bytes before the codec
	Codec
}

// A Writer makes a data set. Everything is written into DIR.partial, which becomes DIR by one rename when
// Finish has written the manifest, so a data set is there whole or not at all. Not safe for concurrent use.
// The first error sticks.
type Writer struct {
	dir, partial string
	o            WriterOptions
	lock         *os.File
	z            *zstd.Encoder
	m            Manifest
	cur          *shardWriter
	labels       int32 // above every label seen
	err          error
	closed       bool
}

// NewWriter starts a data set at dir. It refuses to replace one without Force, and anything that is not a
// data set or an empty folder always.
func NewWriter(dir string, o WriterOptions) (*Writer, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.ShardBytes == 0 {
		o.ShardBytes = DefaultShardBytes
	}
	if o.Codec == "" {
		o.Codec = "auto"
	}
	if o.Create == nil {
		o.Create = func(path string) (File, error) {
			return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		}
	}
	dir = filepath.Clean(dir)
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real // put the data set where a link leads, not in its place
	}
	if err := replaceable(dir, o.Force); err != nil {
		return nil, err
	}
	z, err := newZstdEncoder()
	if err != nil {
		return nil, fmt.Errorf("shards: %w", err)
	}
	w := &Writer{dir: dir, partial: dir + ".partial", o: o, z: z,
		m: Manifest{Format: manifestFormat, Version: version, Codec: o.Codec}}
	if err := w.claim(); err != nil {
		return nil, err
	}
	return w, nil
}

// Split begins a split; the records added next belong to it. Splits come in the order of CompareSplits.
func (w *Writer) Split(name string) error {
	if w.err != nil {
		return w.err
	}
	if name == "" || name != filepath.Base(name) || !filepath.IsLocal(name) || strings.ContainsAny(name, `/\`) {
		return w.stick(fmt.Errorf("shards: split name %q", name))
	}
	if n := len(w.m.Splits); n > 0 && CompareSplits(w.m.Splits[n-1].Name, name) >= 0 {
		return w.stick(fmt.Errorf("shards: split %s after %s", name, w.m.Splits[n-1].Name))
	}
	if err := w.cut(); err != nil {
		return err
	}
	w.m.Splits = append(w.m.Splits, SplitInfo{Name: name, Shards: []ShardInfo{}})
	return nil
}

// Add appends a record to the current split.
func (w *Writer) Add(r Record) error {
	if w.err != nil {
		return w.err
	}
	if err := r.check(); err != nil {
		return w.stick(err)
	}
	if len(w.m.Splits) == 0 {
		return w.stick(errors.New("shards: record before the first split"))
	}
	if w.cur != nil && w.cur.full(r, w.o.ShardBytes) {
		if err := w.cut(); err != nil {
			return err
		}
	}
	s := &w.m.Splits[len(w.m.Splits)-1]
	if w.cur == nil {
		name := fmt.Sprintf("%s-%05d%s", s.Name, len(s.Shards), shardSuffix)
		f, err := w.o.Create(filepath.Join(w.partial, name))
		if err != nil {
			return w.stick(w.explainWrite(err))
		}
		w.cur = newShardWriter(name, f)
	}
	if err := w.cur.add(r); err != nil {
		return w.stick(w.explainWrite(err))
	}
	s.SourceBytes += int64(r.Raw)
	w.labels = max(w.labels, r.Label+1)
	return nil
}

func (r *Record) check() error {
	switch {
	case len(r.Data) < 1 || len(r.Data) > MaxRecord || r.Raw > MaxRecord || r.Raw < 1:
		return fmt.Errorf("shards: %s: %d bytes (%d stored), want 1 to %d", r.Name, r.Raw, len(r.Data), MaxRecord)
	case r.Codec > Zstd || !r.Codec.plausible(len(r.Data), r.Raw):
		return fmt.Errorf("shards: %s: codec %v of %d bytes stores %d", r.Name, r.Codec, r.Raw, len(r.Data))
	case len(r.Name) > MaxName:
		return fmt.Errorf("shards: name %.40q... has %d bytes, at most %d", r.Name, len(r.Name), MaxName)
	case r.Width < 1 || r.Width > MaxSide || r.Height < 1 || r.Height > MaxSide:
		return fmt.Errorf("shards: %s: %d x %d pixels, want sides of 1 to %d", r.Name, r.Width, r.Height, MaxSide)
	case r.Label < 0 || r.Components < 1 || r.Components > 4 || r.Format > Other:
		return fmt.Errorf("shards: %s: label %d, %d components, %v", r.Name, r.Label, r.Components, r.Format)
	}
	return nil
}

// cut finishes the current shard, if any.
func (w *Writer) cut() error {
	if w.cur == nil {
		return nil
	}
	info, err := w.cur.finish(w.z)
	w.cur = nil
	if err != nil {
		return w.stick(w.explainWrite(err))
	}
	s := &w.m.Splits[len(w.m.Splits)-1]
	s.Shards = append(s.Shards, info)
	s.Records += info.Records
	s.Bytes += info.Bytes
	return nil
}

func (w *Writer) stick(err error) error {
	if w.err == nil {
		w.err = err
	}
	return w.err
}

func (w *Writer) explainWrite(err error) error {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, full) {
			return fmt.Errorf("shards: %s: the disk or its quota is full: %w (free some space or choose another folder with -o)", w.dir, err)
		}
	}
	return fmt.Errorf("shards: %s: %w (choose another folder with -o)", w.dir, err)
}

// Summary is what the writer cannot know from the records.
type Summary struct {
	Classes []string
	Bad     []Bad          // left out
	Skipped []Bad          // the first of them, as many as are worth listing
	Skips   map[string]int // by split: how many there are in all
	Stats   *Stats
}

// Finish writes the manifest, makes everything durable and puts the data set in its place. After an error
// nothing is left behind.
func (w *Writer) Finish(sum Summary) (*Manifest, error) {
	err := w.err
	if err == nil {
		err = w.cut()
	}
	if err == nil {
		err = w.publish(sum)
	}
	if err != nil {
		w.stick(err)
		w.Abort()
		return nil, w.err
	}
	w.closed = true
	w.lock.Close()
	return &w.m, nil
}

func (w *Writer) publish(sum Summary) error {
	w.m.Classes, w.m.Stats = sum.Classes, sum.Stats
	w.m.Bad = append([]Bad{}, sum.Bad...)
	w.m.Skipped = append([]Bad{}, sum.Skipped...)
	for i := range w.m.Splits {
		s := &w.m.Splits[i]
		s.Skipped = sum.Skips[s.Name]
		for _, b := range sum.Bad {
			if b.Split == s.Name {
				s.Bad++
			}
		}
	}
	w.m.Hash = w.m.dataHash()
	if err := w.m.check(); err != nil {
		return err
	}
	if int(w.labels) > len(sum.Classes) {
		return fmt.Errorf("shards: label %d of %d classes", w.labels-1, len(sum.Classes))
	}
	b, err := w.m.encode()
	if err != nil {
		return fmt.Errorf("shards: %w", err)
	}
	if len(b) > maxManifest {
		return fmt.Errorf("shards: %s: %d bytes, at most %d (remove the bad pictures from the source)", ManifestName, len(b), maxManifest)
	}
	f, err := w.o.Create(filepath.Join(w.partial, ManifestName))
	if err != nil {
		return w.explainWrite(err)
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close(), syncDir(w.partial)); err != nil {
		return w.explainWrite(err)
	}
	return w.swap()
}

// Abort removes everything written. It does nothing after Finish.
func (w *Writer) Abort() {
	if w.closed {
		return
	}
	w.closed = true
	if w.cur != nil {
		w.cur.f.Close()
		w.cur = nil
	}
	w.stick(errors.New("shards: writer aborted"))
	os.RemoveAll(w.partial)
	w.lock.Close()
}
