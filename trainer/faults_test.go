package trainer

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFaults checks that what cannot be trained is refused in one message that
// names it, before anything is written.
func TestFaults(t *testing.T) {
	d := dataset(t, 3, 20, 6)
	other := dataset(t, 4, 20, 6)
	single := dataset(t, 1, 20, 6)
	done := options(t, "cpu:0", d)
	train(t, small(t, "epochs=1"), done)

	for name, c := range map[string]struct {
		sets []string
		edit func(o *Options)
		want []string
	}{
		"one class":     {nil, func(o *Options) { o.Data = single }, []string{"1 class", "at least two"}},
		"large batch":   {[]string{"batch=64"}, nil, []string{"20 training pictures", "batch of 64", "lower batch"}},
		"uneven batch":  {[]string{"batch=9", "accumulate=2"}, nil, []string{"batch = 9", "set batch to 10"}},
		"run exists":    {nil, func(o *Options) { o.Run = done.Run }, []string{done.Run, "--resume"}},
		"nothing there": {nil, func(o *Options) { o.Resume = true }, []string{"holds no run"}},
		"other data":    {nil, func(o *Options) { o.Run, o.Resume, o.Data = done.Run, true, other }, []string{"other classes", "4, the checkpoint has 3"}},
		"other recipe":  {[]string{"lr=0.3"}, func(o *Options) { o.Run, o.Resume = done.Run, true }, []string{"key lr"}},
		"unwritable":    {nil, func(o *Options) { o.Run = filepath.Join(done.Run, configName, "run") }, []string{"run directory", configName}},
		"other folder":  {nil, func(o *Options) { o.Run = filepath.Dir(done.Run) }, []string{"other things in it", "another --run"}},
		"no device":     {nil, func(o *Options) { o.Devices = nil }, []string{"device"}},
	} {
		o := options(t, "cpu:0", d)
		if c.edit != nil {
			c.edit(&o)
		}
		_, err := Train(t.Context(), small(t, append(c.sets, "epochs=1")...), o)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %q lacks %q", name, err, want)
			}
		}
		if _, err := os.Stat(o.Run); err == nil && o.Run != done.Run && o.Run != filepath.Dir(done.Run) {
			t.Errorf("%s: a run directory was left behind", name)
		}
	}
	m, err := OpenModel(done.Run)
	if err != nil {
		t.Fatal(err)
	}
	split, _ := other.Split("val")
	o := options(t, "cpu:0", other)
	if _, err := Evaluate(t.Context(), m, split, o); err == nil || !strings.Contains(err.Error(), "other classes") {
		t.Errorf("evaluation on other classes: %v", err)
	}
}

// TestDamagedCheckpoints truncates and edits each file of a checkpoint.
func TestDamagedCheckpoints(t *testing.T) {
	d := dataset(t, 3, 20, 6)
	c := small(t, "epochs=1")
	for _, file := range []string{"weights", "state", lastName} {
		for _, damage := range []string{"cut", "empty", "gone"} {
			o := options(t, "cpu:0", d)
			train(t, c, o)
			s, err := readState(filepath.Join(checkpointDir(o.Run), lastName))
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(checkpointDir(o.Run), map[string]string{"weights": s.Weights, "state": s.State, lastName: lastName}[file])
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			switch damage {
			case "cut":
				err = os.WriteFile(path, text[:len(text)/2], 0o644)
			case "empty":
				err = os.WriteFile(path, nil, 0o644)
			case "gone":
				err = os.Remove(path)
			}
			if err != nil {
				t.Fatal(err)
			}
			o.Resume = true
			_, err = Train(t.Context(), c, o)
			if file == lastName && damage == "gone" { // as before the first checkpoint: starts over
				if err != nil {
					t.Error(err)
				}
				continue
			}
			if err == nil || !strings.Contains(err.Error(), filepath.Base(path)) {
				t.Errorf("%s %s: error %v does not name %s", file, damage, err, filepath.Base(path))
			}
		}
	}
}

func TestOpenModelFaults(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "readme.txt")
	if err := os.WriteFile(text, []byte("hello, this is no model"), 0o644); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none"): "no such file",
		dir:                        "holds no checkpoint",
		text:                       "safetensors",
	} {
		if _, err := OpenModel(path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), filepath.Base(path)) {
			t.Errorf("%s: error %v, want it to name the path and %q", path, err, want)
		}
	}
}

// TestWriteFileIsWhole checks that a failing write leaves the old file.
func TestWriteFileIsWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	put := func(text string, err error) error {
		return writeFile(path, func(w io.Writer) error { io.WriteString(w, text); return err })
	}
	if err := put("old", nil); err != nil {
		t.Fatal(err)
	}
	full := errors.New("disk full")
	if err := put("new and long", full); !errors.Is(err, full) {
		t.Errorf("error %v", err)
	}
	if text, _ := os.ReadFile(path); string(text) != "old" {
		t.Errorf("file is %q after a failed write", text)
	}
	if files, _ := os.ReadDir(filepath.Dir(path)); len(files) != 1 {
		t.Errorf("%d files are left", len(files))
	}
}
