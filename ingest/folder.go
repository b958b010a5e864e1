package ingest

import (
	"context"
	"fmt"
	"io"
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

func (f folder) walk(ctx context.Context, data bool) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		entries, err := os.ReadDir(string(f)) // sorted
		if err != nil {
			yield(Item{}, fmt.Errorf("ingest: %w", err))
			return
		}
		for _, e := range entries {
			if hidden(e.Name()) {
				continue
			}
			fi, err := os.Stat(filepath.Join(string(f), e.Name()))
			if err != nil {
				yield(Item{}, fmt.Errorf("ingest: %w", err))
				return
			}
			if !fi.IsDir() {
				if !yield(Item{Name: e.Name(), Skip: "not in a class folder"}, nil) {
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
	fail := func(err error) bool {
		yield(Item{}, err)
		return false
	}
	entries, err := os.ReadDir(filepath.Join(string(f), filepath.FromSlash(rel)))
	if err != nil {
		return fail(fmt.Errorf("ingest: %w", err))
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return fail(err)
		}
		if hidden(e.Name()) {
			continue
		}
		item := Item{Class: class, Name: path.Join(rel, e.Name())}
		if e.IsDir() {
			if !f.class(ctx, class, item.Name, data, yield) {
				return false
			}
			continue
		}
		switch {
		case !isPicture(e.Name()):
			item.Skip = "not a picture by its extension"
		case data || e.Type()&os.ModeType != 0:
			if err := f.load(&item, data); err != nil {
				return fail(err)
			}
		}
		if !yield(item, nil) {
			return false
		}
	}
	return true
}

// load reads the picture, or says why it is none.
func (f folder) load(item *Item, data bool) error {
	p := filepath.Join(string(f), filepath.FromSlash(item.Name))
	fi, err := os.Stat(p)
	if err != nil {
		item.Skip = "a link that leads nowhere"
		return nil
	}
	switch {
	case !fi.Mode().IsRegular():
		item.Skip = "not a regular file" // opening a pipe would wait for ever
	case len(item.Name) > shards.MaxName:
		item.Skip = fmt.Sprintf("name above %d bytes", shards.MaxName)
	case fi.Size() > shards.MaxRecord:
		item.Skip = fmt.Sprintf("%d bytes, at most %d", fi.Size(), shards.MaxRecord)
	case data:
		file, err := os.Open(p)
		if err != nil {
			return fmt.Errorf("ingest: %w", err)
		}
		defer file.Close()
		item.Data = make([]byte, fi.Size())
		if n, err := io.ReadFull(file, item.Data); err == io.ErrUnexpectedEOF || err == io.EOF {
			item.Data = item.Data[:n] // it shrank since Stat; the decoder judges what is left
		} else if err != nil {
			return fmt.Errorf("ingest: %w", err)
		}
	}
	return nil
}
