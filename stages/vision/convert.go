package vision

import (
	"fmt"
	"image"
	"image/color"
)

// toRGB converts a decoded image to the pixels that info's header promised. src is the
// file. The common types avoid a call per pixel.
func toRGB(dst *pixels, img image.Image, info Info, src []byte) error {
	b := img.Bounds()
	dst.resize(info.Width, info.Height)
	if frame := image.Rect(0, 0, dst.w, dst.h); b != frame {
		if info.Format != "gif" || !b.In(frame) {
			return fmt.Errorf("vision: %s: pixels %v, the header says %v", info.Format, b, frame)
		}
		clear(dst.pix) // the first picture of a GIF may cover a part of its screen
	}
	var palette [256][3]byte
	if m, ok := img.(*image.Paletted); ok {
		palette = rgbPalette(m.Palette)
		if info.Format == "gif" {
			gifPalette(&palette, src)
		}
	}
	for y := range b.Dy() {
		out := dst.pix[3*((b.Min.Y+y)*dst.w+b.Min.X):][:3*b.Dx()]
		switch m := img.(type) {
		case *image.Gray:
			in := m.Pix[y*m.Stride:]
			for x := range b.Dx() {
				out[3*x], out[3*x+1], out[3*x+2] = in[x], in[x], in[x]
			}
		case *image.Paletted:
			for x, i := range m.Pix[y*m.Stride:][:b.Dx()] {
				copy(out[3*x:3*x+3], palette[i][:])
			}
		case *image.RGBA:
			unpack(out, m.Pix[y*m.Stride:])
		case *image.NRGBA:
			unpack(out, m.Pix[y*m.Stride:])
		case *image.YCbCr:
			fromYCbCr(out, m, y, info.Format == "webp")
		case *image.NYCbCrA:
			fromYCbCr(out, &m.YCbCr, y, info.Format == "webp")
		default:
			for x := range b.Dx() {
				c := color.NRGBAModel.Convert(img.At(b.Min.X+x, b.Min.Y+y)).(color.NRGBA)
				out[3*x], out[3*x+1], out[3*x+2] = c.R, c.G, c.B
			}
		}
	}
	return nil
}

// unpack drops the fourth byte of each pixel.
func unpack(out, in []byte) {
	for x := range len(out) / 3 {
		out[3*x], out[3*x+1], out[3*x+2] = in[4*x], in[4*x+1], in[4*x+2]
	}
}

// fromYCbCr converts row y. JPEG's levels take all of 0 to 255; those of lossy WebP are
// BT.601's studio levels (RFC 6386 section 9.2), which image.YCbCr does not know.
func fromYCbCr(out []byte, m *image.YCbCr, y int, studio bool) {
	for x := range len(out) / 3 {
		yi, ci := m.YOffset(m.Rect.Min.X+x, m.Rect.Min.Y+y), m.COffset(m.Rect.Min.X+x, m.Rect.Min.Y+y)
		if !studio {
			out[3*x], out[3*x+1], out[3*x+2] = color.YCbCrToRGB(m.Y[yi], m.Cb[ci], m.Cr[ci])
			continue
		}
		luma, cb, cr := 1.164*(float32(m.Y[yi])-16), float32(m.Cb[ci])-128, float32(m.Cr[ci])-128
		out[3*x] = toLevel(luma + 1.596*cr)
		out[3*x+1] = toLevel(luma - 0.392*cb - 0.813*cr)
		out[3*x+2] = toLevel(luma + 2.017*cb)
	}
}

// rgbPalette drops the alpha of a palette.
func rgbPalette(p color.Palette) (rgb [256][3]byte) {
	for i, c := range p[:min(len(p), 256)] {
		n := color.NRGBAModel.Convert(c).(color.NRGBA)
		rgb[i] = [3]byte{n.R, n.G, n.B}
	}
	return rgb
}

// gifPalette reads the colours of a GIF's first picture from the file: image/gif
// blackens the transparent one. The file has been decoded, so that it is sound up to
// there; where it is not, the palette stays as it is.
func gifPalette(rgb *[256][3]byte, src []byte) {
	table := func(at int, packed byte) int {
		if packed&0x80 == 0 {
			return at
		}
		n := 2 << (packed & 7)
		for i := range n {
			if at+3*i+3 <= len(src) {
				copy(rgb[i][:], src[at+3*i:])
			}
		}
		return at + 3*n
	}
	if len(src) < 13 {
		return
	}
	at := table(13, src[10])
	for at+10 <= len(src) {
		switch src[at] {
		case ',': // the picture: place and extents, then maybe colours of its own
			table(at+10, src[at+9])
			return
		case '!': // an extension in blocks
			for at += 2; at < len(src) && src[at] != 0; at += 1 + int(src[at]) {
			}
			at++
		default:
			return
		}
	}
}
