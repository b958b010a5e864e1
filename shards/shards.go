// Package shards holds a data set of encoded pictures as a few large record files.
//
// It knows bytes only: what is in a record is the business of stages/vision, where records come from that of
// ingest. A data set is a folder:
//
//	manifest.json       written last; names every shard, its SHA-256, the classes and the pictures left out
//	train-00000.shard   records of one split, cut at a target size
//	val-00000.shard
//
// A shard file, all integers little-endian (docs/shard-format.md has every byte):
//
//	+--------+-----------------+--------------+--------------+-----------+
//	| header | records         | names (zstd) | index (zstd) | trailer   |
//	| 16 B   | back to back    |              | columns      | 48 B      |
//	+--------+-----------------+--------------+--------------+-----------+
//
//	header   "BAGSHARD" | version u32 = 1 | zero u32
//	names    per record: length u16, then all names' bytes; in the file until asked for
//	index    columns of n: offset u32 | stored u32 | raw u32 | crc32c u32 | label i32 | width u16 | height u16
//	         | components u8 | format u8 | codec u8
//	trailer  index offset u64 | names offset u64 | index raw size u32 | names raw size u32 | records u32
//	         | index crc u32 | names crc u32 | crc of header and these 36 bytes u32 | "BAGTRAIL"
//
// Every read checks the record's CRC32C, over the bytes as they lie in the file, before they are decompressed.
// An opened index keeps 23 bytes a record in memory.
//
// Buffers: Read fills the caller's own buffer. The package keeps no reference to a buffer it was handed.
//
// Refused: records of 4 GiB or more in one shard, a record that is empty or above MaxRecord bytes, a side above
// 65535, a name above 4096 bytes, sizes that the bytes present cannot unpack to. What opening takes in memory is
// bounded by the size of the file.
//
// Faults come in two kinds (OfRecord). What is wrong with one record's bytes is a *MalformedError or an
// *UnsupportedError, and another record can stand in. What the file system does not give is an *IOError, and none
// can. Files are read, not mapped, so that a failing disk or a file cut short is an error and never a signal;
// a file removed or replaced by renaming while it is open is read on.
package shards

import (
	"fmt"
	"hash/crc32"
)

// Format of a record's picture.
type Format uint8

// Formats of pictures. The values are written to disk.
const (
	JPEG Format = iota
	PNG
	Other // neither; the decoder finds out
)

// String names the format as ls prints it.
func (f Format) String() string {
	switch f {
	case JPEG:
		return "jpeg"
	case PNG:
		return "png"
	case Other:
		return "other"
	}
	return fmt.Sprintf("format(%d)", uint8(f))
}

// Meta is the index entry of a record.
type Meta struct {
	Label         int32 // into Dataset.Classes
	Width, Height int   // as decoded, 1..65535; not turned by EXIF
	Components    int   // 1..4 in the coded picture
	Format        Format
}

// Stats of the pixels of a sample of the training split, in levels 0..255 RGB.
type Stats struct {
	Pictures     int           `json:"pictures"` // in the sample
	Mean         [3]float64    `json:"mean"`
	Std          [3]float64    `json:"std"`
	EigenValues  [3]float64    `json:"eigen_values"`  // of the covariance, descending
	EigenVectors [3][3]float64 `json:"eigen_vectors"` // columns belong to EigenValues
}

// Limits of the format. A file that claims more is malformed or unsupported, never a reason to allocate.
const (
	MaxRecord   = 256 << 20 // bytes of one record, stored or raw
	MaxName     = 4096      // bytes of a source name
	MaxSide     = 65535     // pixels
	maxShard    = 1<<32 - 1 // bytes of records in a shard: offsets are u32
	maxRecords  = 1 << 26   // records in one shard
	maxNames    = 256 << 20 // bytes of the raw names of one shard
	maxManifest = 256 << 20 // bytes
)

const (
	headerMagic  = "BAGSHARD"
	trailerMagic = "BAGTRAIL"
	version      = 1
	headerSize   = 16
	trailerSize  = 48
	indexEntry   = 4*5 + 2*2 + 3 // bytes a record in the raw index
)

// crcOf is CRC32C (Castagnoli), the polynomial with an instruction of its own on amd64 and arm64.
func crcOf(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
