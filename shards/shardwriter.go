package shards

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"
)

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

// full says whether r must go into the next shard.
func (s *shardWriter) full(r Record, size int64) bool {
	names := len(s.lens) + len(s.names) + 2 + len(r.Name)
	return s.at+int64(len(r.Data)) > size || s.x.len() == maxRecords || names > maxNames
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
