package ingest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"bagpipe/shards"
)

// ParseHeader finds format, size and components of a picture without decoding it. For formats other than JPEG
// (ITU-T T.81, B.1 and B.2.2) and PNG (11.2.2) it gives Other with zero sizes; a damaged header is an error.
func ParseHeader(b []byte) (shards.Meta, error) {
	switch {
	case bytes.HasPrefix(b, []byte{0xff, 0xd8}):
		return jpegHeader(b)
	case bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")):
		return pngHeader(b)
	case len(b) == 0:
		return shards.Meta{}, errors.New("empty file")
	}
	return shards.Meta{Format: shards.Other}, nil
}

func jpegHeader(b []byte) (shards.Meta, error) {
	m := shards.Meta{Format: shards.JPEG}
	for at := 2; at+4 <= len(b); {
		if b[at] != 0xff {
			at++ // stray bytes between segments, as libjpeg passes over
			continue
		}
		marker := b[at+1]
		switch {
		case marker == 0xff:
			at++
			continue
		case marker == 0 || marker == 0x01 || marker >= 0xd0 && marker <= 0xd8:
			at += 2
			continue
		case marker == 0xd9 || marker == 0xda:
			return m, errors.New("jpeg: no frame header before the scan")
		}
		size := int(binary.BigEndian.Uint16(b[at+2:]))
		// SOF0..15 without DHT (c4), JPG (c8) and DAC (cc)
		if marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc {
			if size < 8 || at+10 > len(b) {
				return m, errors.New("jpeg: frame header cut short")
			}
			m.Height = int(binary.BigEndian.Uint16(b[at+5:]))
			m.Width = int(binary.BigEndian.Uint16(b[at+7:]))
			m.Components = int(b[at+9])
			if m.Components < 1 || m.Components > 4 {
				return m, fmt.Errorf("jpeg: %d components, want 1 to 4", m.Components)
			}
			return m, nil
		}
		if size < 2 {
			return m, fmt.Errorf("jpeg: segment %#02x of %d bytes", marker, size)
		}
		at += 2 + size
	}
	return m, errors.New("jpeg: ends before the frame header")
}

func pngHeader(b []byte) (shards.Meta, error) {
	m := shards.Meta{Format: shards.PNG}
	if len(b) < 26 || string(b[12:16]) != "IHDR" {
		return m, errors.New("png: no IHDR chunk")
	}
	w, h := binary.BigEndian.Uint32(b[16:]), binary.BigEndian.Uint32(b[20:])
	if w == 0 || h == 0 || w > shards.MaxSide || h > shards.MaxSide {
		return m, fmt.Errorf("png: %d x %d pixels, want sides of 1 to %d", w, h, shards.MaxSide)
	}
	m.Width, m.Height = int(w), int(h)
	switch b[25] { // colour type
	case 0:
		m.Components = 1
	case 2, 3:
		m.Components = 3
	case 4:
		m.Components = 2
	case 6:
		m.Components = 4
	default:
		return m, fmt.Errorf("png: colour type %d", b[25])
	}
	return m, nil
}
