package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"bagpipe/internal/cli"
	"bagpipe/shards"
)

var update = flag.Bool("update", false, "write golden files anew")

// bmp is a picture whose bytes do not hang on an encoder: 24-bit, bottom up, n x n pixels of noise.
func bmp(seed uint64, n int) []byte {
	rnd := rand.New(rand.NewPCG(seed, 0))
	le := binary.LittleEndian
	row := (3*n + 3) / 4 * 4
	b := append([]byte("BM"), make([]byte, 52)...)
	le.PutUint32(b[2:], uint32(54+row*n))
	le.PutUint32(b[10:], 54)
	le.PutUint32(b[14:], 40)
	le.PutUint32(b[18:], uint32(n))
	le.PutUint32(b[22:], uint32(n))
	le.PutUint16(b[26:], 1)
	le.PutUint16(b[28:], 24)
	for range row * n {
		b = append(b, byte(rnd.Uint32()))
	}
	return b
}

// photos writes a folder of n pictures a class, two classes, into dir.
func photos(t testing.TB, dir string, n, side int) {
	t.Helper()
	for _, class := range []string{"train/cat", "train/dog", "val/cat"} {
		for i := range n {
			put(t, filepath.Join(dir, class, fmt.Sprintf("%04d.bmp", i)), bmp(uint64(i), side))
		}
	}
}

func put(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// command runs shardify in this process.
func command(t testing.TB, args ...string) (code int, out, err string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), args, streams{Out: &o, Err: &e})
	return code, o.String(), e.String()
}

