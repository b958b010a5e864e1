package main

import (
	"fmt"
	"image"
	"image/color"
	"math"

	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"bagpipe/shards"
)

// sheet lays out a row a picture: A, B, their amplified difference, with captions.
func (p *pair) sheet(split *shards.Split, worst []pictureDiff) (*image.NRGBA, error) {
	const margin, line, head = 4, 14, 18
	size := p.ca.Size
	side := max(1, (224+size-1)/size) * size // small samples are enlarged, pixel by pixel
	w, h := side+2*margin, side+4*line+2*margin
	sheet := image.NewNRGBA(image.Rect(0, 0, 3*w, head+len(worst)*h))
	draw.Draw(sheet, sheet.Bounds(), image.White, image.Point{}, draw.Src)
	for i, title := range []string{"A: " + p.c.A, "B: " + p.c.B, fmt.Sprintf("difference x %d", p.c.Amplify)} {
		write(sheet, i*w+margin, head-5, title, side)
	}
	for row, d := range worst {
		a, b, err := p.trace(split, d.Record)
		if err != nil {
			return nil, err
		}
		difference := make([]float32, len(a.Levels))
		for i := range difference {
			difference[i] = float32(p.c.Amplify) * max(a.Levels[i]-b.Levels[i], b.Levels[i]-a.Levels[i])
		}
		y := head + row*h + margin
		texts := [3][]string{captions(d.Record, "", d.A)[1:], captions(d.Record, "", d.B)[1:], {tail(d.Name, side), fmt.Sprintf("mean %.3f", d.Mean)}}
		for i, levels := range [3][]float32{a.Levels, b.Levels, difference} {
			x := i*w + margin
			img := levelPicture(levels, size)
			draw.NearestNeighbor.Scale(sheet, image.Rect(x, y, x+side, y+side), img, img.Bounds(), draw.Src, nil)
			for k, text := range texts[i] {
				write(sheet, x, y+side+line*(k+1), text, side)
			}
		}
	}
	return sheet, nil
}

// letter is the width of a character in pixels.
const letter = 7

// write writes as much of a line as fits.
func write(dst draw.Image, x, y int, text string, width int) {
	d := font.Drawer{Dst: dst, Src: image.NewUniform(color.Black), Face: basicfont.Face7x13, Dot: fixed.P(x, y)}
	d.DrawString(text[:min(len(text), width/letter)])
}

// tail is the end of a name, the part that tells pictures apart.
func tail(name string, width int) string { return name[max(0, len(name)-width/letter):] }

// levelPicture rounds levels to a picture.
func levelPicture(levels []float32, size int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, size, size))
	for i, v := range levels {
		img.Pix[i/3*4+i%3] = byte(min(max(math.RoundToEven(float64(v)), 0), 255))
		img.Pix[i/3*4+3] = 255
	}
	return img
}
