package shards

import (
	"encoding/binary"
	"slices"

	"github.com/klauspost/compress/zstd"
)

var le = binary.LittleEndian

// index holds the columns of one shard, 23 bytes a record while no record is compressed, 27 otherwise.
type index struct {
	offset []uint32 // n+1: record i lies at offset[i]..offset[i+1] of the file
	raw    []uint32 // nil when every record is stored as it is
	crc    []uint32
	label  []int32
	width  []uint16
	height []uint16
	kind   []uint8 // components-1 in bits 0-1, codec in bits 2-3, format in bits 4-7
}

func packKind(components int, c Codec, f Format) uint8 {
	return uint8(components-1) | uint8(c)<<2 | uint8(f)<<4
}

func (x *index) len() int             { return len(x.crc) }
func (x *index) codec(i int) Codec    { return Codec(x.kind[i] >> 2 & 3) }
func (x *index) stored(i int) int     { return int(x.offset[i+1] - x.offset[i]) }
func (x *index) components(i int) int { return int(x.kind[i]&3) + 1 }

func (x *index) rawLen(i int) int {
	if x.raw == nil {
		return x.stored(i)
	}
	return int(x.raw[i])
}

func (x *index) meta(i int) Meta {
	return Meta{Label: x.label[i], Width: int(x.width[i]), Height: int(x.height[i]),
		Components: x.components(i), Format: Format(x.kind[i] >> 4)}
}

// appendTo writes the raw (uncompressed) index of the format.
func (x *index) appendTo(b []byte) []byte {
	n := x.len()
	for i := range n {
		b = le.AppendUint32(b, x.offset[i])
	}
	for i := range n {
		b = le.AppendUint32(b, uint32(x.stored(i)))
	}
	for i := range n {
		b = le.AppendUint32(b, uint32(x.rawLen(i)))
	}
	for i := range n {
		b = le.AppendUint32(b, x.crc[i])
	}
	for i := range n {
		b = le.AppendUint32(b, uint32(x.label[i]))
	}
	for i := range n {
		b = le.AppendUint16(b, x.width[i])
	}
	for i := range n {
		b = le.AppendUint16(b, x.height[i])
	}
	for i := range n {
		b = append(b, byte(x.components(i)))
	}
	for i := range n {
		b = append(b, x.kind[i]>>4)
	}
	for i := range n {
		b = append(b, byte(x.codec(i)))
	}
	return b
}

// parseIndex reads the raw index of n records that fill headerSize..end of the file.
func parseIndex(place string, b []byte, n int, end uint32) (*index, error) {
	if len(b) != n*indexEntry {
		return nil, malformed(place, "index of %d bytes for %d records, want %d", len(b), n, n*indexEntry)
	}
	column := func(width int) []byte {
		c := b[:n*width]
		b = b[n*width:]
		return c
	}
	offset, stored, raw, crc, label := column(4), column(4), column(4), column(4), column(4)
	width, height := column(2), column(2)
	components, format, codec := column(1), column(1), column(1)

	x := &index{offset: make([]uint32, n+1), crc: make([]uint32, n), label: make([]int32, n),
		width: make([]uint16, n), height: make([]uint16, n), kind: make([]uint8, n)}
	at := uint64(headerSize)
	for i := range n {
		o, s, r := le.Uint32(offset[4*i:]), le.Uint32(stored[4*i:]), le.Uint32(raw[4*i:])
		if uint64(o) != at {
			return nil, malformed(place, "record %d at offset %d, want %d", i, o, at)
		}
		if at += uint64(s); at > uint64(end) {
			return nil, malformed(place, "record %d ends at %d, beyond the records' end %d", i, at, end)
		}
		if s < 1 || r < 1 || s > MaxRecord || r > MaxRecord {
			return nil, malformed(place, "record %d of %d bytes (%d stored), want 1 to %d", i, r, s, MaxRecord)
		}
		if c := Codec(codec[i]); c > Zstd {
			return nil, unsupported(place, "record %d has codec %d", i, c)
		} else if !c.plausible(int(s), int(r)) {
			return nil, malformed(place, "record %d: %d bytes stored with codec %v cannot be %d", i, s, c, r)
		} else if c != None && x.raw == nil {
			x.raw = make([]uint32, n)
		}
		if Format(format[i]) > Other {
			return nil, unsupported(place, "record %d has picture format %d", i, format[i])
		}
		if components[i] < 1 || components[i] > 4 {
			return nil, malformed(place, "record %d has %d components, want 1 to 4", i, components[i])
		}
		x.offset[i], x.crc[i], x.label[i] = o, le.Uint32(crc[4*i:]), int32(le.Uint32(label[4*i:]))
		x.width[i], x.height[i] = le.Uint16(width[2*i:]), le.Uint16(height[2*i:])
		if x.label[i] < 0 || x.width[i] == 0 || x.height[i] == 0 {
			return nil, malformed(place, "record %d: label %d, %d x %d pixels", i, x.label[i], x.width[i], x.height[i])
		}
		x.kind[i] = packKind(int(components[i]), Codec(codec[i]), Format(format[i]))
	}
	if at != uint64(end) {
		return nil, malformed(place, "records end at %d, want %d", at, end)
	}
	x.offset[n] = end
	if x.raw != nil {
		for i := range n {
			x.raw[i] = le.Uint32(raw[4*i:])
		}
	}
	return x, nil
}

