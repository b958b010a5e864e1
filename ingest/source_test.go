package ingest

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var jpg = picture(1, false)

// flat puts one picture at each path.
func flat(paths ...string) tree {
	t := tree{}
	for _, p := range paths {
		t[p] = jpg
	}
	return t
}

func TestLayouts(t *testing.T) {
	for name, c := range map[string]struct {
		tree    tree
		src     string // below the tree
		splits  string
		classes string
		note    string
		err     string
	}{
		"train and val":      {tree: flat("train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg"), splits: "train val", classes: "a b"},
		"aliases":            {tree: flat("Training/a/1.jpg", "Training/b/1.jpg", "validation/a/1.jpg", "TEST/b/1.jpg"), splits: "train val test", classes: "a b"},
		"only test":          {tree: flat("test/a/1.jpg", "test/b/1.jpg"), splits: "test", classes: "a b"},
		"classes":            {tree: flat("a/1.jpg", "b/1.jpg"), splits: "train", classes: "a b", note: "its 2 folders are taken as classes"},
		"a class test":       {tree: flat("a/1.jpg", "test/1.jpg", "quiz/1.jpg"), splits: "train", classes: "a quiz test"},
		"wrapped":            {tree: flat("set/train/a/1.jpg", "set/train/b/1.jpg", "readme.txt"), splits: "train", classes: "a b", note: "taken from"},
		"others beside":      {tree: flat("train/a/1.jpg", "train/b/1.jpg", "Annotations/x/1.jpg", "labels.csv"), splits: "train", classes: "a b", note: "left aside in"},
		"unlabelled test":    {tree: flat("train/a/1.jpg", "train/b/1.jpg", "test/1.jpg", "test/2.jpg"), splits: "train", classes: "a b", note: "without labels there is nothing to test"},
		"unlabelled tar":     {tree: flat("train/a/1.jpg", "train/b/1.jpg").with(tree{"test.tar": flat("1.jpg").tar()}), splits: "train", classes: "a b", note: "without labels"},
		"tar":                {tree: tree{"x.tar": flat("a/1.jpg", "b/1.jpg").tar()}, src: "x.tar", splits: "train", classes: "a b", note: "taken as classes"},
		"folder with a tar":  {tree: tree{"x.tar": flat("a/1.jpg", "b/1.jpg").tar(), "synsets.tsv": {}}, splits: "train", classes: "a b"},
		"divided tar":        {tree: tree{"x.tgz": gz(flat("s/train/a/1.jpg", "s/train/b/1.jpg", "s/val/a/1.jpg", "s/doc/1.jpg").tar())}, splits: "train val", classes: "a b"},
		"tar of val, test":   {tree: tree{"x.tar": flat("val/a/1.jpg", "val/b/1.jpg", "test/a/1.jpg").tar()}, src: "x.tar", splits: "val test", classes: "a b"},
		"named below":        {tree: tree{"x.tar": flat("val/a/1.jpg", "val/b/1.jpg").tar()}, src: "x.tar", splits: "val", classes: "a b"},
		"tar, class train":   {tree: tree{"x.tar": flat("train/1.jpg", "bus/1.jpg").tar()}, src: "x.tar", splits: "train", classes: "bus train"},
		"tar, deep":          {tree: tree{"x.tar": flat("w/a/x/1.jpg", "w/b/2/3/1.jpg", "w/1.jpg").tar()}, src: "x.tar", splits: "train", classes: "a b"},
		"named against":      {tree: tree{"test.tar": flat("val/a/1.jpg", "val/b/1.jpg").tar()}, splits: "test", classes: "a b"},
		"class of one":       {tree: tree{"train.tar": flat("a/1.jpg", "b/1.jpg").tar(), "val.tar": flat("a/1.jpg").tar()}, splits: "train val", classes: "a b"},
		"file names":         {tree: flat("train/a/1.JPG", "train/b/1.JpEg", "train/c/1.webp", "train/d/1.bmp"), splits: "train", classes: "a b c d"},
		"missing":            {tree: flat("a/1.jpg"), src: "nowhere", err: "no such folder"},
		"empty":              {tree: tree{".hidden": {}}, err: "the folder is empty (want train/CLASS"},
		"no classes":         {tree: flat("1.jpg", "2.jpg"), err: "no classes (want train/CLASS"},
		"one class":          {tree: flat("a/1.jpg", "a/2.jpg"), err: `only one class, "a"`},
		"one class, train":   {tree: flat("train/a/1.jpg"), err: `only one class, "a"`},
		"one class, tar":     {tree: tree{"x.tar": flat("a/1.jpg", "a/2.jpg").tar()}, src: "x.tar", err: `only one class, "a"`},
		"one class, subs":    {tree: tree{"x.tar": flat("a/1.jpg", "a/2.jpg", "a/3.jpg", "a/x/1.jpg", "a/y/1.jpg").tar()}, src: "x.tar", err: `only one class, "a"`},
		"empty split":        {tree: flat("train/a/1.jpg", "train/b/1.jpg", "val/readme.txt"), err: "val: no classes with pictures"},
		"strange class":      {tree: flat("train/a/1.jpg", "train/b/1.jpg", "val/c/1.jpg"), err: `val: class "c" is not in train (add pictures`},
		"no UTF-8":           {tree: flat("train/a\xff/1.jpg", "train/b/1.jpg"), err: "is not UTF-8 (rename the folder)"},
		"two train":          {tree: flat("train/a/1.jpg").with(tree{"train.tar": flat("a/1.jpg").tar()}), err: "both train and train.tar are train (keep one)"},
		"two val in a tar":   {tree: tree{"x.tar": flat("train/a/1.jpg", "val/a/1.jpg", "valid/b/1.jpg").tar()}, err: "two folders are val inside"},
		"other splits":       {tree: tree{"test.tar": flat("train/a/1.jpg", "val/a/1.jpg").tar()}, err: "has several splits inside, but not test"},
		"many tars":          {tree: tree{"x.tar": {}, "y.tar": {}}, err: "2 tars, none of them train.tar (name one"},
		"a picture":          {tree: flat("1.jpg"), src: "1.jpg", err: "a file, want the folder"},
		"a data set":         {tree: tree{"manifest.json": {}, "train-00000.shard": {}}, err: "a data set of shards already (use it: pipe train"},
		"tar is empty":       {tree: tree{"train.tar": {}}, err: "empty file (is it a tar file?)"},
		"tar is text":        {tree: tree{"train.tar": []byte(strings.Repeat("text ", 500))}, err: "invalid tar header (copy the file again)"},
		"tar of no pictures": {tree: tree{"x.tar": flat("a/1.txt").tar()}, src: "x.tar", err: "no classes with pictures"},
		"tar of a file":      {tree: tree{"train.tar": flat("1.jpg").tar()}, err: "no classes with pictures"},
		"gzip is damaged":    {tree: tree{"train.tar.gz": []byte("\x1f\x8b nonsense")}, err: "(is it a tar file?)"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := c.tree.folder(t)
			s, err := Scan(t.Context(), filepath.Join(dir, c.src), 0)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "\n") {
					t.Errorf("error %v, want %q and the place", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(s.Splits, " "); got != c.splits {
				t.Errorf("splits %s, want %s", got, c.splits)
			}
			if got := strings.Join(s.Classes, " "); got != c.classes {
				t.Errorf("classes %s, want %s", got, c.classes)
			}
			if c.note != "" && !strings.Contains(strings.Join(s.Notes, "; "), c.note) {
				t.Errorf("notes %q, want %q", s.Notes, c.note)
			}
			// What was counted is what comes.
			for _, split := range s.Splits {
				n := 0
				for item, err := range s.Items(t.Context(), split) {
					if err != nil {
						t.Fatal(err)
					}
					if item.Skip == "" {
						n++
						if !strings.HasPrefix(item.Name, item.Class+"/") || item.Split != split || !slices.Contains(s.Classes, item.Class) {
							t.Errorf("item %+v", item)
						}
					}
				}
				if n != s.Count[split] || n == 0 {
					t.Errorf("%s: %d pictures came, %d were counted", split, n, s.Count[split])
				}
			}
		})
	}
}

// skips lists what a split skips, by name.
func skips(t *testing.T, src, split string) map[string]string {
	t.Helper()
	s, err := Scan(t.Context(), src, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for item, err := range s.Items(t.Context(), split) {
		if err != nil {
			t.Fatal(err)
		}
		if item.Skip != "" {
			out[item.Name] = item.Skip
			if item.Data != nil {
				t.Errorf("%s is skipped with its data", item.Name)
			}
		}
	}
	return out
}

func TestScanStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, src := range []tree{flat("train/a/1.jpg", "train/b/1.jpg"), {"train.tar": flat("a/1.jpg", "b/1.jpg").tar()}} {
		if _, err := Scan(ctx, src.folder(t), 0); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
}
