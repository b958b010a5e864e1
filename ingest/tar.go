package ingest

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path"
	"slices"
	"strings"

	"bagpipe/shards"

	"github.com/klauspost/compress/gzip"
)

// tarFile is the pictures of one split in a tar, gzipped or not, read in place. CLASS/... lies below root.
type tarFile struct {
	path    string
	root    []string       // leading folders, no part of names
	others  [][]string     // roots of the tar's other splits
	strays  bool           // report what lies outside of all roots
	classes map[string]int // pictures of each
}

func (t tarFile) where() string { return t.path }

func (t tarFile) scan(context.Context) (map[string]int, error) { return t.classes, nil }

func (t tarFile) items(ctx context.Context) iter.Seq2[Item, error] { return t.walk(ctx, true) }

// walk yields every entry that is a file. Without data, contents are left unread.
func (t tarFile) walk(ctx context.Context, data bool) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		f, err := os.Open(t.path)
		if err != nil {
			yield(Item{}, fmt.Errorf("ingest: %w", err))
			return
		}
		defer f.Close()
		r, err := newTarStream(f)
		if err != nil {
			yield(Item{}, fmt.Errorf("ingest: %s: %w (is it a tar file?)", t.path, err))
			return
		}
		last := "the start"
		for {
			if err := ctx.Err(); err != nil {
				yield(Item{}, err)
				return
			}
			h, err := r.next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(Item{}, t.broken(last, err))
				return
			}
			item, ok := t.parse(h)
			if !ok {
				continue
			}
			if data && item.Skip == "" {
				if item.Data, err = r.read(h.Size); err != nil {
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

func (t tarFile) broken(last string, err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("ingest: %s: cut short after %q (copy the file again)", t.path, last)
	}
	return fmt.Errorf("ingest: %s: after %q: %w (copy the file again)", t.path, last, err)
}

// parse turns an entry into an item; false passes it over in silence: folders, and what another split reports.
func (t tarFile) parse(h *tar.Header) (Item, bool) {
	if h.Typeflag == tar.TypeDir || h.Typeflag == tar.TypeXGlobalHeader {
		return Item{}, false
	}
	parts := slices.DeleteFunc(strings.Split(strings.ReplaceAll(h.Name, `\`, "/"), "/"), func(s string) bool { return s == "" || s == "." })
	inside := hasPrefix(parts, t.root)
	if !inside && (!t.strays || slices.ContainsFunc(t.others, func(o []string) bool { return hasPrefix(parts, o) })) {
		return Item{}, false
	}
	if inside {
		parts = parts[len(t.root):]
	}
	name := strings.Join(parts, "/")
	skip := func(reason string) (Item, bool) {
		return Item{Name: name[:min(len(name), shards.MaxName)], Skip: reason}, true
	}
	switch {
	case slices.Contains(parts, "..") || strings.HasPrefix(h.Name, "/"):
		return skip("a path that leads out of the archive")
	case slices.ContainsFunc(parts, hidden):
		return skip(skipHidden)
	case h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeGNUSparse:
		return skip(skipIrregular)
	case !inside || len(parts) < 2:
		return skip(skipNoClass)
	case !isPicture(name):
		return skip(skipExtension)
	case len(name) > shards.MaxName:
		return skip(skipLongName)
	case h.Size > shards.MaxRecord:
		return skip(tooLarge(h.Size))
	}
	return Item{Class: parts[0], Name: name}, true
}

func hasPrefix(parts, root []string) bool {
	return len(parts) >= len(root) && slices.Equal(parts[:len(root)], root)
}

// tarStream reads a tar and sees to it that its end is there.
type tarStream struct {
	*tar.Reader
	unzip *gzip.Reader // nil for a plain tar
	ends  *zeroCounter
}

// newTarStream looks for gzip by its magic rather than by the name. A plain tar keeps the file's Seek, by which
// archive/tar passes over contents.
func newTarStream(f *os.File) (*tarStream, error) {
	var magic [2]byte
	if n, err := f.ReadAt(magic[:], 0); n == 0 {
		return nil, errors.New("empty file")
	} else if n < 2 {
		return nil, err
	}
	s := &tarStream{ends: &zeroCounter{r: f}}
	if magic != [2]byte{0x1f, 0x8b} {
		s.Reader = tar.NewReader(seekingCounter{s.ends, f})
		return s, nil
	}
	var err error
	if s.unzip, err = gzip.NewReader(bufio.NewReaderSize(f, 1<<20)); err != nil {
		return nil, err
	}
	s.ends.r = s.unzip
	s.Reader = tar.NewReader(s.ends)
	return s, nil
}

// next is the next entry. At the end it asks for the mark that archive/tar can do without, since a tar cut
// short between two entries would pass for a whole one, and for gzip's checksum.
func (s *tarStream) next() (*tar.Header, error) {
	h, err := s.Next()
	if errors.Is(err, tar.ErrInsecurePath) {
		return h, nil // parse judges it as any other strange one
	}
	if !errors.Is(err, io.EOF) {
		return h, err
	}
	if s.ends.zeros < 512 {
		return nil, io.ErrUnexpectedEOF
	}
	if s.unzip != nil {
		// Bytes after the end that are no gzip are nobody's, as gzip itself has it.
		if _, err := io.Copy(io.Discard, s.unzip); err != nil && !errors.Is(err, gzip.ErrHeader) {
			return nil, err
		}
	}
	return nil, io.EOF
}

// read takes the contents of an entry. Memory grows with what is there, not with what the header claims.
func (s *tarStream) read(size int64) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(int(min(size, 1<<20)) + bytes.MinRead)
	_, err := io.CopyN(&b, s.Reader, size)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return b.Bytes(), err
}

// zeroCounter counts the zero bytes that were read last.
type zeroCounter struct {
	r     io.Reader
	zeros int
}

func (c *zeroCounter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	z := n - len(bytes.TrimRight(p[:n], "\x00"))
	if z < n {
		c.zeros = 0
	}
	c.zeros += z
	return n, err
}

type seekingCounter struct {
	*zeroCounter
	f *os.File
}

func (c seekingCounter) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence != io.SeekCurrent { // which only asks where it is
		c.zeros = 0
	}
	return c.f.Seek(offset, whence)
}

// tarParts finds the splits of a tar by reading its headers once. A tar that is named like a split is that
// split whatever it holds; for any other, name is "".
func tarParts(ctx context.Context, file, name string) (map[string]part, error) {
	dirs := map[string]int{} // pictures by folder
	for item, err := range (tarFile{path: file}).walk(ctx, false) {
		if err != nil {
			return nil, err
		}
		if item.Skip == "" {
			dirs[path.Dir(item.Name)]++
		}
	}
	if len(dirs) == 0 && name != "" {
		return map[string]part{name: tarFile{path: file, strays: true}}, nil
	}
	if len(dirs) == 0 {
		return nil, fmt.Errorf("ingest: %s: no classes with pictures (want CLASS/picture.jpg inside)", file)
	}
	roots, err := tarRoots(dirs)
	if err != nil {
		return nil, fmt.Errorf("ingest: %s: %w", file, err)
	}
	if name != "" {
		root, ok := roots[name]
		for _, r := range roots {
			if !ok && len(roots) > 1 {
				return nil, fmt.Errorf("ingest: %s: has several splits inside, but not %s (name it otherwise)", file, name)
			} else if !ok {
				root = r
			}
		}
		roots = map[string][]string{name: root}
	}
	parts := map[string]part{}
	first := slices.MinFunc(keys(roots), shards.CompareSplits)
	for split, root := range roots {
		t := tarFile{path: file, root: root, strays: split == first, classes: map[string]int{}}
		for _, other := range roots {
			if !slices.Equal(other, root) {
				t.others = append(t.others, other)
			}
		}
		for dir, n := range dirs {
			if d := strings.Split(dir, "/"); hasPrefix(d, root) && len(d) > len(root) {
				t.classes[d[len(root)]] += n
			}
		}
		parts[split] = t
	}
	return parts, nil
}

// tarRoots says below which folders the classes of each split lie, from the number of pictures in each folder.
// Folders that all share are a wrapping, and a folder among them that is named like a split says which one this
// is. Below may lie splits or classes.
func tarRoots(dirs map[string]int) (map[string][]string, error) {
	var all [][]string
	for dir := range dirs {
		all = append(all, strings.Split(dir, "/"))
	}
	shared := all[0]
	for _, d := range all[1:] {
		n := 0
		for n < min(len(shared), len(d)) && shared[n] == d[n] {
			n++
		}
		shared = shared[:n]
	}
	deeper := func(n int) bool { return slices.ContainsFunc(all, func(d []string) bool { return len(d) > n }) }
	for i, name := range shared {
		if split := splitAlias(name); split != "" && deeper(i+1) {
			return map[string][]string{split: shared[:i+1]}, nil
		}
	}
	below := map[string]bool{} // whether there are folders in it
	for _, d := range all {
		if len(d) > len(shared) {
			name := d[len(shared)]
			below[name] = below[name] || len(d) > len(shared)+1
		}
	}
	splits := map[string][]string{}
	for name, deep := range below {
		split := splitAlias(name)
		if split == "" || !deep {
			continue
		}
		if splits[split] != nil {
			return nil, fmt.Errorf("two folders are %s inside (keep one)", split)
		}
		splits[split] = append(slices.Clone(shared), name)
	}
	strays := dirs[strings.Join(shared, "/")]
	total := 0
	for _, n := range dirs {
		total += n
	}
	switch {
	case splits["train"] != nil || len(splits) > 0 && len(splits) == len(below):
		return splits, nil
	case len(below) > 1 && strays < total-strays:
		return map[string][]string{"train": shared}, nil
	}
	return map[string][]string{"train": nil}, nil
}
