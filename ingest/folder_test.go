//go:build unix

package ingest

import (
	"errors"
	"maps"
	"os"
	"syscall"
	"testing"
)

// Every file of a folder that is no picture is listed with its reason, and nothing strange is opened.
func TestFolderSkips(t *testing.T) {
	dir := flat("train/a/1.jpg", "train/b/1.jpg", "train/stray.jpg", "train/.hidden/1.jpg", "train/a/._1.jpg", "train/a/notes.txt", "train/a/noextension").folder(t)
	err := errors.Join(os.Mkdir(dir+"/train/empty", 0o755), syscall.Mkfifo(dir+"/train/a/pipe.jpg", 0o644),
		os.Symlink("1.jpg", dir+"/train/a/link.jpg"), os.Symlink("nowhere", dir+"/train/a/broken.jpg"), os.Symlink("..", dir+"/train/a/circle"),
		os.Symlink("..", dir+"/train/a/circle.jpg"), os.Symlink("nowhere", dir+"/train/lost"), os.Truncate(dir+"/train/a/1.jpg", int64(len(jpg))))
	if err != nil {
		t.Skip("cannot make links and pipes here:", err)
	}
	if f, err := os.Create(dir + "/train/b/huge.jpg"); err != nil || f.Truncate(300<<20) != nil || f.Close() != nil {
		t.Skip("cannot make a sparse file here:", err)
	}
	want := map[string]string{".hidden": "hidden", "a/._1.jpg": "hidden", "a/notes.txt": skipExtension, "a/noextension": skipExtension,
		"stray.jpg": skipNoClass, "lost": skipIrregular, "empty": "an empty class folder", "a/pipe.jpg": skipIrregular, "a/broken.jpg": skipIrregular,
		"a/circle.jpg": skipIrregular, "a/circle": skipExtension, "b/huge.jpg": "314572800 bytes, at most 268435456"}
	if got := skips(t, dir, "train"); !maps.Equal(got, want) {
		t.Errorf("skips\n%q, want\n%q", got, want)
	}
}
