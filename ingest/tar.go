package ingest

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bagpipe/shards"

	"github.com/klauspost/compress/gzip"
)

// tarFile is a tar, gzipped or not, with CLASS/... inside, read in place. Leading folders up to one that is
// named like the split are passed over ("./train/CLASS/...").
type tarFile struct{ path, split string }

func (t tarFile) where() string { return t.path }

func (t tarFile) walk(ctx context.Context, data bool) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		f, err := os.Open(t.path)
		if err != nil {
			yield(Item{}, fmt.Errorf("ingest: %w", err))
			return
		}
		defer f.Close()
		r, err := t.stream(f)
		if err != nil {
			yield(Item{}, fmt.Errorf("ingest: %s: %w (is it a tar file?)", t.path, err))
			return
		}
		last := "the start"
		for tr := tar.NewReader(r); ; {
			if err := ctx.Err(); err != nil {
				yield(Item{}, err)
				return
			}
			h, err := tr.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			// An insecure path is judged by parse, as any other strange one.
			if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
				yield(Item{}, t.broken(last, err))
				return
			}
			item, ok := t.parse(h)
			if !ok {
				continue
			}
			if data && item.Skip == "" {
				item.Data = make([]byte, h.Size)
				if _, err := io.ReadFull(tr, item.Data); err != nil {
					yield(Item{}, t.broken(item.Name, err))
					return
				}
			}
			last = item.Name
			if !yield(item, nil) {
				return
			}
		}
	}
}

// stream looks for gzip by its magic rather than by the name. A plain tar keeps the file's Seek, by which
// archive/tar passes over contents.
func (t tarFile) stream(f *os.File) (io.Reader, error) {
	var magic [2]byte
	n, err := f.ReadAt(magic[:], 0)
	if n == 0 {
		return nil, errors.New("empty file")
	}
	if n < 2 {
		return nil, err
	}
	if magic != [2]byte{0x1f, 0x8b} {
		return f, nil
	}
	return gzip.NewReader(bufio.NewReaderSize(f, 1<<20))
}

func (t tarFile) broken(last string, err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("ingest: %s: cut short after %s (copy the file again)", t.path, last)
	}
	return fmt.Errorf("ingest: %s: after %s: %w (copy the file again)", t.path, last, err)
}

// parse turns an entry into an item; false passes it over in silence (folders, hidden files).
func (t tarFile) parse(h *tar.Header) (Item, bool) {
	if h.Typeflag == tar.TypeDir || h.Typeflag == tar.TypeXGlobalHeader {
		return Item{}, false
	}
	parts := slices.DeleteFunc(strings.Split(strings.ReplaceAll(h.Name, `\`, "/"), "/"), func(s string) bool { return s == "" || s == "." })
	skip := func(reason string) (Item, bool) {
		name := strings.Join(parts, "/")
		return Item{Name: name[:min(len(name), shards.MaxName)], Skip: reason}, true
	}
	if slices.Contains(parts, "..") || strings.HasPrefix(h.Name, "/") {
		return skip("a path that leads out of the archive")
	}
	if slices.ContainsFunc(parts, hidden) {
		return Item{}, false
	}
	for i := len(parts) - 3; i >= 0; i-- {
		if splitAliases[strings.ToLower(parts[i])] == t.split {
			parts = parts[i+1:]
			break
		}
	}
	name := strings.Join(parts, "/")
	switch {
	case h.Typeflag != tar.TypeReg:
		return skip("not a regular file")
	case len(parts) < 2:
		return skip("not in a class folder")
	case !isPicture(name):
		return skip("not a picture by its extension")
	case len(name) > shards.MaxName:
		return skip(fmt.Sprintf("name above %d bytes", shards.MaxName))
	case h.Size > shards.MaxRecord:
		return skip(fmt.Sprintf("%d bytes, at most %d", h.Size, shards.MaxRecord))
	}
	return Item{Class: filepath.ToSlash(parts[0]), Name: name}, true
}
