//go:build !unix

package shards

import (
	"os"
	"slices"
)

// mapping reads by offset where there is no mmap.
type mapping struct{ f *os.File }

func openMapping(f *os.File, _ int64) (*mapping, error) { return &mapping{f}, nil }

// at reads n bytes at off into *buf.
func (m *mapping) at(off int64, n int, buf *[]byte) ([]byte, error) {
	var own []byte
	if buf == nil {
		buf = &own
	}
	*buf = slices.Grow((*buf)[:0], n)[:n]
	_, err := m.f.ReadAt(*buf, off)
	return *buf, err
}

func (m *mapping) close() error { return m.f.Close() }

func lockDir(dir string) (*os.File, error) { return os.Open(dir) }