// golden compares text with a file, times and temporary folders taken out.
func golden(t *testing.T, name, text, dir string) {
	t.Helper()
	text = strings.ReplaceAll(text, dir, "DIR")
	text = regexp.MustCompile(`in [0-9.]+m?s \([0-9]+ img/s\)`).ReplaceAllString(text, "in TIME (N img/s)")
	text = regexp.MustCompile(`[0-9]+ img/s, [0-9.]+ MB/s, [0-9a-z]+ left`).ReplaceAllString(text, "N img/s, N MB/s, TIME left")
	text = regexp.MustCompile(`[0-9a-f]{64}`).ReplaceAllString(text, "HASH") // a compressor may change it
	path := filepath.Join("testdata", name)
	if *update {
		put(t, path, []byte(text))
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != text {
		t.Errorf("%s (%v): got\n%s\nwant\n%s", path, err, text, want)
	}
}

// The whole way: make, ls, verify, cat, and what they print.
func TestFromFolderToRecord(t *testing.T) {
	dir := t.TempDir()
	src, dst := filepath.Join(dir, "photos"), filepath.Join(dir, "photos.shards")
	photos(t, src, 40, 5)
	put(t, filepath.Join(src, "train/dog/broken.jpg"), []byte("no picture"))
	put(t, filepath.Join(src, "train/dog/\x1b[31mred.jpg"), nil)
	put(t, filepath.Join(src, "train/notes.txt"), []byte("x"))
	code, out, errs := command(t, src, "--max-bad", "2%", "--codec", "none")
	if code != cli.OK {
		t.Fatal(code, errs)
	}
	golden(t, "make.txt", out+"---\n"+errs, dir)

	code, out, errs = command(t, "ls", dst)
	if code != cli.OK || errs != "" {
		t.Error(code, errs)
	}
	golden(t, "ls.txt", out, dir)

	code, out, _ = command(t, "ls", "--json", dst)
	golden(t, "ls.json", out, dir)
	var l struct {
		Splits map[string]struct {
			Records     int
			Bytes       int64
			SourceBytes int64 `json:"source_bytes"`
			Bad         int
		}
		Classes     []string
		Codec, Hash string
	}
	if err := json.Unmarshal([]byte(out), &l); err != nil || code != cli.OK {
		t.Error(code, err)
	}
	if tr := l.Splits["train"]; tr.Records != 80 || tr.Bad != 2 || tr.SourceBytes != 80*134 || tr.Bytes <= tr.SourceBytes || l.Splits["val"].Records != 40 {
		t.Errorf("ls --json: %+v", l)
	}

	code, out, errs = command(t, "verify", dst)
	if code != cli.OK || !strings.Contains(out, "sound") || !strings.Contains(out, l.Hash) {
		t.Error(code, out, errs)
	}
	if code, out, _ = command(t, "verify", "-q", dst); code != cli.OK || out != "" {
		t.Error(code, out)
	}
	code, out, _ = command(t, "cat", dst, "train", "41")
	if code != cli.OK || out != string(bmp(1, 5)) {
		t.Errorf("cat: %d, %d bytes", code, len(out))
	}

	// The same again: refused, then replaced; and as a tar, with other workers.
	code, out, errs = command(t, src, "--max-bad", "2%")
	if code != cli.Failure || !strings.Contains(errs, "replace it with --force") {
		t.Error(code, out, errs)
	}
	before, _ := os.ReadFile(filepath.Join(dst, shards.ManifestName))
	if code, out, errs = command(t, src, "--max-bad", "0.02", "--codec", "none", "--force", "--workers", "7", "-q"); code != cli.OK || out+errs != "" {
		t.Error(code, out, errs)
	}
	if after, _ := os.ReadFile(filepath.Join(dst, shards.ManifestName)); !bytes.Equal(before, after) {
		t.Error("7 workers made another manifest")
	}
	code, out, errs = command(t, src, "-o", dst+"2", "--max-bad", "2%", "--json", "--stats", "0")
	var made struct {
		Hash, Dir    string
		Bad, Skipped int
		Seconds      float64
	}
	if err := json.Unmarshal([]byte(out), &made); err != nil || code != cli.OK || made.Bad != 2 || made.Skipped != 1 || made.Dir != dst+"2" || made.Seconds <= 0 {
		t.Error(code, out, errs, err)
	}
}

func TestMessages(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	photos(t, "photos", 3, 2)
	put(t, "one/cat/1.bmp", bmp(1, 2))
	put(t, "loose/1.bmp", bmp(1, 2))
	put(t, "bad/cat/1.jpg", []byte("x"))
	put(t, "bad/dog/1.bmp", bmp(1, 2))
	put(t, "file", []byte("x"))
	put(t, "taken/thesis.txt", []byte("x"))
	os.Mkdir("void", 0o755)
	if code, _, errs := command(t, "photos", "-o", "good"); code != cli.OK {
		t.Fatal(errs)
	}
	if code, _, errs := command(t, "photos", "-o", "damaged"); code != cli.OK {
		t.Fatal(errs)
	}
	b, err := os.ReadFile("damaged/train-00000.shard")
	if err != nil {
		t.Fatal(err)
	}
	b[20] ^= 1
	put(t, "damaged/train-00000.shard", b)
	for _, c := range []struct {
		args string
		code int
		want []string // in standard error
	}{
		{"", cli.Usage, []string{"Usage: shardify", "Examples:"}},
		{"verfy good", cli.Usage, []string{`did you mean "verify"`}},
		{"lss good", cli.Usage, []string{`did you mean "ls"`}},
		{"photos --codecs lz4", cli.Usage, []string{"--codecs", "--codec"}},
		{"photos --codec lzma", cli.Usage, []string{`--codec "lzma"`, `nearest is "lz4"`}},
		{"photos --codec zst --workers=-1", cli.Usage, []string{`--codec "zst"`, `nearest is "zstd"`, "auto, none, lz4, zstd", "--workers -1"}},
		{"photos --max-bad many", cli.Usage, []string{`--max-bad "many"`, "1%"}},
		{"photos --max-bad 101%", cli.Usage, []string{`--max-bad "101%"`}},
		{"photos --shard-size 3parsec --workers=-1", cli.Usage, []string{`--shard-size "3parsec"`, "256MiB", "--workers -1"}},
		{"photos --workers=-1 --val-fraction 2", cli.Usage, []string{"--workers -1", "--val-fraction 2"}},
		{"photos --shard-size 8GiB", cli.Usage, []string{"shard size 8589934592"}},
		{"photos -o", cli.Usage, []string{"-o"}},
		{"verify", cli.Usage, []string{"<dir>"}},
		{"cat good train", cli.Usage, []string{"<index>"}},
		{"cat good train x", cli.Usage, []string{"x"}},
		{"missing", cli.Failure, []string{"missing: no such folder"}},
		{"void", cli.Failure, []string{"void: the folder is empty (want train/CLASS"}},
		{"loose", cli.Failure, []string{"loose: no classes (want train/CLASS"}},
		{"one", cli.Failure, []string{`one: only one class, "cat"`}},
		{"file", cli.Failure, []string{"file: a file, want the folder"}},
		{"good", cli.Failure, []string{"good: a data set of shards already (use it: pipe train --data good)"}},
		{"bad", cli.Failure, []string{"1 of 2 pictures are bad, at most 0 may be", "bad: ", `"train/cat/1.jpg: `, "raise --max-bad"}},
		{"bad --strict --max-bad 1", cli.Failure, []string{"run without --strict"}},
		{"photos -o file", cli.Failure, []string{"file: a file is in the way (choose another folder with -o)"}},
		{"photos -o file/below", cli.Failure, []string{"file/below", "choose another folder with -o"}},
		{"photos -o taken", cli.Failure, []string{"taken: the folder holds other files (choose"}},
		{"photos -o good", cli.Failure, []string{"good: a data set is there already (replace it with --force)"}},
		{"photos -o photos/train/x", cli.Failure, []string{"lies among the class folders"}},
		{"ls missing", cli.Failure, []string{"missing: no such data set (make one: shardify"}},
		{"ls photos", cli.Failure, []string{"photos: a folder of pictures, not of shards (run shardify photos, then use photos.shards)"}},
		{"verify good/val-00000.shard", cli.Failure, []string{"one file of a data set (name its folder: good)"}},
		{"verify damaged", cli.Failure, []string{"train-00000.shard: sha256", "train-00000.shard: record 0: crc 0x", "want 0x", "damaged: 2 faults"}},
		{"cat damaged train 0", cli.Failure, []string{"train-00000.shard: record 0: crc 0x", "(run shardify verify)"}},
		{"cat good train 6", cli.Failure, []string{"record 6 of split train, there are 0 to 5"}},
		{"cat good dev 0", cli.Failure, []string{`no split "dev", there is [train val]`}},
	} {
		code, out, errs := command(t, strings.Fields(c.args)...)
		if code != c.code || out != "" {
			t.Errorf("shardify %s: exit code %d, want %d; out %q", c.args, code, c.code, out)
		}
		for _, w := range c.want {
			if !strings.Contains(errs, w) {
				t.Errorf("shardify %s: no %q in\n%s", c.args, w, errs)
			}
		}
		// One line, apart from what verify lists, progress and help.
		lines := strings.Split(strings.TrimSpace(errs), "\n")
		if c.args != "" && c.args != "verify damaged" && (!strings.HasPrefix(lines[len(lines)-1], "shardify: ") || len(lines) > 2) {
			t.Errorf("shardify %s: no single line:\n%s", c.args, errs)
		}
	}
	for _, left := range []string{"missing.shards", "void.shards", "loose.shards", "one.shards", "bad.shards", "bad.shards.partial", "photos.shards"} {
		if _, err := os.Stat(left); err == nil {
			t.Errorf("%s was left behind", left)
		}
	}
}

func TestHelp(t *testing.T) {
	code, out, errs := command(t, "--help")
	if code != cli.OK || errs != "" {
		t.Error(code, errs)
	}
	golden(t, "help.txt", out, "no folder")
}

func TestStopped(t *testing.T) {
	dir := t.TempDir()
	photos(t, dir+"/photos", 3, 2)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	if code := run(ctx, []string{dir + "/photos"}, streams{Out: &out, Err: &errs}); code != cli.Failure || !strings.Contains(errs.String(), "stopped, nothing was left behind") {
		t.Errorf("%d, %s", code, errs.String())
	}
	if left, _ := filepath.Glob(dir + "/*"); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}

func TestDefaultOut(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for src, want := range map[string]string{"a": "a.shards", "a/b/": "a/b.shards", "x.tar": "x.shards", "x.tar.gz": "x.shards", "x.tgz": "x.shards", ".": dir + ".shards",
		"..": filepath.Dir(dir) + ".shards"} {
		if got, err := defaultOut(src); err != nil || got != filepath.FromSlash(want) {
			t.Errorf("%s: %s, %v; want %s", src, got, err, want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for s, want := range map[string]int64{"1": 1, "1k": 1024, "1.5KiB": 1536, "500MB": 5e8, "256MiB": 256 << 20, "2gib": 2 << 30, "3 MB": 3e6, "7b": 7} {
		if got, err := parseSize(s); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "x", "-1MB", "0", "1e99GB", "NaN", "1TBq"} {
		if got, err := parseSize(s); err == nil {
			t.Errorf("%q: %d", s, got)
		}
	}
	for s, want := range map[string]float64{"1%": 0.01, "0.01": 0.01, "0": 0, "100%": 1, "1": 1} {
		if got, err := parseShare(s); err != nil || got != want {
			t.Errorf("%s: %g, %v; want %g", s, got, err, want)
		}
	}
}
