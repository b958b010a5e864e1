// Package ingest says where pictures come from: class folders on disk, the same inside tar files, and what
// turns them into shards.
//
// A source is a folder with splits below: train, val (or valid, validation) and test, each either a folder of
// class folders or a tar file (train.tar, train.tar.gz, train.tgz) with CLASS/... inside, in any mix. A folder
// of class folders without splits counts as train. So does a single tar, alone in a folder or named itself,
// unless it has the splits inside. Tars are read in place; nothing is ever unpacked to disk, so an entry that
// points outside is only a strange name, and is skipped.
//
// Labels are positions in the sorted union of class names. Folders are read in sorted order, tars in their own;
// both give the same sequence at every run. Files that are hidden or no pictures by their extension are skipped
// and counted, as is every other file that does not become a picture.
//
// Item.Data belongs to the receiver.
package ingest

import (
	"fmt"
	"path"
	"strings"

	"bagpipe/shards"
)

// Item is one picture as it came, or the note that a file was skipped.
type Item struct {
	Split string
	Class string
	Name  string // CLASS/file, slashes on every system
	Data  []byte // the encoded picture, owned by the receiver
	Skip  string // why the file is no picture; Data is nil then
	Bad   string // why the picture cannot be read; Data is nil then
}

// splitAlias gives the name in a data set of what may be called a split in a source, "" for other words.
func splitAlias(name string) string {
	switch strings.ToLower(name) {
	case "train", "training":
		return "train"
	case "val", "valid", "validation":
		return "val"
	case "test":
		return "test"
	}
	return ""
}

// Reasons to skip a file that both kinds of source know.
const (
	skipHidden    = "hidden"
	skipNoClass   = "not in a class folder"
	skipExtension = "not a picture by its extension"
	skipIrregular = "not a regular file"
	skipLongName  = "its name is too long"
)

func tooLarge(n int64) string { return fmt.Sprintf("%d bytes, at most %d", n, shards.MaxRecord) }

func isPicture(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm":
		return true
	}
	return false
}

func hidden(name string) bool { return strings.HasPrefix(name, ".") || name == "__MACOSX" }
