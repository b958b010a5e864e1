package ingest

import (
	"os"
	"strings"
	"testing"
)

// TestClassesWithoutPictures damages all training pictures of a class, then all there are.
func TestClassesWithoutPictures(t *testing.T) {
	all := pictures([]string{"train", "val"}, []string{"a", "b"}, 2)
	o := options()
	o.MaxBad = 0.9
	damage := func(tr tree, prefix string) tree {
		worse := tree{}
		for name := range tr {
			if strings.HasPrefix(name, prefix) {
				worse[name] = []byte("damaged")
			}
		}
		return tr.with(worse)
	}
	_, r, err := shardify(t, damage(all, "train/b/").folder(t), o)
	if err != nil {
		t.Fatal(err)
	}
	if notes := strings.Join(r.Notes, "\n"); !strings.Contains(notes, `1 of 2 classes have no good training picture, such as ["b"]`) {
		t.Errorf("notes: %s", notes)
	}
	dst, _, err := shardify(t, damage(all, "train/").folder(t), o)
	if err == nil || !strings.Contains(err.Error(), "train has no good picture") {
		t.Errorf("all training pictures are damaged: %v", err)
	}
	if _, err := os.Stat(dst); err == nil {
		t.Error("a data set was left behind")
	}
}
