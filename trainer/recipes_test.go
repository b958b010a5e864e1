package trainer

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestResolvedRecipes compares every embedded recipe, resolved, with a golden file,
// so that the review of a change shows what each row trains with.
func TestResolvedRecipes(t *testing.T) {
	var b strings.Builder
	for _, r := range Recipes() {
		if r.Title == "" || r.Source == "" || r.Expected == "" {
			t.Errorf("%s: title, source or expected is missing", r.Name)
		}
		text, err := toml.Marshal(r.Config)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString("### " + r.Name + "\n" + string(text) + "\n")
	}
	path := filepath.Join("testdata", "recipes.golden")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("resolved recipes differ from %s: go test ./trainer -update, then read its diff", path)
	}
}

func TestLoadOverrides(t *testing.T) {
	c, err := Load("table6-resnet50d-mixup", []string{"epochs=3", "input.flip=0", "schedule=step", `init = "msraprelu"`, "input.size=160", "decay_epochs=[1, 2]"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Epochs != 3 || c.Input.Flip != 0 || c.Schedule != Steps || c.Init != "msraprelu" || c.Input.Size != 160 || len(c.DecayEpochs) != 2 {
		t.Errorf("overrides were lost: %+v", c)
	}
	if !c.ZeroGamma || c.Batch != 1024 || c.Mixup != 0.2 || c.Recipe != "table6-resnet50d-mixup" {
		t.Errorf("base or recipe was lost: %+v", c)
	}
	if c.Input.Scale[0] != 0.08 || c.Input.Contrast != 0.4 {
		t.Errorf("the input's defaults were lost: %+v", c.Input)
	}
}

// TestConfigSurvivesItsFile checks that RUN/config.toml resolves to the same recipe.
func TestConfigSurvivesItsFile(t *testing.T) {
	for _, r := range Recipes() {
		text, err := toml.Marshal(r.Config)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "config.toml")
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		c, err := Load(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if key := differs(c, r.Config); key != "" || c.Recipe != r.Name {
			t.Errorf("%s: key %q changed on the way through a file", r.Name, key)
		}
	}
}

func TestLoadFaults(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct {
		recipe string
		set    string
		want   []string
	}{
		"recipe":       {"cifar10-resnet02", "", []string{"cifar10-resnet02", `nearest is "cifar10-resnet20"`}},
		"no file":      {filepath.Join(dir, "none.toml"), "", []string{"none.toml", "no such file"}},
		"key":          {"demo", "epohcs=3", []string{"epohcs", `"epochs"`}},
		"input key":    {"demo", "input.flipp=1", []string{`"input.flip"`}},
		"no value":     {"demo", "epochs", []string{"key=value"}},
		"type":         {"demo", "epochs=many", []string{"epochs = many", "a whole number"}},
		"float":        {"demo", "epochs=1e3", []string{"epochs = 1000", "a whole number"}},
		"short list":   {"demo", "input.mean=[1.0, 2.0]", []string{"input.mean", "2 numbers, want 3"}},
		"long list":    {"demo", "input.scale=[0.1, 0.2, 0.3]", []string{"input.scale", "3 numbers, want 2"}},
		"two keys":     {"demo", "epochs=2\nbatch=4", []string{"one key=value"}},
		"bounds":       {"demo", "batch=0", []string{"batch = 0, want 1 to 1048576"}},
		"half floats":  {"demo", "dtype=float16", []string{"float16", "float32"}},
		"range":        {"demo", "momentum=1.5", []string{"momentum = 1.5"}},
		"model":        {"demo", "model=resnet5", []string{`nearest is "resnet50"`}},
		"schedule":     {"demo", "schedule=cosin", []string{`nearest is "cosine"`}},
		"input":        {"demo", "input.crop=padd", []string{"crop", `"pad"`}},
		"dtype":        {"demo", "dtype=float23", []string{"float23"}},
		"all at once":  {file("two.toml", "momentum = 2.0\nepochs = 0\n"), "", []string{"momentum = 2", "epochs = 0"}},
		"unknown key":  {file("key.toml", "weigth_decay = 0.1\n"), "", []string{"weigth_decay", `"weight_decay"`}},
		"not TOML":     {file("bad.toml", "epochs = = 3\n"), "", []string{"line 1"}},
		"base of base": {file("deep.toml", "base = \"table6-resnet50d-mixup\"\n"), "", []string{"no base itself"}},
		"no base":      {file("lost.toml", "base = \"nothing\"\n"), "", []string{"nothing"}},
		"a folder":     {dir, "", []string{"no recipe"}},
	} {
		var sets []string
		if c.set != "" {
			sets = []string{c.set}
		}
		_, err := Load(c.recipe, sets)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %q lacks %q", name, err, want)
			}
		}
	}
}
