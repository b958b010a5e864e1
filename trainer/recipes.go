package trainer

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"bagpipe/internal/nearest"
	"bagpipe/models"
	"bagpipe/stages/vision"
)

//go:embed recipes/*.toml
var embedded embed.FS

// DefaultRecipe is the recipe for pictures that have none of their own.
const DefaultRecipe = "default"

// Recipe is an embedded recipe's summary for `pipe recipes`.
type Recipe struct {
	Name, Title, Source, Expected string
	Config                        Config
}

// Recipes returns every embedded recipe, sorted by name.
func Recipes() []Recipe {
	var all []Recipe
	for _, name := range recipeNames() {
		c, err := Load(name, nil)
		if err != nil {
			panic(err) // our own file
		}
		all = append(all, Recipe{name, c.Title, c.Source, c.Expected, c})
	}
	return all
}

func recipeNames() []string {
	files, err := fs.Glob(embedded, "recipes/*.toml")
	if err != nil {
		panic(err)
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(path.Base(f), ".toml")
	}
	return files
}

// A tree is a parsed TOML document.
type tree = map[string]any

// Load resolves a recipe, an embedded name or the path of a TOML file, and applies
// overrides such as "epochs=3" or "input.flip=0". A file may name one base, whose
// keys it changes. The result is valid; errors name the key or recipe and the
// nearest one there is.
func Load(recipe string, sets []string) (Config, error) {
	doc, err := read(recipe, true)
	if err != nil {
		return Config{}, err
	}
	for _, s := range sets {
		if err := override(doc, s); err != nil {
			return Config{}, err
		}
	}
	c, err := resolve(doc)
	if err != nil {
		return Config{}, fmt.Errorf("trainer: recipe %s: %w", recipe, err)
	}
	if c.Recipe == "" {
		c.Recipe = recipe
	}
	return c, c.Validate()
}

// read parses a recipe and puts it on top of its base.
func read(recipe string, mayInherit bool) (tree, error) {
	text, err := embedded.ReadFile("recipes/" + recipe + ".toml")
	if err != nil {
		text, err = readFile(recipe)
	}
	if err != nil {
		return nil, err
	}
	doc := tree{}
	if err := toml.Unmarshal(text, &doc); err != nil {
		var d *toml.DecodeError
		if errors.As(err, &d) {
			row, col := d.Position()
			return nil, fmt.Errorf("trainer: recipe %s: line %d, column %d: %w", recipe, row, col, err)
		}
		return nil, fmt.Errorf("trainer: recipe %s: %w", recipe, err)
	}
	base, inherits := doc["base"]
	if !inherits {
		return doc, nil
	}
	name, ok := base.(string)
	if !ok || !mayInherit {
		return nil, fmt.Errorf("trainer: recipe %s: base = %v, want the name of one recipe that has no base itself", recipe, base)
	}
	under, err := read(name, false)
	if err != nil {
		return nil, fmt.Errorf("trainer: recipe %s: base: %w", recipe, err)
	}
	for _, own := range []string{"title", "source", "expected"} {
		delete(under, own)
	}
	delete(doc, "base")
	overlay(under, doc)
	return under, nil
}

// maxRecipe bounds the bytes of a recipe file.
const maxRecipe = 1 << 20

func readFile(recipe string) ([]byte, error) {
	fi, err := os.Stat(recipe)
	switch {
	case err != nil && !strings.ContainsAny(recipe, "/\\.") || err == nil && fi.IsDir():
		return nil, fmt.Errorf("trainer: no recipe %q, nearest is %q (pipe recipes lists all; a file needs its .toml)", recipe, nearest.Word(recipe, recipeNames()))
	case err != nil:
		return nil, fmt.Errorf("trainer: recipe: %w", err)
	case fi.Size() > maxRecipe:
		return nil, fmt.Errorf("trainer: recipe %s: %d bytes, want at most %d: is it a recipe?", recipe, fi.Size(), maxRecipe)
	}
	return os.ReadFile(recipe)
}

// overlay puts what top says over under.
func overlay(under, top tree) {
	for k, v := range top {
		section, isSection := v.(tree)
		below, wasSection := under[k].(tree)
		if isSection && wasSection {
			overlay(below, section)
			continue
		}
		under[k] = v
	}
}

