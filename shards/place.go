package shards

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// replaceable says whether a data set may be put at dir.
func replaceable(dir string, force bool) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("shards: %s: a file is in the way (choose another folder with -o)", dir)
	case err != nil:
		return fmt.Errorf("shards: %w", err)
	case len(entries) == 0:
		return nil
	}
	if _, err := os.Stat(filepath.Join(dir, ManifestName)); err != nil {
		return fmt.Errorf("shards: %s: the folder holds other files (choose another folder with -o)", dir)
	}
	for _, e := range entries {
		if e.Name() != ManifestName && !strings.HasSuffix(e.Name(), shardSuffix) {
			return fmt.Errorf("shards: %s: %s does not belong to a data set (choose another folder with -o)", dir, e.Name())
		}
	}
	if !force {
		return fmt.Errorf("shards: %s: a data set is there already (replace it with --force)", dir)
	}
	return nil
}

// claim makes the folder to write into, after removing what a killed run left there.
func (w *Writer) claim() error {
	if err := os.MkdirAll(filepath.Dir(w.dir), 0o755); err != nil {
		return w.explainWrite(err)
	}
	err := os.Mkdir(w.partial, 0o755)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return w.explainWrite(err)
	}
	if w.lock, err = lockDir(w.partial); err != nil {
		return fmt.Errorf("shards: %s: another shardify is writing there: %w", w.partial, err)
	}
	entries, err := os.ReadDir(w.partial)
	if err != nil {
		w.lock.Close()
		return fmt.Errorf("shards: %w", err)
	}
	for _, e := range entries {
		if e.Name() != ManifestName && !strings.HasSuffix(e.Name(), shardSuffix) {
			w.lock.Close()
			return fmt.Errorf("shards: %s: %s is not from shardify (move the folder away)", w.partial, e.Name())
		}
		if err := os.Remove(filepath.Join(w.partial, e.Name())); err != nil {
			w.lock.Close()
			return fmt.Errorf("shards: %w", err)
		}
	}
	return nil
}

// swap renames the finished folder into place. An old data set changes places with it in one step and is
// removed last, so that at any moment there is a whole one at dir.
func (w *Writer) swap() error {
	if err := replaceable(w.dir, w.o.Force); err != nil { // again: time has passed
		return err
	}
	old, undo, err := w.rename()
	if err == nil {
		if err = syncDir(filepath.Dir(w.dir)); err != nil {
			err = errors.Join(err, undo())
		}
	}
	if err != nil {
		return w.explainWrite(err)
	}
	if old != "" {
		os.RemoveAll(old) // what stays of it is in nobody's way
	}
	return nil
}

// rename puts partial at dir. old is where a former data set lies now, "" if there was none.
func (w *Writer) rename() (old string, undo func() error, err error) {
	back := func() error { return os.Rename(w.dir, w.partial) }
	if _, err := os.Stat(filepath.Join(w.dir, ManifestName)); err != nil {
		os.Remove(w.dir) // an empty folder; where it is not, the rename says so
		return "", back, os.Rename(w.partial, w.dir)
	}
	again := func() error { return exchange(w.partial, w.dir) }
	if again() == nil {
		return w.partial, again, nil
	}
	// Not every file system can. Then there is a moment with the old one aside, under a name of its own.
	if old, err = os.MkdirTemp(filepath.Dir(w.dir), filepath.Base(w.dir)+".old-"); err != nil {
		return "", nil, err
	}
	if err := os.Rename(w.dir, old); err != nil {
		return "", nil, errors.Join(err, os.Remove(old))
	}
	if err := os.Rename(w.partial, w.dir); err != nil {
		return "", nil, errors.Join(err, os.Rename(old, w.dir))
	}
	return old, func() error { return errors.Join(back(), os.Rename(old, w.dir)) }, nil
}

// syncDir makes names durable. File systems that cannot sync a folder say EINVAL: nothing to be done there.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	if errors.Is(err, syscall.EINVAL) {
		err = nil
	}
	return errors.Join(err, f.Close())
}
