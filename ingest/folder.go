package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"

	"bagpipe/shards"
)

// folder is a folder of class folders. Below a class any depth counts, links to folders excepted: they could
// lead in circles.
type folder string

func (f folder) where() string { return string(f) }

func (f folder) scan(ctx context.Context) (map[string]int, error) {
	classes := map[string]int{}
	for item, err := range f.walk(ctx, false) {
		if err != nil {
			return nil, err
		}
		if item.Skip == "" {
			classes[item.Class]++
		}
	}
	return classes, nil
}

func (f folder) items(ctx context.Context) iter.Seq2[Item, error] { return f.walk(ctx, true) }

// walk yields every file, in sorted order. Without data, contents are left unread.
func (f folder) walk(ctx context.Context, data bool) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		entries, err := os.ReadDir(string(f)) // sorted
		if err != nil {
			yield(Item{}, fmt.Errorf("ingest: %w", err))
			return
		}
		for _, e := range entries {
			skip := ""
			if hidden(e.Name()) {
				skip = skipHidden
			} else if fi, err := os.Stat(filepath.Join(string(f), e.Name())); err != nil {
				skip = skipIrregular // a link that leads nowhere
			} else if !fi.IsDir() {
				skip = skipNoClass
			}
			if skip != "" {
				if !yield(Item{Name: e.Name(), Skip: skip}, nil) {
					return
				}
				continue
			}
			if !f.class(ctx, e.Name(), e.Name(), data, yield) {
				return
			}
		}
	}
}

// class yields the files of a class below rel; false means to stop.
func (f folder) class(ctx context.Context, class, rel string, data bool, yield func(Item, error) bool) bool {
	entries, err := os.ReadDir(filepath.Join(string(f), filepath.FromSlash(rel)))
	if err != nil {
		yield(Item{}, fmt.Errorf("ingest: %w", err))
		return false
	}
	if len(entries) == 0 && rel == class {
		return yield(Item{Name: rel, Skip: "an empty class folder"}, nil)
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			yield(Item{}, err)
			return false
		}
		item := Item{Class: class, Name: path.Join(rel, e.Name())}
		switch {
		case hidden(e.Name()):
			item.Skip = skipHidden
		case e.IsDir():
			if !f.class(ctx, class, item.Name, data, yield) {
				return false
			}
			continue
		case !isPicture(e.Name()):
			item.Skip = skipExtension
		case len(item.Name) > shards.MaxName:
			item.Skip = skipLongName
		case data || e.Type()&os.ModeType != 0:
			f.load(&item, data)
		}
		if !yield(item, nil) {
			return false
		}
	}
	return true
}

// load reads the picture, or says why it is none.
func (f folder) load(item *Item, data bool) {
	p := filepath.Join(string(f), filepath.FromSlash(item.Name))
	fi, err := os.Stat(p)
	switch {
	case err != nil:
		item.Skip = skipIrregular // a link that leads nowhere
	case !fi.Mode().IsRegular():
		item.Skip = skipIrregular // opening a pipe would wait for ever
	case fi.Size() > shards.MaxRecord:
		item.Skip = tooLarge(fi.Size())
	case data:
		if item.Data, err = readFile(p, fi.Size()); err != nil {
			var pe *fs.PathError
			if errors.As(err, &pe) {
				err = pe.Err // the manifest is to name no place outside the source
			}
			item.Data, item.Bad = nil, fmt.Sprintf("cannot be read: %v", err)
		}
	}
}

// readFile reads size bytes, or fewer where the file has shrunk since: the decoder judges what is left.
func readFile(path string, size int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, size)
	n, err := io.ReadFull(f, b)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}
