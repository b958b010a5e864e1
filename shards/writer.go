package shards

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
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

// replaceable says whether a data set may be put at dir.
func replaceable(dir string, force bool) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("shards: %s: a file is in the way (choose another folder with -o)", dir)
	case err != nil:
		return fmt.Errorf("shards: %w", err)
	case len(entries) == 0:
		return nil
	}
	if _, err := os.Stat(filepath.Join(dir, ManifestName)); err != nil {
		return fmt.Errorf("shards: %s: the folder holds other files (choose another folder with -o)", dir)
	}
	for _, e := range entries {
		if e.Name() != ManifestName && !strings.HasSuffix(e.Name(), shardSuffix) {
			return fmt.Errorf("shards: %s: %s does not belong to a data set (choose another folder with -o)", dir, e.Name())
		}
	}
	if !force {
		return fmt.Errorf("shards: %s: a data set is there already (replace it with --force)", dir)
	}
	return nil
}

// claim makes the folder to write into, after removing what a killed run left there.
func (w *Writer) claim() error {
	if err := os.MkdirAll(filepath.Dir(w.dir), 0o755); err != nil {
		return fmt.Errorf("shards: %w (choose another folder with -o)", err)
	}
	err := os.Mkdir(w.partial, 0o755)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("shards: %w (choose another folder with -o)", err)
	}
	if w.lock, err = lockDir(w.partial); err != nil {
		return fmt.Errorf("shards: %s: another shardify is writing there: %w", w.partial, err)
	}
	entries, err := os.ReadDir(w.partial)
	if err != nil {
		w.lock.Close()
		return fmt.Errorf("shards: %w", err)
	}
	for _, e := range entries {
		if e.Name() != ManifestName && !strings.HasSuffix(e.Name(), shardSuffix) {
			w.lock.Close()
			return fmt.Errorf("shards: %s: %s is not from shardify (move the folder away)", w.partial, e.Name())
		}
		if err := os.Remove(filepath.Join(w.partial, e.Name())); err != nil {
			w.lock.Close()
			return fmt.Errorf("shards: %w", err)
		}
	}
	return nil
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
	if w.cur != nil && (w.cur.at+int64(len(r.Data)) > w.o.ShardBytes || w.cur.x.len() == maxRecords) {
		if err := w.cut(); err != nil {
			return err
		}
	}
	s := &w.m.Splits[len(w.m.Splits)-1]
	if w.cur == nil {
		name := fmt.Sprintf("%s-%05d%s", s.Name, len(s.Shards), shardSuffix)
		f, err := w.o.Create(filepath.Join(w.partial, name))
		if err != nil {
			return w.stick(fmt.Errorf("shards: %w", err))
		}
		w.cur = newShardWriter(name, f)
	}
	if err := w.cur.add(r); err != nil {
		return w.stick(w.explainWrite(err))
	}
	s.SourceBytes += int64(r.Raw)
	return nil
}

func (r *Record) check() error {
	switch {
	case len(r.Data) > MaxRecord || r.Raw > MaxRecord || r.Raw < 0:
		return fmt.Errorf("shards: %s: %d bytes (%d stored), at most %d", r.Name, r.Raw, len(r.Data), MaxRecord)
	case r.Codec == None && r.Raw != len(r.Data) || r.Codec > Zstd:
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
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("shards: %s: the disk is full: %w (free some space or choose another folder with -o)", w.dir, err)
	}
	return fmt.Errorf("shards: %s: %w", w.dir, err)
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
	err := w.cut()
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
	b, err := json.MarshalIndent(&w.m, "", "  ")
	if err != nil {
		return fmt.Errorf("shards: %w", err)
	}
	f, err := w.o.Create(filepath.Join(w.partial, ManifestName))
	if err != nil {
		return fmt.Errorf("shards: %w", err)
	}
	_, err = f.Write(append(b, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close(), syncDir(w.partial)); err != nil {
		return w.explainWrite(err)
	}
	return w.swap()
}

// swap renames the finished folder into place. An old data set steps aside first and is removed last, so that
// at any moment at least one of the two is whole.
func (w *Writer) swap() error {
	old := w.dir + ".old"
	if _, err := os.Stat(filepath.Join(w.dir, ManifestName)); err == nil {
		if err := os.RemoveAll(old); err != nil {
			return fmt.Errorf("shards: %w", err)
		}
		if err := os.Rename(w.dir, old); err != nil {
			return fmt.Errorf("shards: %w", err)
		}
		defer os.RemoveAll(old)
	} else {
		os.Remove(w.dir) // an empty folder; where it is not, the rename says so
	}
	if err := os.Rename(w.partial, w.dir); err != nil {
		os.Rename(old, w.dir)
		return fmt.Errorf("shards: %w", err)
	}
	return syncDir(filepath.Dir(w.dir))
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

// syncDir makes names durable. File systems that cannot sync a folder say EINVAL: nothing to be done there.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	if errors.Is(err, syscall.EINVAL) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

// shardWriter writes one file and hashes it on the way.
type shardWriter struct {
	name  string
	f     File
	w     *bufio.Writer
	sum   hash.Hash
	at    int64
	x     index // offset has n entries until finish
	lens  []byte
	names []byte
}

func newShardWriter(name string, f File) *shardWriter {
	s := &shardWriter{name: name, f: f, sum: sha256.New()}
	s.w = bufio.NewWriterSize(io.MultiWriter(f, s.sum), 1<<20)
	s.put(header())
	return s
}

// put leaves the error to the buffered writer, where it sticks.
func (s *shardWriter) put(b []byte) error {
	s.at += int64(len(b))
	_, err := s.w.Write(b)
	return err
}

func (s *shardWriter) add(r Record) error {
	x := &s.x
	x.offset = append(x.offset, uint32(s.at))
	x.raw = append(x.raw, uint32(r.Raw))
	x.crc = append(x.crc, crcOf(r.Data))
	x.label = append(x.label, r.Label)
	x.width = append(x.width, uint16(r.Width))
	x.height = append(x.height, uint16(r.Height))
	x.kind = append(x.kind, packKind(r.Components, r.Codec, r.Format))
	s.lens = le.AppendUint16(s.lens, uint16(len(r.Name)))
	s.names = append(s.names, r.Name...)
	return s.put(r.Data)
}

func (s *shardWriter) finish(z *zstd.Encoder) (ShardInfo, error) {
	n := s.x.len()
	s.x.offset = append(s.x.offset, uint32(s.at))
	t := trailer{namesOffset: uint64(s.at), records: uint32(n)}

	raw := append(s.lens, s.names...)
	block := z.EncodeAll(raw, nil)
	t.namesRaw, t.namesCRC = uint32(len(raw)), crcOf(block)
	s.put(block)

	t.indexOffset = uint64(s.at)
	raw = s.x.appendTo(nil)
	block = z.EncodeAll(raw, block[:0])
	t.indexRaw, t.indexCRC = uint32(len(raw)), crcOf(block)
	s.put(block)
	s.put(t.appendTo(nil))

	err := s.w.Flush()
	if err == nil {
		err = s.f.Sync()
	}
	if err := errors.Join(err, s.f.Close()); err != nil {
		return ShardInfo{}, err
	}
	return ShardInfo{File: s.name, Records: n, Bytes: s.at, SHA256: hex.EncodeToString(s.sum.Sum(nil))}, nil
}
