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

	"bagpipe/shards"
)

// Source is a scanned folder: which splits and classes there are, and how many pictures. The pictures
// themselves are read by Items.
type Source struct {
	Dir     string
	Classes []string       // sorted; the label is the position
	Splits  []string       // in the order of shards.CompareSplits
	Count   map[string]int // pictures by split
	Note    string         // what was assumed about the layout, "" if nothing

	parts       map[string]part // by name in the source
	valFraction float64         // share of train that Items gives as val
}

// part is one place with the pictures of one split.
type part interface {
	// walk yields the pictures of a split and the files skipped. Without data, Item.Data stays nil.
	walk(ctx context.Context, data bool) iter.Seq2[Item, error]
	where() string
}

// Scan looks at a source without reading pictures; of a tar it reads the headers. valFraction, in 0..1, moves
// that share of train into val, chosen by a hash of the name, when there is no other split.
func Scan(ctx context.Context, dir string, valFraction float64) (*Source, error) {
	parts, note, err := findParts(dir)
	if err != nil {
		return nil, err
	}
	s := &Source{Dir: dir, Count: map[string]int{}, Note: note, parts: parts}
	s.Splits = slices.SortedFunc(maps.Keys(parts), shards.CompareSplits)
	if valFraction > 0 && len(parts) == 1 && parts["train"] != nil {
		s.valFraction, s.Splits = valFraction, []string{"train", "val"}
	}
	classes := map[string]map[string]bool{} // split -> class
	for _, split := range slices.SortedFunc(maps.Keys(parts), shards.CompareSplits) {
		classes[split] = map[string]bool{}
		for item, err := range parts[split].walk(ctx, false) {
			if err != nil {
				return nil, err
			}
			if item.Skip != "" {
				continue
			}
			s.Count[s.splitOf(split, item.Name)]++
			classes[split][item.Class] = true
		}
		if len(classes[split]) == 0 {
			return nil, fmt.Errorf("ingest: %s: no classes with pictures (want CLASS/picture.jpg below)", parts[split].where())
		}
	}
	if err := s.unite(classes); err != nil {
		return nil, err
	}
	return s, nil
}

// unite makes the class list and refuses sets that cannot be trained on.
func (s *Source) unite(classes map[string]map[string]bool) error {
	all := map[string]bool{}
	train := classes["train"]
	for _, split := range slices.SortedFunc(maps.Keys(classes), shards.CompareSplits) {
		for _, c := range slices.Sorted(maps.Keys(classes[split])) {
			if train != nil && !train[c] {
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

// splitOf is where a picture of a part of the source goes.
func (s *Source) splitOf(part, name string) string {
	if s.valFraction > 0 && part == "train" && hashUnit("split", name) < s.valFraction {
		return "val"
	}
	return part
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
		for item, err := range p.walk(ctx, true) {
			if err == nil && s.splitOf(from, item.Name) != split {
				continue
			}
			item.Split = split
			if !yield(item, err) || err != nil {
				return
			}
		}
	}
}

// findParts finds the splits of a folder.
func findParts(dir string) (map[string]part, string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, "", explainDir(dir, err)
	}
	parts := map[string]part{}
	var classDirs, visible int
	for _, e := range entries {
		if hidden(e.Name()) {
			continue
		}
		visible++
		fi, err := os.Stat(filepath.Join(dir, e.Name())) // follows links
		if err != nil {
			return nil, "", fmt.Errorf("ingest: %w", err)
		}
		if fi.IsDir() {
			classDirs++
		}
		split, p := asPart(dir, e.Name(), fi)
		if p == nil {
			continue
		}
		if there := parts[split]; there != nil {
			return nil, "", fmt.Errorf("ingest: %s: both %s and %s are %s (keep one)", dir, filepath.Base(there.where()), e.Name(), split)
		}
		parts[split] = p
	}
	switch {
	case len(parts) > 0 && parts["train"] == nil && len(parts) < classDirs:
		// a class that happens to be called test among others
	case len(parts) > 0:
		return parts, "", nil
	case visible == 0:
		return nil, "", fmt.Errorf("ingest: %s: the folder is empty (want train/CLASS/picture.jpg or train.tar)", dir)
	}
	if _, err := os.Stat(filepath.Join(dir, shards.ManifestName)); err == nil {
		return nil, "", fmt.Errorf("ingest: %s: a data set of shards already (use it: pipe train --data %s)", dir, dir)
	}
	if classDirs == 0 {
		return nil, "", fmt.Errorf("ingest: %s: no classes (want train/CLASS/picture.jpg, CLASS/picture.jpg or train.tar)", dir)
	}
	note := fmt.Sprintf("%s has no train folder or train.tar: its %d folders are taken as classes of train", dir, classDirs)
	return map[string]part{"train": folder(dir)}, note, nil
}

// asPart says whether an entry of the source is a split.
func asPart(dir, name string, fi fs.FileInfo) (string, part) {
	path := filepath.Join(dir, name)
	if fi.IsDir() {
		if split, ok := splitAliases[strings.ToLower(name)]; ok {
			return split, folder(path)
		}
		return "", nil
	}
	for _, ext := range []string{".tar", ".tar.gz", ".tgz"} {
		base, ok := strings.CutSuffix(strings.ToLower(name), ext)
		if split := splitAliases[base]; ok && split != "" && fi.Mode().IsRegular() {
			return split, tarFile{path: path, split: split}
		}
	}
	return "", nil
}

func explainDir(dir string, err error) error {
	if fi, serr := os.Stat(dir); errors.Is(serr, fs.ErrNotExist) {
		return fmt.Errorf("ingest: %s: no such folder", dir)
	} else if serr == nil && !fi.IsDir() {
		return fmt.Errorf("ingest: %s: a file, want the folder that holds train/ or train.tar", dir)
	}
	return fmt.Errorf("ingest: %w", err)
}
