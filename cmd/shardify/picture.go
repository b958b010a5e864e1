package main

import (
	"bytes"
	"fmt"
	"image"
	"image/draw"
	_ "image/jpeg" // decoders by side effect
	_ "image/png"

	"bagpipe/ingest"
)

// decodePicture decodes a whole JPEG or PNG to 8-bit RGB. Alpha is dropped.
func decodePicture(src []byte) (pix []byte, w, h int, err error) {
	c, _, err := image.DecodeConfig(bytes.NewReader(src))
	if err != nil {
		return nil, 0, 0, err
	}
	if c.Width < 1 || c.Height < 1 || c.Width > ingest.MaxPixels/c.Height {
		return nil, 0, 0, fmt.Errorf("%d x %d pixels", c.Width, c.Height)
	}
	img, _, err := image.Decode(bytes.NewReader(src))
	if err != nil {
		return nil, 0, 0, err
	}
	b := img.Bounds()
	rgba := image.NewNRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	draw.Draw(rgba, rgba.Bounds(), img, b.Min, draw.Src)
	pix = make([]byte, 0, 3*b.Dx()*b.Dy())
	for p := rgba.Pix; len(p) >= 4; p = p[4:] {
		pix = append(pix, p[0], p[1], p[2])
	}
	return pix, b.Dx(), b.Dy(), nil
}
