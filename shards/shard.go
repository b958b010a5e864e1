package shards

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// shard is one opened file. The decoder is the data set's, safe for concurrent use.
type shard struct {
	file string // base name, for messages
	in   Input
	t    trailer
	x    *index
	z    *zstd.Decoder
	size int64 // when it was opened
}

// opener opens shards one after the other. It keeps its scratch from one to the next, so that opening many
// leaves no more garbage than opening the largest.
type opener struct {
	open        func(path string) (Input, error)
	z           *zstd.Decoder
	packed, raw []byte // index as it lies in the file, and unpacked
}

func (o *opener) shard(path string) (*shard, error) {
	in, err := o.open(path)
	if err != nil {
		return nil, explainOpen(err)
	}
	s := &shard{file: filepath.Base(path), in: in, z: o.z}
	if err := o.load(s); err != nil {
		in.Close()
		return nil, err
	}
	return s, nil
}

func (o *opener) load(s *shard) error {
	fi, err := s.in.Stat()
	if err != nil {
		return fmt.Errorf("shards: %w", err)
	}
	if !fi.Mode().IsRegular() {
		return malformed(s.file, "not a regular file")
	}
	if s.size = fi.Size(); s.size < headerSize+trailerSize {
		return malformed(s.file, "%d bytes are too few for a shard: the file is cut short or no shard", s.size)
	}
	var head [headerSize]byte
	var tail [trailerSize]byte
	if err := s.readAt(head[:], 0); err != nil {
		return err
	}
	if err := s.readAt(tail[:], s.size-trailerSize); err != nil {
		return err
	}
	if s.t, err = parseTrailer(s.file, head[:], tail[:], s.size); err != nil {
		return err
	}
	packed, err := s.block(o.packed, s.t.indexOffset, uint64(s.size)-trailerSize)
	if err != nil {
		return err
	}
	o.packed = packed
	if o.raw, err = unpack(s.z, s.file, "index", packed, s.t.indexCRC, s.t.indexRaw, o.raw); err != nil {
		return err
	}
	s.x, err = parseIndex(s.file, o.raw, int(s.t.records), uint32(s.t.namesOffset))
	return err
}

// block reads bytes from..to of the file into buf, which grows as needed.
func (s *shard) block(buf []byte, from, to uint64) ([]byte, error) {
	n := int(to - from)
	buf = slices.Grow(buf[:0], n)[:n]
	if err := s.readAt(buf, int64(from)); err != nil {
		return buf, err
	}
	return buf, nil
}

// read gives record i; see Split.Read for who owns the bytes.
func (s *shard) read(i int, buf *[]byte) ([]byte, error) {
	codec, stored, raw := s.x.codec(i), s.x.stored(i), s.x.rawLen(i)
	var own []byte
	if buf == nil {
		buf = &own
	}
	// The unpacked bytes of a compressed record come first in the buffer, the packed ones behind them.
	all := grown(buf, s.room(i))
	packed := all[len(all)-stored:]
	if err := s.readAt(packed, int64(s.x.offset[i])); err != nil {
		err.Place = fmt.Sprintf("%s: record %d", s.file, i)
		return nil, err
	}
	damaged := func(problem string) error {
		return &MalformedError{Place: fmt.Sprintf("%s: record %d", s.file, i), Problem: problem, Remedy: "run shardify verify"}
	}
	if got := crcOf(packed); got != s.x.crc[i] {
		return nil, damaged(fmt.Sprintf("crc 0x%08x, want 0x%08x", got, s.x.crc[i]))
	}
	if codec == None {
		return packed, nil
	}
	out, err := decode(s.z, codec, all[:0:raw], packed, raw)
	if err != nil {
		return nil, damaged(err.Error())
	}
	return out, nil
}

// room is how many bytes of its buffer read of record i uses.
func (s *shard) room(i int) int {
	if s.x.codec(i) == None {
		return s.x.stored(i)
	}
	return s.x.rawLen(i) + s.x.stored(i)
}

// grown makes *buf at least n bytes long, old content lost, and returns n of them.
func grown(buf *[]byte, n int) []byte {
	*buf = slices.Grow((*buf)[:0], n)[:n]
	return (*buf)[:n:n]
}

func (s *shard) names() ([]string, error) {
	packed, err := s.block(nil, s.t.namesOffset, s.t.indexOffset)
	if err != nil {
		return nil, err
	}
	raw, err := unpack(s.z, s.file, "names", packed, s.t.namesCRC, s.t.namesRaw, nil)
	if err != nil {
		return nil, err
	}
	return parseNames(s.file, raw, s.x.len())
}
