//go:build !cgo

package vision

import (
	"bytes"
	"errors"
	"fmt"
	"image/color"
	"image/jpeg"
)

// decoder decodes with the standard library, without libjpeg: portable, about five
// times slower, and refusing the rarer JPEG codings.
type decoder struct{}

func (d *decoder) close() {}

func (d *decoder) header(src []byte) (Info, error) { return jpegHeader(src) }

// jpeg decodes src and keeps the part that rect names.
func (d *decoder) jpeg(dst *pixels, src []byte, info Info, rect Rect) error {
	if n, limit := bytes.Count(src, []byte{0xff, 0xda}), maxScans(info); n > limit {
		return fmt.Errorf("vision: jpeg: %d scans, want at most %d for %dx%d pixels", n, limit, info.Width, info.Height)
	}
	if !bytes.Contains(src, []byte{0xff, 0xdb}) { // image/jpeg would make gray of it
		return errors.New("vision: jpeg: no quantisation table")
	}
	img, err := decodeImage(src)
	if err != nil {
		return jpegError(err)
	}
	if err := toRGB(dst, img, info, src); err != nil {
		return err
	}
	dst.keep(rect)
	return nil
}

// lines says that no picture is decoded into lines here.
func (d *decoder) lines(*lines, []byte, Rect) (bool, error) { return false, nil }

// maxScans is how many passes over its pixels a progressive JPEG may ask for. Encoders
// write about ten, and one that splits every band of every component 200; but a file of
// 200 KB can ask for thousands of passes over a large picture. jpeg.c has the same rule.
func maxScans(i Info) int {
	return int(min(max(1<<31/(int64(i.Width)*int64(i.Height)), 20), 500))
}

func jpegError(err error) error {
	var unsupported jpeg.UnsupportedError
	if errors.As(err, &unsupported) {
		return fmt.Errorf("vision: jpeg: %w: %s", ErrUnsupported, string(unsupported))
	}
	return fmt.Errorf("vision: jpeg: %w", whole(err))
}

func jpegHeader(src []byte) (Info, error) {
	c, err := jpeg.DecodeConfig(bytes.NewReader(src))
	if err != nil {
		return Info{}, jpegError(err)
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
