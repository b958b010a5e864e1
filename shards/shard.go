package shards

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// shard is one opened file. The decoder is the data set's, safe for concurrent use.
type shard struct {
	file string // base name, for messages
	m    *mapping
	t    trailer
	x    *index
	z    *zstd.Decoder
	size int64
}

func openShard(path string, z *zstd.Decoder) (s *shard, err error) {
	place := filepath.Base(path)
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("shards: %w (%s)", err, remakeIt)
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = malformed(place, "not a regular file")
	}
	if err == nil && fi.Size() < headerSize+trailerSize {
		err = malformed(place, "%d bytes are too few for a shard: the file is cut short or no shard", fi.Size())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	m, err := openMapping(f, fi.Size())
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("shards: %w", err)
	}
	s = &shard{file: place, m: m, z: z, size: fi.Size()}
	if err := s.load(); err != nil {
		m.close()
		return nil, err
	}
	return s, nil
}

func (s *shard) load() error {
	head, err := s.m.at(0, headerSize, nil)
	if err != nil {
		return fmt.Errorf("shards: %s: %w", s.file, err)
	}
	tail, err := s.m.at(s.size-trailerSize, trailerSize, nil)
	if err != nil {
		return fmt.Errorf("shards: %s: %w", s.file, err)
	}
	if s.t, err = parseTrailer(s.file, head, tail, s.size); err != nil {
		return err
	}
	stored, err := s.m.at(int64(s.t.indexOffset), int(uint64(s.size)-trailerSize-s.t.indexOffset), nil)
	if err != nil {
		return fmt.Errorf("shards: %s: %w", s.file, err)
	}
	raw, err := unpack(s.z, s.file, "index", stored, s.t.indexCRC, s.t.indexRaw)
	if err != nil {
		return err
	}
	s.x, err = parseIndex(s.file, raw, int(s.t.records), uint32(s.t.namesOffset))
	return err
}

// read gives record i; see Split.Read for who owns the bytes.
func (s *shard) read(i int, buf *[]byte) ([]byte, error) {
	codec := s.x.codec(i)
	into := buf
	if codec != None {
		into = nil // the caller's buffer is for the unpacked bytes
	}
	stored, err := s.m.at(int64(s.x.offset[i]), s.x.stored(i), into)
	if err != nil {
		return nil, fmt.Errorf("shards: %s: record %d: %w", s.file, i, err)
	}
	if got := crcOf(stored); got != s.x.crc[i] {
		return nil, &MalformedError{Place: fmt.Sprintf("%s: record %d", s.file, i),
			Problem: fmt.Sprintf("crc 0x%08x, want 0x%08x", got, s.x.crc[i]), Remedy: "run shardify verify"}
	}
	if codec == None {
		return stored, nil
	}
	var own []byte
	if buf == nil {
		buf = &own
	}
	raw := s.x.rawLen(i)
	*buf = slices.Grow((*buf)[:0], raw)
	out, err := decode(s.z, codec, *buf, stored, raw)
	if err != nil {
		return nil, &MalformedError{Place: fmt.Sprintf("%s: record %d", s.file, i), Problem: err.Error(), Remedy: "run shardify verify"}
	}
	*buf = (*buf)[:raw]
	return out, nil
}

func (s *shard) names() ([]string, error) {
	stored, err := s.m.at(int64(s.t.namesOffset), int(s.t.indexOffset-s.t.namesOffset), nil)
	if err != nil {
		return nil, fmt.Errorf("shards: %s: %w", s.file, err)
	}
	raw, err := unpack(s.z, s.file, "names", stored, s.t.namesCRC, s.t.namesRaw)
	if err != nil {
		return nil, err
	}
	return parseNames(s.file, raw, s.x.len())
}
