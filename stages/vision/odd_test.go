package vision

import (
	"encoding/csv"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"bagpipe/gpu"
)

// odd is a line of the manifest of oddPictures.
type odd struct {
	file, expect string
	w, h         int         // 0 where it does not say
	mean         *[3]float64 // of RGB
}

func readOdd(t *testing.T) (all []odd) {
	f, err := os.Open(filepath.Join(oddPictures, "manifest.tsv"))
	if err != nil {
		t.Skipf("the odd pictures are not beside the project: %v", err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma, r.LazyQuotes, r.FieldsPerRecord = '\t', true, -1
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	for _, row := range rows[1:] {
		o := odd{file: row[column["file"]], expect: row[column["expect"]]}
		o.w, _ = strconv.Atoi(row[column["width"]])
		o.h, _ = strconv.Atoi(row[column["height"]])
		if parts := strings.Split(row[column["ref_mean_rgb"]], ","); len(parts) == 3 {
			o.mean = new([3]float64)
			for c, s := range parts {
				if o.mean[c], err = strconv.ParseFloat(s, 64); err != nil {
					t.Fatal(err)
				}
			}
		}
		all = append(all, o)
	}
	return all
}

// goDecoderLacks are the codings of the sound files that the portable build refuses,
// as image/jpeg does: clearly, and shardify then counts them as bad.
var goDecoderLacks = map[string]bool{
	"d_prog411_dri.jpg": true, "prog_dri_noninterleaved.jpg": true, "d_s441.jpg": true,
}

// TestOddPictures holds every hostile file to its line: sound ones decode to the right
// mean, unsound ones are refused with a clear error, or salvaged; none of them takes
// long, or memory beyond the budget, or changes what comes after it.
func TestOddPictures(t *testing.T) {
	var d decoder
	defer d.close()
	p := newTest(t, Default(Paper, 32), gpu.Float32, true)
	dst := make([]byte, 4*3*32*32)
	plain := asJPEG(t, scene(1, 40, 30))
	want := append([]float32(nil), process(t, p, plain, 1, 2, 3)...)
	outcomes := map[string]int{}
	for _, o := range readOdd(t) {
		src, err := os.ReadFile(filepath.Join(oddPictures, o.file))
		if err != nil {
			t.Errorf("%s: %v", o.file, err)
			continue
		}
		before, start := allocated(), time.Now()
		info, headerErr := Header(src)
		pix, w, h, err := Decode(src)
		took, mb := time.Since(start), (allocated()-before)>>20
		if took > 5*time.Second || mb > 32+16*uint64(info.Width)*uint64(info.Height)>>20 {
			t.Errorf("%s: takes %v and %d MB (header %+v, %v)", o.file, took, mb, info, err)
		}
		outcome := o.expect + ": refused"
		if err != nil {
			if msg := err.Error(); !strings.HasPrefix(msg, "vision: ") || len(msg) < 20 || strings.Contains(msg, "decoder failed") {
				t.Errorf("%s: unclear error %q", o.file, msg)
			}
			if (o.expect == "ok" || o.expect == "convert") && (usesLibjpeg || !goDecoderLacks[o.file]) {
				t.Errorf("%s: %v, want its pixels (%s)", o.file, err, o.expect)
			}
		} else {
			outcome = o.expect + ": decoded"
			if o.expect == "reject" {
				t.Errorf("%s: decodes, want it refused", o.file)
			}
			if headerErr != nil || info.Width != w || info.Height != h || len(pix) != 3*w*h || o.w != 0 && (o.w != w || o.h != h) {
				t.Errorf("%s: decoded %dx%d, header %+v %v, manifest %dx%d", o.file, w, h, info, headerErr, o.w, o.h)
			}
			// Salvaged pictures: decoders differ in what they make of the missing part.
			if o.mean != nil && !strings.HasPrefix(o.expect, "salvage") {
				if got := meanRGB(pix); !close3(got, *o.mean, 2) {
					t.Errorf("%s: mean %.1f, want %.1f", o.file, got, *o.mean)
				}
			}
		}
		outcomes[outcome]++
		// A crop decodes where the damage lies below it.
		below := isJPEG(src) && strings.HasPrefix(o.expect, "salvage")
		if again := p.Process(dst, src, 1, 2, 3); (again == nil) != (err == nil) && (again != nil || !below) {
			t.Errorf("%s: Process says %v, Decode %v", o.file, again, err)
		}
		got := process(t, p, plain, 1, 2, 3)
		for i := range want {
			if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
				t.Fatalf("%s: changes the sample that comes after it", o.file)
			}
		}
	}
	for outcome, n := range outcomes {
		t.Logf("%-32s %d", outcome, n)
	}
}

func meanRGB(pix []byte) (mean [3]float64) {
	for i, v := range pix {
		mean[i%3] += float64(v) / float64(len(pix)/3)
	}
	return mean
}
