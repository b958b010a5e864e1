// Package shards (contract stub; to be replaced).
package shards

import "iter"

// Format of a record's picture.
type Format uint8

const (
	JPEG Format = iota
	PNG
	Other
)

// Meta is the index entry of a record.
type Meta struct {
	Label         int32
	Width, Height int
	Components    int // 1, 3 or 4
	Format        Format
}

// Dataset is an opened folder of shards: manifest and index in memory, records mapped.
type Dataset struct {
	Dir     string
	Classes []string
	Hash    string // hex
	Stats   *Stats // nil when not measured
	// ...
}

// Stats of the pixels, in levels 0..255 RGB.
type Stats struct {
	Pictures     int
	Mean, Std    [3]float64
	EigenValues  [3]float64
	EigenVectors [3][3]float64 // columns belong to EigenValues
}

func Open(dir string) (*Dataset, error)              { panic("pending") }
func (d *Dataset) Close() error                      { panic("pending") }
func (d *Dataset) Splits() []string                  { panic("pending") }
func (d *Dataset) Split(name string) (*Split, error) { panic("pending") }

// Split is one of train, val, test.
type Split struct{ Name string }

func (s *Split) Len() int        { panic("pending") }
func (s *Split) Meta(i int) Meta { panic("pending") }

// Read returns the picture bytes of record i, CRC checked. The slice is valid until the Dataset is
// closed if it came from the map, otherwise it is buf (grown) reused: treat it as valid until the next
// Read with the same buf. buf may be nil. Returned grown buf is kept by the caller via the result when
// decoded (codec lz4/zstd).
func (s *Split) Read(i int, buf *[]byte) ([]byte, error) { panic("pending") }

// Name returns the source name of record i (for messages).
func (s *Split) Name_(i int) string { panic("pending") }

var _ iter.Seq[int]