// trailer is the fixed end of a shard file.
type trailer struct {
	indexOffset, namesOffset uint64
	indexRaw, namesRaw       uint32
	records                  uint32
	indexCRC, namesCRC       uint32
}

func header() []byte {
	b := append(make([]byte, 0, headerSize), headerMagic...)
	b = le.AppendUint32(b, version)
	return le.AppendUint32(b, 0)
}

func (t trailer) appendTo(b []byte) []byte {
	start := len(b)
	b = le.AppendUint64(b, t.indexOffset)
	b = le.AppendUint64(b, t.namesOffset)
	for _, v := range []uint32{t.indexRaw, t.namesRaw, t.records, t.indexCRC, t.namesCRC} {
		b = le.AppendUint32(b, v)
	}
	b = le.AppendUint32(b, crcOf(append(header(), b[start:]...)))
	return append(b, trailerMagic...)
}

// parseTrailer checks both ends of a file of size bytes and every bound the trailer claims.
func parseTrailer(place string, head, tail []byte, size int64) (trailer, error) {
	var t trailer
	if len(head) != headerSize || string(head[:8]) != headerMagic {
		return t, malformed(place, "starts with %q, want %q: not a shard", head[:min(8, len(head))], headerMagic)
	}
	if v := le.Uint32(head[8:]); v != version {
		return t, unsupported(place, "format version %d, this program reads %d", v, version)
	}
	if len(tail) != trailerSize || string(tail[40:]) != trailerMagic {
		return t, malformed(place, "the trailer is missing: the file is cut short or unfinished")
	}
	if got, want := crcOf(append(append([]byte{}, head...), tail[:36]...)), le.Uint32(tail[36:]); got != want {
		return t, malformed(place, "trailer crc 0x%08x, want 0x%08x", got, want)
	}
	t = trailer{indexOffset: le.Uint64(tail), namesOffset: le.Uint64(tail[8:]), indexRaw: le.Uint32(tail[16:]),
		namesRaw: le.Uint32(tail[20:]), records: le.Uint32(tail[24:]), indexCRC: le.Uint32(tail[28:]), namesCRC: le.Uint32(tail[32:])}
	if z := le.Uint32(head[12:]); z != 0 {
		return t, malformed(place, "header ends with %d, want 0", z)
	}
	end := uint64(size) - trailerSize
	switch {
	case t.namesOffset < headerSize || t.namesOffset > maxShard || t.indexOffset < t.namesOffset || t.indexOffset > end:
		return t, malformed(place, "names at %d and index at %d of %d bytes", t.namesOffset, t.indexOffset, size)
	case t.records < 1 || t.records > maxRecords || uint64(t.records) > t.namesOffset-headerSize || uint64(t.indexRaw) != uint64(t.records)*indexEntry:
		return t, malformed(place, "index of %d bytes for %d records in %d bytes", t.indexRaw, t.records, t.namesOffset-headerSize)
	case uint64(t.namesRaw) > min(maxNames, uint64(t.records)*(2+MaxName)) || uint64(t.namesRaw) < 2*uint64(t.records):
		return t, malformed(place, "names of %d bytes for %d records", t.namesRaw, t.records)
	}
	return t, nil
}

// unpack checks and decompresses a footer block whose raw size is claimed by the trailer. The claim must be
// plausible, and what comes out must fit it. It goes into buf, which grows as needed.
func unpack(z *zstd.Decoder, place, what string, stored []byte, crc, raw uint32, buf []byte) ([]byte, error) {
	if got := crcOf(stored); got != crc {
		return nil, malformed(place, "%s crc 0x%08x, want 0x%08x", what, got, crc)
	}
	if !Zstd.plausible(len(stored), int(raw)) {
		return nil, malformed(place, "%s: %d bytes cannot come from %d", what, raw, len(stored))
	}
	out, err := decode(z, Zstd, slices.Grow(buf[:0], int(raw)), stored, int(raw))
	if err != nil {
		return nil, malformed(place, "%s: %v", what, err)
	}
	return out, nil
}

// parseNames cuts the raw names block into n names.
func parseNames(place string, b []byte, n int) ([]string, error) {
	names := make([]string, n)
	at := 2 * n
	for i := range n {
		l := int(le.Uint16(b[2*i:]))
		if l > MaxName || at+l > len(b) {
			return nil, malformed(place, "name %d of %d bytes goes beyond the names", i, l)
		}
		names[i] = string(b[at : at+l])
		at += l
	}
	if at != len(b) {
		return nil, malformed(place, "%d bytes after the last name", len(b)-at)
	}
	return names, nil
}
