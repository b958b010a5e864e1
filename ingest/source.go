package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"bagpipe/shards"
)

// Source is a scanned source: which splits and classes there are, and how many pictures. The pictures
// themselves are read by Items.
type Source struct {
	Dir     string
	Classes []string       // sorted; the label is the position
	Splits  []string       // in the order of shards.CompareSplits
	Count   map[string]int // pictures by split; an estimate where train is divided
	Notes   []string       // what was assumed about the layout

	parts       map[string]part // by name in the source
	valFraction float64         // share of train that Items gives as val
}

// part is one place with the pictures of one split.
type part interface {
	scan(ctx context.Context) (classes map[string]int, err error) // pictures of each class
	items(ctx context.Context) iter.Seq2[Item, error]             // pictures and files skipped
	where() string
}

func keys[V any](m map[string]V) []string { return slices.Collect(maps.Keys(m)) }

func inOrder[V any](m map[string]V) []string {
	return slices.SortedFunc(maps.Keys(m), shards.CompareSplits)
}

// Scan looks at a source without reading pictures; of a tar it reads the headers. valFraction, in 0..1, moves
// that share of train into val, chosen by a hash of the name, when there is no other split.
func Scan(ctx context.Context, dir string, valFraction float64) (*Source, error) {
	s := &Source{Dir: dir, Count: map[string]int{}}
	var err error
	if s.parts, err = s.find(ctx, dir); err != nil {
		return nil, err
	}
	classes := map[string]map[string]int{} // split -> class -> pictures
	for _, split := range inOrder(s.parts) {
		p := s.parts[split]
		found, err := p.scan(ctx)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 && split == "test" && s.parts["train"] != nil {
			s.note("%s has no class folders and is left out: without labels there is nothing to test", p.where())
			delete(s.parts, split)
			continue
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("ingest: %s: no classes with pictures (want CLASS/picture.jpg below)", p.where())
		}
		classes[split] = found
		for _, n := range found {
			s.Count[split] += n
		}
	}
	if err := s.unite(classes); err != nil {
		return nil, err
	}
	s.Splits = inOrder(s.parts)
	if len(s.parts) == 1 && s.parts["train"] != nil && valFraction > 0 {
		s.valFraction, s.Splits = valFraction, []string{"train", "val"}
		n := s.Count["train"]
		s.Count["val"] = int(valFraction * float64(n))
		s.Count["train"] = n - s.Count["val"]
	} else if valFraction > 0 {
		s.note("the share to hold out is not used: the source has splits of its own")
	}
	return s, nil
}

func (s *Source) note(format string, args ...any) {
	s.Notes = append(s.Notes, fmt.Sprintf(format, args...))
}

// unite makes the class list and refuses sets that cannot be trained on.
func (s *Source) unite(classes map[string]map[string]int) error {
	all := map[string]bool{}
	train := classes["train"]
	for _, split := range inOrder(classes) {
		for _, c := range slices.Sorted(maps.Keys(classes[split])) {
			if !utf8.ValidString(c) {
				return fmt.Errorf("ingest: %s: the name of class %q is not UTF-8 (rename the folder)", s.parts[split].where(), c)
			}
			if train != nil && train[c] == 0 {
				return fmt.Errorf("ingest: %s: class %q is not in train (add pictures of it to train or remove it)", s.parts[split].where(), c)
			}
			all[c] = true
		}
	}
	s.Classes = slices.Sorted(maps.Keys(all))
	if len(s.Classes) < 2 {
		return fmt.Errorf("ingest: %s: only one class, %q; at least 2 needed to tell apart (one folder a class)", s.Dir, s.Classes[0])
	}
	return nil
}

// hashUnit maps a name to 0..1, evenly and for good: SHA-256, since FNV leaves near-equal names close together.
// The purpose keeps different choices by name independent.
func hashUnit(purpose, name string) float64 {
	h := sha256.Sum256([]byte(purpose + "\x00" + name))
	return float64(binary.BigEndian.Uint64(h[:])>>11) / (1 << 53)
}

// Items yields the pictures of a split, and the files skipped, in the order of the source. After an error the
// sequence ends.
func (s *Source) Items(ctx context.Context, split string) iter.Seq2[Item, error] {
	from := split
	if s.valFraction > 0 {
		from = "train"
	}
	return func(yield func(Item, error) bool) {
		p := s.parts[from]
		if p == nil {
			yield(Item{}, fmt.Errorf("ingest: %s: no split %q, there is %v", s.Dir, split, s.Splits))
			return
		}
		for item, err := range p.items(ctx) {
			if err == nil && s.valFraction > 0 && (split == "val") != (hashUnit("split", item.Name) < s.valFraction) {
				continue
			}
			item.Split = split
			if !yield(item, err) || err != nil {
				return
			}
		}
	}
}

// find finds the splits of a source.
func (s *Source) find(ctx context.Context, dir string) (map[string]part, error) {
	fi, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("ingest: %s: no such folder", dir)
	case err != nil:
		return nil, fmt.Errorf("ingest: %w", err)
	case fi.IsDir():
		return s.findDir(ctx, dir)
	case fi.Mode().IsRegular() && tarBase(dir) != "":
		return s.lone(ctx, dir)
	}
	return nil, fmt.Errorf("ingest: %s: a file, want the folder that holds train/ or train.tar", dir)
}

