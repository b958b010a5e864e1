// Package ingest says where pictures come from: class folders on disk, the same inside tar files, and what
// turns them into shards.
//
// A source is a folder with splits below: train, val (or valid, validation) and test, each either a folder of
// class folders or a tar file (train.tar, train.tar.gz, train.tgz) with CLASS/... inside, in any mix. A folder
// of class folders without splits counts as train. Tars are read in place; nothing is ever unpacked to disk,
// so an entry that points outside is only a strange name, and is skipped.
//
// Labels are positions in the sorted union of class names. Folders are read in sorted order, tars in their own;
// both give the same sequence at every run. Files that are hidden are passed over, files that are not
// pictures by their extension are skipped and counted.
//
// Item.Data belongs to the receiver.
package ingest

import (
	"path"
	"strings"
)

// Item is one picture as it came, or the note that a file was skipped.
type Item struct {
	Split string
	Class string
	Name  string // CLASS/file, slashes on every system
	Data  []byte // the encoded picture, owned by the receiver
	Skip  string // why the file is no picture; Data is nil then
}

// splitAliases maps what a split may be called in a source to its name in a data set.
var splitAliases = map[string]string{
	"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
}

var pictureExtensions = []string{".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}

func isPicture(name string) bool {
	ext := strings.ToLower(path.Ext(name))
	for _, e := range pictureExtensions {
		if e == ext {
			return true
		}
	}
	return false
}

func hidden(name string) bool { return strings.HasPrefix(name, ".") || name == "__MACOSX" }
