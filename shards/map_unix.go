//go:build unix

package shards

import (
	"os"

	"golang.org/x/sys/unix"
)

// mapping is a whole file, mapped read-only and shared: the page cache is the only copy.
type mapping struct{ data []byte }

func openMapping(f *os.File, size int64) (*mapping, error) {
	if size == 0 {
		return &mapping{}, nil
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, &os.PathError{Op: "mmap", Path: f.Name(), Err: err}
	}
	return &mapping{data: b}, f.Close() // the map outlives the descriptor
}

// at returns n bytes at off, which the caller has checked to lie inside.
func (m *mapping) at(off int64, n int, _ *[]byte) ([]byte, error) {
	return m.data[off : off+int64(n) : off+int64(n)], nil
}

func (m *mapping) close() error {
	if m.data == nil {
		return nil
	}
	b := m.data
	m.data = nil
	return unix.Munmap(b)
}

// lockDir keeps a second writer out of the folder for as long as the result is open. The lock goes with the
// process, however it ends.
func lockDir(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
