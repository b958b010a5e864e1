package vision

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/gif" // registered for image.Decode
	_ "image/png"
	"io"

	_ "golang.org/x/image/bmp"
	_ "golang.org/x/image/tiff"
	_ "golang.org/x/image/webp"
)

// MaxPixels is the pixel budget of one picture: a header that promises more is
// refused before anything is allocated for it.
const MaxPixels = 100 << 20

// Info is what a picture's header says.
type Info struct {
	Width, Height int
	Components    int    // 1 gray, 3 colour, 4 CMYK or with alpha
	Format        string // jpeg, png, gif, bmp, tiff, webp
}

// ErrUnsupported is wrapped by errors about pictures that may be sound but are of a
// kind that cannot be decoded here; all other errors mean a damaged picture.
var ErrUnsupported = errors.New("unsupported picture")

// Header parses a picture's header.
func Header(src []byte) (Info, error) {
	if isJPEG(src) {
		return jpegHeader(src)
	}
	c, format, err := image.DecodeConfig(bytes.NewReader(src))
	if err != nil {
		return Info{}, headerError(src, err)
	}
	info := Info{Width: c.Width, Height: c.Height, Components: 3, Format: format}
	switch c.ColorModel {
	case color.GrayModel, color.Gray16Model:
		info.Components = 1
	case color.NRGBAModel, color.NRGBA64Model:
		info.Components = 4
	}
	return info, info.check()
}

func headerError(src []byte, err error) error {
	if errors.Is(err, image.ErrFormat) {
		n := min(len(src), 8)
		return fmt.Errorf("vision: %w: starts with % x, want JPEG, PNG, GIF, BMP, TIFF or WebP", ErrUnsupported, src[:n])
	}
	return fmt.Errorf("vision: header: %w", whole(err))
}

// whole words the end of the data, which some decoders report as a bare EOF.
func whole(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the data end early")
	}
	return err
}

// check refuses empty pictures and ones above the budget.
func (i Info) check() error {
	if i.Width < 1 || i.Height < 1 {
		return fmt.Errorf("vision: %s of %dx%d pixels", i.Format, i.Width, i.Height)
	}
	if int64(i.Width)*int64(i.Height) > MaxPixels {
		return fmt.Errorf("vision: %s of %dx%d pixels is above the budget of %d Mpx", i.Format, i.Width, i.Height, MaxPixels>>20)
	}
	return nil
}

func isJPEG(src []byte) bool {
	return len(src) >= 3 && src[0] == 0xff && src[1] == 0xd8 && src[2] == 0xff
}

// Decode decodes a whole picture to 8-bit RGB, row by row. Gray is repeated, alpha
// dropped, CMYK multiplied out, 16 bits cut to the upper 8.
func Decode(src []byte) (pix []byte, w, h int, err error) {
	var d decoder
	defer d.close()
	var p pixels
	if err := d.decode(&p, src); err != nil {
		return nil, 0, 0, err
	}
	return p.pix, p.w, p.h, nil
}

// decode decodes src into dst, reusing dst's memory.
func (d *decoder) decode(dst *pixels, src []byte) error {
	info, err := d.info(src)
	if err != nil {
		return err
	}
	return d.part(dst, src, info, Rect{0, 0, info.Width, info.Height})
}

// info is Header without a new decoder.
func (d *decoder) info(src []byte) (Info, error) {
	if isJPEG(src) {
		return d.header(src)
	}
	return Header(src)
}

// part decodes the part of src that rect names, to the same pixels as in the whole. info
// is what the last call of info returned, for src. Of a JPEG nothing below the part is
// looked at, so that damage there goes unnoticed.
func (d *decoder) part(dst *pixels, src []byte, info Info, rect Rect) error {
	if isJPEG(src) {
		return d.jpeg(dst, src, info, rect)
	}
	img, err := decodeImage(src)
	if err != nil {
		return fmt.Errorf("vision: %s: %w", info.Format, whole(err))
	}
	if err := toRGB(dst, img, info, src); err != nil {
		return err
	}
	dst.keep(rect)
	return nil
}

// decodeImage is image.Decode with a panic of a decoder library, which outside
// bytes must never cause, turned into an error.
func decodeImage(src []byte) (img image.Image, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("decoder failed: %v", r)
		}
	}()
	img, _, err = image.Decode(bytes.NewReader(src))
	return img, err
}
