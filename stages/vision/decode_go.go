//go:build !cgo

package vision

import (
	"bytes"
	"fmt"
	"image/color"
	"image/jpeg"
)

// decoder decodes with the standard library, without libjpeg: portable, about five
// times slower, and refusing the rarer JPEG codings.
type decoder struct{}

func (d *decoder) close() {}

func (d *decoder) jpeg(dst *pixels, src []byte) error {
	if _, err := jpegHeader(src); err != nil {
		return err
	}
	img, _, err := decodeImage(src)
	if err != nil {
		return fmt.Errorf("vision: jpeg: %w", err)
	}
	toRGB(dst, img)
	return nil
}

func jpegHeader(src []byte) (Info, error) {
	c, err := jpeg.DecodeConfig(bytes.NewReader(src))
	if err != nil {
		return Info{}, fmt.Errorf("vision: jpeg: %w", err)
	}
	info := Info{Width: c.Width, Height: c.Height, Components: 3, Format: "jpeg"}
	switch c.ColorModel {
	case color.GrayModel:
		info.Components = 1
	case color.CMYKModel:
		info.Components = 4
	}
	return info, info.check()
}
