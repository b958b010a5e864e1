package main

import (
	"bytes"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"testing"

	"bagpipe/shards"
	"bagpipe/stages/vision"
)

// FuzzHeader reads the header of any bytes. What is taken fits the index, and a JPEG or PNG that decodes has the size
// of its header; a GIF's is that of the screen.
func FuzzHeader(f *testing.F) {
	gray, rgb := image.NewGray(image.Rect(0, 0, 7, 9)), image.NewNRGBA(image.Rect(0, 0, 17, 3))
	palette := image.NewPaletted(image.Rect(0, 0, 5, 5), color.Palette{color.Black, color.White})
	for _, img := range []image.Image{gray, rgb, palette} {
		for _, encode := range []func(*bytes.Buffer) error{
			func(b *bytes.Buffer) error { return jpeg.Encode(b, img, nil) },
			func(b *bytes.Buffer) error { return png.Encode(b, img) },
			func(b *bytes.Buffer) error { return gif.Encode(b, img, nil) },
		} {
			var b bytes.Buffer
			if err := encode(&b); err != nil {
				f.Fatal(err)
			}
			f.Add(b.Bytes())
		}
	}
	f.Add(bmp(1, 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := vision.Meta(b)
		if err != nil {
			return
		}
		if m.Width < 1 || m.Height < 1 || m.Components < 1 || m.Components > 4 || m.Format > shards.Other {
			t.Fatalf("%+v", m)
		}
		if m.Width*m.Height > 1<<20 {
			return // slow, and no more to be seen
		}
		if pix, w, h, err := vision.Decode(b); err == nil && (len(pix) != 3*w*h || m.Format != shards.Other && (w != m.Width || h != m.Height)) {
			t.Fatalf("%d x %d pixels, %d bytes; header %+v", w, h, len(pix), m)
		}
	})
}
