package shards

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Input is what reading needs of an opened shard file. An *os.File is one; tests put faults in between.
type Input interface {
	io.ReaderAt // safe for concurrent use
	io.Closer
	Stat() (fs.FileInfo, error)
}

// osOpen opens a file of the operating system.
func osOpen(path string) (Input, error) { return os.Open(path) }

// readAt fills b from offset off, which the caller has checked to lie inside the file as it was when opened.
//
// Why records are copied and not mapped: a page of a map that cannot be had, because the disk fails or the file
// was cut short, is a signal (SIGBUS) wherever the page is touched, and pictures are touched by decoders in C,
// where Go cannot recover. Checking the size before each read leaves the time of the decoding open. A worker that
// waits in a page fault holds its processor, too; in a system call it does not. The copy costs 4 to 8 us for a
// picture of 110 KB that is in the page cache, less than 1 % of its decoding, and nothing where a map
// would touch the page for the first time (docs/performance.md).
func (s *shard) readAt(b []byte, off int64) *IOError {
	n, err := s.in.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	e := &IOError{Place: s.file, Err: err, Remedy: "check the disk or the connection to it: nothing says that the data set is damaged"}
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		e.Err = fmt.Errorf("%d of %d bytes at offset %d: %w", n, len(b), off, io.ErrUnexpectedEOF)
		if fi, statErr := s.in.Stat(); statErr == nil && fi.Size() < s.size {
			e.Err = fmt.Errorf("cut short while it was open: %d bytes, want %d: %w", fi.Size(), s.size, io.ErrUnexpectedEOF)
			e.Remedy = remakeIt
		}
	}
	return e
}

// explainOpen adds what to do to an error of opening a file.
func explainOpen(err error) error {
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		return fmt.Errorf("shards: %w (each shard stays open: raise the limit, such as ulimit -n 65536)", err)
	}
	return fmt.Errorf("shards: %w (%s)", err, remakeIt)
}
