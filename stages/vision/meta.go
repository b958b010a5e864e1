package vision

import "bagpipe/shards"

// Meta parses a picture's header into a record's index entry, without its label.
func Meta(src []byte) (shards.Meta, error) {
	i, err := Header(src)
	m := shards.Meta{Width: i.Width, Height: i.Height, Components: i.Components, Format: shards.Other}
	switch i.Format {
	case "jpeg":
		m.Format = shards.JPEG
	case "png":
		m.Format = shards.PNG
	}
	return m, err
}