// override applies one key=value; a value that is no TOML is a string.
func override(doc tree, set string) error {
	key, value, ok := strings.Cut(set, "=")
	if key = strings.TrimSpace(key); !ok || key == "" {
		return fmt.Errorf("trainer: --set %q, want key=value such as epochs=3", set)
	}
	if strings.ContainsAny(set, "\r\n") {
		return fmt.Errorf("trainer: --set %q: one key=value a --set", set)
	}
	if !slices.Contains(keys(), key) {
		return fmt.Errorf("trainer: --set %s: no such key, nearest is %q", set, nearest.Word(key, keys()))
	}
	top := tree{}
	if err := toml.Unmarshal([]byte(key+" = "+value), &top); err != nil {
		top = tree{}
		if err := toml.Unmarshal(fmt.Appendf(nil, "%s = %q", key, strings.TrimSpace(value)), &top); err != nil {
			return fmt.Errorf("trainer: --set %s: %w", set, err)
		}
	}
	overlay(doc, top)
	return nil
}

// resolve fills a Config: the input's defaults depend on its mode and size.
func resolve(doc tree) (Config, error) {
	c := defaults()
	if m, ok := doc["model"].(string); ok {
		c.Model = m
	}
	size, err := models.InputSize(c.Model)
	if err != nil {
		return c, err
	}
	mode := vision.Paper
	if in, ok := doc["input"].(tree); ok {
		if s, ok := in["size"].(int64); ok {
			size = int(s)
		}
		if m, ok := in["mode"].(string); ok {
			mode = m
		}
	}
	c.Input = vision.Default(mode, size)
	if err := checkLists(doc, reflect.TypeFor[Config](), ""); err != nil {
		return c, err
	}
	text, err := toml.Marshal(doc)
	if err != nil {
		return c, err
	}
	d := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields()
	err = d.Decode(&c)
	var unknown *toml.StrictMissingError
	var wrong *toml.DecodeError
	switch {
	case errors.As(err, &unknown):
		key := strings.Join(unknown.Errors[0].Key(), ".")
		return c, fmt.Errorf("unknown key %q, nearest is %q", key, nearest.Word(key, keys()))
	case errors.As(err, &wrong):
		key := strings.Join(wrong.Key(), ".")
		return c, fmt.Errorf("%s = %v, want %s", key, lookup(doc, wrong.Key()), kindOf(key))
	}
	return c, err
}

// checkLists refuses lists of another length than their key's: the decoder would
// fill up or cut off.
func checkLists(doc tree, t reflect.Type, prefix string) error {
	for i := range t.NumField() {
		f := t.Field(i)
		key := f.Tag.Get("toml")
		if section, ok := doc[key].(tree); ok && f.Type.Kind() == reflect.Struct {
			if err := checkLists(section, f.Type, key+"."); err != nil {
				return err
			}
		}
		if list, ok := doc[key].([]any); ok && f.Type.Kind() == reflect.Array && len(list) != f.Type.Len() {
			return fmt.Errorf("%s%s = %v has %d numbers, want %d", prefix, key, list, len(list), f.Type.Len())
		}
	}
	return nil
}

// lookup returns what a document says at a key.
func lookup(doc tree, key []string) (v any) {
	v = doc
	for _, k := range key {
		section, ok := v.(tree)
		if !ok {
			break
		}
		v = section[k]
	}
	return v
}

// kindOf says in words what a key takes.
func kindOf(key string) string {
	t := reflect.TypeFor[Config]()
	for _, part := range strings.Split(key, ".") {
		for i := range t.NumField() {
			if f := t.Field(i); f.Tag.Get("toml") == part {
				t = f.Type
				break
			}
		}
	}
	switch t.Kind() {
	case reflect.Int, reflect.Uint64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list of numbers such as [1.0, 2.0]"
	}
	return "a word"
}

// keys returns every key of a recipe, such as "lr" and "input.flip".
func keys() []string {
	var all []string
	var walk func(t reflect.Type, prefix string)
	walk = func(t reflect.Type, prefix string) {
		for i := range t.NumField() {
			f := t.Field(i)
			key := prefix + f.Tag.Get("toml")
			if f.Type == reflect.TypeFor[vision.Config]() {
				walk(f.Type, key+".")
				continue
			}
			all = append(all, key)
		}
	}
	walk(reflect.TypeFor[Config](), "")
	return all
}
