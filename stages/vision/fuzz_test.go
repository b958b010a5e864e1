package vision

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"

	"bagpipe/gpu"
)

// oddPictures is a folder of hostile pictures beside the project, read in place where
// it is there.
const oddPictures = "../../../shared/data/odd"

// addSeeds adds the small pictures of testdata/seeds, which testdata/reference/seeds.py
// makes, and the smaller ones of oddPictures.
func addSeeds(f *testing.F, add func([]byte)) {
	own, err := filepath.Glob("testdata/seeds/*")
	if err != nil || len(own) < 20 {
		f.Fatalf("%d seeds in testdata/seeds: %v", len(own), err)
	}
	odd, _ := filepath.Glob(oddPictures + "/*")
	for _, name := range append(own, odd...) {
		if src, err := os.ReadFile(name); err == nil && len(src) < 20_000 {
			add(src)
		}
	}
}

// small reports whether src asks for few enough pixels that thousands of tries a
// second fit into memory; the budget itself is Header's, which FuzzHeader checks.
func small(src []byte) bool {
	info, err := Header(src)
	return err != nil || info.Width*info.Height <= 1<<20
}

func FuzzHeader(f *testing.F) {
	addSeeds(f, func(src []byte) { f.Add(src) })
	f.Fuzz(func(t *testing.T, src []byte) {
		info, err := Header(src)
		if err != nil {
			return
		}
		if info.Width < 1 || info.Height < 1 || info.Width*info.Height > MaxPixels {
			t.Errorf("header of %dx%d pixels is let through", info.Width, info.Height)
		}
		if info.Components != 1 && info.Components != 3 && info.Components != 4 || info.Format == "" {
			t.Errorf("header says %+v", info)
		}
	})
}

// FuzzDecode: what decodes is as large as the header says, and decodes again to the
// same pixels, whatever the decoder has met before.
func FuzzDecode(f *testing.F) {
	addSeeds(f, func(src []byte) { f.Add(src) })
	var used decoder
	var p pixels
	f.Fuzz(func(t *testing.T, src []byte) {
		if !small(src) {
			return
		}
		pix, w, h, err := Decode(src)
		err2 := used.decode(&p, src)
		if (err == nil) != (err2 == nil) {
			t.Fatalf("a fresh decoder says %v, a used one %v", err, err2)
		}
		if err != nil {
			return
		}
		info, err := Header(src)
		if err != nil || info.Width != w || info.Height != h || len(pix) != 3*w*h {
			t.Fatalf("%d bytes of %dx%d, header %+v, %v", len(pix), w, h, info, err)
		}
		if p.w != w || p.h != h || string(p.pix) != string(pix) {
			t.Fatal("two decoders differ")
		}
	})
}

// FuzzProcess: every mode makes finite numbers of what decodes.
func FuzzProcess(f *testing.F) {
	addSeeds(f, func(src []byte) { f.Add(src, uint64(1), uint8(0)) })
	var all []*Processor
	for _, mode := range []string{Paper, MXNet2018, Torchvision} {
		for _, crop := range []string{RandomResized, Pad, None} {
			c := Default(mode, 9)
			if c.Crop = crop; crop == Pad {
				c.Padding = 12
			}
			train, err := NewTrain(c, gpu.Float32)
			if err != nil {
				f.Fatal(err)
			}
			eval, err := NewEval(c, gpu.Float32)
			if err != nil {
				f.Fatal(err)
			}
			all = append(all, train, eval)
		}
	}
	dst := make([]byte, 9*9*3*4)
	f.Fuzz(func(t *testing.T, src []byte, seed uint64, which uint8) {
		if !small(src) {
			return
		}
		p := all[int(which)%len(all)]
		for i := range dst {
			dst[i] = 0xff // NaN
		}
		if p.Process(dst, src, seed, int(which), int(seed>>40)) != nil {
			return
		}
		for i := 0; i < len(dst); i += 4 {
			if v := math.Float32frombits(binary.NativeEndian.Uint32(dst[i:])); !(v > -50 && v < 50) {
				t.Fatalf("element %d is %v", i/4, v)
			}
		}
	})
}
