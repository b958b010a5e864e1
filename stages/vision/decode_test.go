package vision

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every kind of small picture in testdata/seeds: what decodes has the header's extents,
// what does not says why.
func TestSeeds(t *testing.T) {
	refused := map[string]string{
		"cut.jpg": "", "no-eoi.jpg": "", "huge.jpg": "", "huge.png": "", "empty.jpg": "", "no-tables.jpg": "", // each decoder's own words
		"text.jpg": "want JPEG, PNG", "nothing.jpg": "want JPEG, PNG",
	}
	names, _ := filepath.Glob("testdata/seeds/*")
	for _, name := range names {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		base := filepath.Base(name)
		pix, w, h, err := Decode(src)
		if words, bad := refused[base]; bad {
			if err == nil && base != "no-eoi.jpg" || err != nil && !strings.Contains(err.Error(), words) {
				t.Errorf("%s: %v, want an error with %q", base, err, words)
			}
			continue
		}
		if info, _ := Header(src); err != nil || w*h < 100 || len(pix) != 3*w*h || info.Width != w || info.Height != h {
			t.Errorf("%s: %dx%d, %v", base, w, h, err)
		}
	}
	if _, err := Header([]byte("<svg")); !errors.Is(err, ErrUnsupported) {
		t.Errorf("text: %v, want ErrUnsupported", err)
	}
}

// Lossy WebP has studio levels: a flat colour must come back as it was.
func TestWebPLevels(t *testing.T) {
	for _, name := range []string{"flat.webp", "flat-alpha.webp"} {
		src, err := os.ReadFile("testdata/seeds/" + name)
		if err != nil {
			t.Fatal(err)
		}
		pix, _, _, err := Decode(src)
		if err != nil {
			t.Fatal(err)
		}
		if mean := meanRGB(pix); !close3(mean, [3]float64{200, 30, 90}, 2) {
			t.Errorf("%s: mean %.1f, want 200 30 90", name, mean)
		}
	}
}

// A GIF's transparent pixels keep their colour, and a first picture smaller than the
// screen lies where it belongs.
func TestGIF(t *testing.T) {
	palette := color.Palette{color.RGBA{10, 20, 30, 255}, color.RGBA{}, color.RGBA{200, 100, 50, 255}, color.RGBA{1, 2, 3, 255}}
	m := image.NewPaletted(image.Rect(2, 1, 6, 4), palette)
	for i := range m.Pix {
		m.Pix[i] = byte(i % 3)
	}
	for _, local := range []bool{false, true} {
		g := gif.GIF{Image: []*image.Paletted{m}, Delay: []int{0}, Config: image.Config{Width: 8, Height: 6, ColorModel: palette}}
		if local {
			g.Config.ColorModel = color.Palette{color.RGBA{9, 9, 9, 255}, color.RGBA{8, 8, 8, 255}, color.RGBA{7, 7, 7, 255}, color.RGBA{6, 6, 6, 255}}
		}
		var b bytes.Buffer
		if err := gif.EncodeAll(&b, &g); err != nil {
			t.Fatal(err)
		}
		src := b.Bytes()
		at := bytes.Index(src, []byte{10, 20, 30, 0, 0, 0, 200, 100, 50})
		if at < 0 {
			t.Fatal("no palette in the file")
		}
		copy(src[at+3:], []byte{77, 88, 99}) // Go's encoder blackens it, too
		pix, w, h, err := Decode(src)
		if err != nil || w != 8 || h != 6 {
			t.Fatal(w, h, err)
		}
		colors := [3][3]byte{{10, 20, 30}, {77, 88, 99}, {200, 100, 50}}
		for y := range h {
			for x := range w {
				var want [3]byte
				if p := image.Pt(x, y); p.In(m.Rect) {
					want = colors[m.ColorIndexAt(x, y)]
				}
				if got := [3]byte(pix[3*(8*y+x):]); got != want {
					t.Fatalf("local colours %v: pixel %d,%d is %v, want %v", local, x, y, got, want)
				}
			}
		}
	}
}

// A progressive file whose one scan is repeated is refused before it takes long.
func TestScanBomb(t *testing.T) {
	src, err := os.ReadFile("testdata/seeds/gray-progressive.jpg")
	if err != nil {
		t.Fatal(err)
	}
	last := bytes.LastIndex(src, []byte{0xff, 0xda})
	scan := src[last : len(src)-2]
	for _, n := range []int{100, 600} {
		bomb := append(append(append([]byte(nil), src[:last]...), bytes.Repeat(scan, n)...), 0xff, 0xd9)
		_, _, _, err := Decode(bomb)
		if n > 500 && err == nil { // libjpeg may find the order wrong first
			t.Errorf("%d scans: %v, want them refused", n, err)
		}
	}
}
