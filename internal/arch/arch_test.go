package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "bagpipe"

// mayImport is policy, not a record: do not edit it to make a build pass. It
// lists, for each package, which of our own packages it may import directly. A
// package missing here fails the test, so a new one is always a decision.
var mayImport = map[string][]string{
	"gpu":           nil,
	"gpu/graph":     {"gpu"},
	"gpu/host":      {"gpu", "gpu/graph", "internal/cores"},
	"gpu/cuda":      {"gpu", "gpu/graph"},
	"gpu/gputest":   {"gpu", "gpu/graph"},
	"models":        {"gpu", "gpu/graph", "internal/nearest"},
	"shards":        {"internal/cores"},
	"ingest":        {"internal/cores", "shards"}, // decoding comes in as a function
	"stages":        nil,
	"stages/vision": {"gpu", "internal/nearest", "shards", "stages"},                // gpu for DType: samples are written in the device's
	"batcher":       {"gpu", "internal/cores", "shards", "stages", "stages/vision"}, // gpu for HostBuffer
	"trainer": {"batcher", "gpu", "gpu/graph", "internal/cores", "internal/nearest", "models",
		"shards", "stages", "stages/vision"}, // what its interface names: Dataset, Report, Config
	"internal/arch":    nil,
	"internal/cores":   nil,                                    // how many threads of work to run
	"internal/nearest": nil,                                    // what a misspelt word was meant to be
	"internal/cli":     {"internal/cores", "internal/nearest"}, // flags, exit codes and progress bars, for the programs under cmd
}

// top reports whether a package wires the others together: it may import anything,
// and nothing imports it, but that a program may run bench.
func top(name string) bool { return name == "bench" || strings.HasPrefix(name, "cmd/") }

func runsBench(name, dep string) bool { return dep == "bench" && strings.HasPrefix(name, "cmd/") }

// backends are picked by the programs and by tests alone.
var backends = []string{"gpu/host", "gpu/cuda"}

// junk are names that say nothing of what a package holds.
var junk = []string{"util", "utils", "common", "helper", "helpers", "base", "misc", "shared", "types"}

// pkg is one folder of sources, with all build tags together.
type pkg struct {
	name         string // below the module, slashes
	files, tests []*ast.File
}

func TestImports(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range load(t) {
		seen[p.name] = true
		if slices.Contains(junk, path.Base(p.name)) {
			t.Errorf("%s: name it after what it holds", p.name)
		}
		for dep := range imports(p.tests) {
			if top(dep) && dep != p.name && !runsBench(p.name, dep) { // a package's external tests import it
				t.Errorf("%s: a test imports %s; nobody imports a program, and only programs bench", p.name, dep)
			}
		}
		allowed, known := mayImport[p.name]
		if !known && !top(p.name) {
			t.Errorf("%s: not in mayImport; decide where it belongs", p.name)
			continue
		}
		for dep := range imports(p.files) {
			switch {
			case runsBench(p.name, dep):
			case top(dep):
				t.Errorf("%s imports %s; nobody imports a program, and only programs bench", p.name, dep)
			case !top(p.name) && !slices.Contains(allowed, dep):
				t.Errorf("%s imports %s; it may import only %v", p.name, dep, allowed)
			}
		}
	}
	for _, name := range []string{"gpu", "models", "shards", "trainer"} {
		if !seen[name] {
			t.Errorf("%s was not found: is the walk broken?", name)
		}
	}
}

// TestPolicy holds the table itself to what must never be.
func TestPolicy(t *testing.T) {
	for name, deps := range mayImport {
		for _, dep := range deps {
			if slices.Contains(backends, dep) {
				t.Errorf("mayImport lets %s name the backend %s", name, dep)
			}
			if slices.Contains(mayImport[dep], name) {
				t.Errorf("mayImport lets %s and %s import each other", name, dep)
			}
			if _, known := mayImport[dep]; !known {
				t.Errorf("mayImport lets %s import %s, which it does not list", name, dep)
			}
		}
	}
}

// load parses every package of the module.
func load(t *testing.T) []*pkg {
	t.Helper()
	const root = "../.."
	byDir := map[string]*pkg{}
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && file != root {
			_, err := os.Stat(filepath.Join(file, "go.mod")) // another module
			if base := d.Name(); err == nil || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" {
				return fs.SkipDir
			}
		}
		if d.IsDir() || filepath.Ext(file) != ".go" {
			return nil
		}
		f, err := parser.ParseFile(fset, file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		name := filepath.ToSlash(dir)
		p := byDir[name]
		if p == nil {
			p = &pkg{name: name}
			byDir[name] = p
		}
		if strings.HasSuffix(file, "_test.go") {
			p.tests = append(p.tests, f)
		} else {
			p.files = append(p.files, f)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var all []*pkg
	for _, p := range byDir {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *pkg) int { return strings.Compare(a.name, b.name) })
	return all
}

// imports is the set of our own packages that files import.
func imports(files []*ast.File) map[string]bool {
	deps := map[string]bool{}
	for _, f := range files {
		for _, s := range f.Imports {
			dep, _ := strconv.Unquote(s.Path.Value)
			if name, ours := strings.CutPrefix(dep, module+"/"); ours {
				deps[name] = true
			}
		}
	}
	return deps
}

// TestDocument holds the table of docs/architecture.md to mayImport.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, "|"); len(cells) == 4 {
			documented[strings.TrimSpace(cells[1])] = strings.TrimSpace(cells[2])
		}
	}
	for name, deps := range mayImport {
		want := strings.Join(slices.Sorted(slices.Values(deps)), ", ")
		if want == "" {
			want = "-"
		}
		if got := documented[name]; got != want {
			t.Errorf("docs/architecture.md: %s may import %q, want %q", name, got, want)
		}
	}
}