// lone takes a tar that is not named like a split.
func (s *Source) lone(ctx context.Context, file string) (map[string]part, error) {
	parts, err := tarParts(ctx, file, "")
	if err != nil {
		return nil, err
	}
	if t, ok := parts["train"].(tarFile); ok && len(parts) == 1 {
		s.note("%d folders of %s are taken as classes of train", len(t.classes), filepath.ToSlash(filepath.Join(file, filepath.Join(t.root...))))
	}
	return parts, nil
}

// entries are what lies in a source folder.
type entries struct {
	splits map[string]string // split -> name
	dirs   []string          // folders that are no split
	tars   []string          // tars that are no split
	files  []string          // the rest, hidden ones apart
}

func list(dir string) (e entries, err error) {
	all, err := os.ReadDir(dir)
	if err != nil {
		return e, fmt.Errorf("ingest: %w", err)
	}
	e.splits = map[string]string{}
	for _, d := range all {
		name := d.Name()
		if hidden(name) {
			continue
		}
		fi, err := os.Stat(filepath.Join(dir, name)) // follows links
		isDir, isTar := err == nil && fi.IsDir(), err == nil && fi.Mode().IsRegular() && tarBase(name) != ""
		split := ""
		if isDir {
			split = splitAlias(name)
		} else if isTar {
			split = splitAlias(tarBase(name))
		}
		switch {
		case split != "" && e.splits[split] != "":
			return e, fmt.Errorf("ingest: %s: both %s and %s are %s (keep one)", dir, e.splits[split], name, split)
		case split != "":
			e.splits[split] = name
		case isDir:
			e.dirs = append(e.dirs, name)
		case isTar:
			e.tars = append(e.tars, name)
		default:
			e.files = append(e.files, name)
		}
	}
	return e, nil
}

// tarBase cuts the ending of a tar's name, "" if it has none.
func tarBase(name string) string {
	for _, ext := range []string{".tar", ".tar.gz", ".tgz"} {
		if len(name) > len(ext) && strings.EqualFold(name[len(name)-len(ext):], ext) {
			return name[:len(name)-len(ext)]
		}
	}
	return ""
}

func (s *Source) findDir(ctx context.Context, dir string) (map[string]part, error) {
	e, err := list(dir)
	if err != nil {
		return nil, err
	}
	// Without train, "test" among other folders is a class of that name.
	if len(e.splits) > 0 && (e.splits["train"] != "" || len(e.dirs) == 0) {
		return s.named(ctx, dir, e)
	}
	if _, err := os.Stat(filepath.Join(dir, shards.ManifestName)); err == nil {
		return nil, fmt.Errorf("ingest: %s: a data set of shards already (use it: pipe train --data %s)", dir, dir)
	}
	switch classes := len(e.dirs) + len(e.splits); {
	case classes == 1:
		// A lone wrapping folder, as archives leave it.
		inner := filepath.Join(dir, e.dirs[0])
		if in, err := list(inner); err == nil && in.splits["train"] != "" {
			s.note("the splits are taken from %s", inner)
			return s.named(ctx, inner, in)
		}
		fallthrough
	case classes > 1:
		s.note("%s has no train folder or train.tar: its %d folders are taken as classes of train", dir, classes)
		return map[string]part{"train": folder(dir)}, nil
	case len(e.tars) == 1:
		return s.lone(ctx, filepath.Join(dir, e.tars[0]))
	case len(e.tars) > 1:
		return nil, fmt.Errorf("ingest: %s: %d tars, none of them train.tar (name one of them: shardify %s)", dir, len(e.tars), filepath.Join(dir, e.tars[0]))
	case len(e.files) == 0:
		return nil, fmt.Errorf("ingest: %s: the folder is empty (want train/CLASS/picture.jpg or train.tar)", dir)
	}
	return nil, fmt.Errorf("ingest: %s: no classes (want train/CLASS/picture.jpg, CLASS/picture.jpg or train.tar)", dir)
}

// named takes the splits of a folder.
func (s *Source) named(ctx context.Context, dir string, e entries) (map[string]part, error) {
	parts := map[string]part{}
	for _, split := range inOrder(e.splits) {
		path := filepath.Join(dir, e.splits[split])
		if tarBase(path) == "" {
			parts[split] = folder(path)
			continue
		}
		inside, err := tarParts(ctx, path, split)
		if err != nil {
			return nil, err
		}
		parts[split] = inside[split]
	}
	if aside := append(e.dirs, e.tars...); len(aside) > 0 {
		s.note("left aside in %s: %s", dir, strings.Join(aside[:min(3, len(aside))], ", "))
	}
	return parts, nil
}

// outside refuses a destination within the class folders: the next run would take it for a class.
func (s *Source) outside(dst string) error {
	to, err := filepath.Abs(dst)
	if err != nil {
		return fmt.Errorf("ingest: %w", err)
	}
	for _, split := range inOrder(s.parts) {
		from, err := filepath.Abs(s.parts[split].where())
		if err != nil {
			return fmt.Errorf("ingest: %w", err)
		}
		if rel, err := filepath.Rel(from, to); err == nil && filepath.IsLocal(rel) {
			return fmt.Errorf("ingest: %s: lies among the class folders of %s (choose another folder with -o)", dst, split)
		}
	}
	return nil
}
