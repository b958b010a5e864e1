package shards

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Verify reads every byte of a data set: the hash of each shard, its index and names, every record's CRC and
// codec, every label. It goes on after a fault and returns all of them, each with its place. err is for what
// keeps it from looking at all: no manifest, or a cancelled ctx. progress, which may be nil, is called after
// every shard with the bytes seen.
func Verify(ctx context.Context, dir string, progress func(bytes int64)) (faults []error, err error) {
	m, err := ReadManifest(dir)
	if err != nil {
		return nil, err
	}
	z, err := newZstdDecoder()
	if err != nil {
		return nil, fmt.Errorf("shards: %w", err)
	}
	defer z.Close()
	o := &opener{open: osOpen, z: z}
	var buf []byte
	for _, split := range m.Splits {
		for _, f := range split.Shards {
			if err := ctx.Err(); err != nil {
				return faults, err
			}
			path := filepath.Join(dir, f.File)
			sum, err := hashFile(path)
			if err != nil {
				faults = append(faults, fmt.Errorf("shards: %w (%s)", err, remakeIt))
				continue
			}
			if sum != f.SHA256 {
				faults = append(faults, malformed(f.File, "sha256 %.12s, want %.12s", sum, f.SHA256))
			}
			s, err := o.shard(path)
			if err != nil {
				faults = append(faults, err)
				continue
			}
			faults = append(faults, s.verify(ctx, f, len(m.Classes), &buf)...)
			s.in.Close()
			if progress != nil {
				progress(f.Bytes)
			}
		}
	}
	return faults, ctx.Err()
}

func (s *shard) verify(ctx context.Context, f ShardInfo, classes int, buf *[]byte) (faults []error) {
	if err := s.agrees(f, classes); err != nil {
		faults = append(faults, err)
	}
	if _, err := s.names(); err != nil {
		faults = append(faults, err)
	}
	for i := range s.x.len() {
		if ctx.Err() != nil {
			break
		}
		if _, err := s.read(i, buf); err != nil {
			if e, ok := err.(*MalformedError); ok {
				e.Remedy = remakeIt
			}
			faults = append(faults, err)
		}
	}
	return faults
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
