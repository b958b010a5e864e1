package vision

import "bagpipe/shards"

// Scratch bounds the bytes that a Processor holds once it has met a picture of the given
// size, the tables of Tables left out: what the decoder keeps of the picture and the
// chain's own copies of it. It is a bound for the dearest coding of each format, a
// progressive JPEG or a 16-bit PNG, since the index does not tell the coding.
func (c Config) Scratch(m shards.Meta, train bool) int64 {
	w, h, size := int64(m.Width), int64(m.Height), int64(c.Size)
	pixels := (w + 15) &^ 15 * h // rows of lines begin at multiples of 16
	// grow takes a quarter more than it needs, and the record stands as RGB and as lines.
	const copies = 2 * 3 * 5 / 4
	scratch := (copies+1)*pixels + 4*size*h + 12*size*size
	if m.Format == shards.JPEG {
		scratch += int64(jpegSample*m.Components)*pixels + 256*w // coefficients; rows
	} else {
		scratch += 16 * pixels // 8 bytes a pixel, twice: the picture and the block it is unpacked from
	}
	if !train || c.Crop != RandomResized { // the whole picture is resized, then cut
		var p Params
		p.place(c, c.Short(), m.Width, m.Height)
		if full := int64(p.Full.W) * int64(p.Full.H); full <= maxFull { // else only the cut is made
			scratch += 4*full + 4*int64(p.Full.W)*h
		}
	}
	return scratch
}

// Tables bounds the bytes that a Processor keeps from picture to picture whatever their
// size: the resizer's filter tables.
func (c Config) Tables() int64 {
	if c.Mode == MXNet2018 {
		return 0
	}
	return maxFilters
}
