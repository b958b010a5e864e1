package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"bagpipe/internal/cli"
	"bagpipe/trainer"
)

type recipesCmd struct {
	JSON bool `name:"json" help:"Print one JSON array."`
}

// Help shows examples.
func (recipesCmd) Help() string {
	return `Examples:
  pipe recipes
  pipe recipes --json`
}

// recipeLine is one recipe of recipes --json.
type recipeLine struct {
	Name     string `json:"name"`
	Title    string `json:"title"`
	Source   string `json:"source"`
	Expected string `json:"expected"`
	Model    string `json:"model"`
	Epochs   int    `json:"epochs"`
	Batch    int    `json:"batch"`
	Size     int    `json:"size"`
}

// Run lists the embedded recipes.
func (c *recipesCmd) Run(s cli.Streams) error {
	lines := []recipeLine{}
	for _, r := range trainer.Recipes() {
		lines = append(lines, recipeLine{r.Name, r.Title, r.Source, r.Expected, r.Config.Model, r.Config.Epochs, r.Config.Batch, r.Config.Input.Size})
	}
	if c.JSON {
		return json.NewEncoder(s.Out).Encode(lines)
	}
	for _, r := range lines {
		fmt.Fprintf(s.Out, "%-28s %s\n%-28s expected: %s\n", r.Name, r.Title, "", r.Expected)
	}
	return nil
}

// recipe is a choice of configuration on the command line.
type recipe struct {
	Recipe string   `placeholder:"NAME|FILE" help:"Embedded recipe or TOML file."`
	Set    []string `placeholder:"KEY=VALUE" sep:"none" help:"Change a key of the recipe, such as --set model=resnet18d; may be repeated."`
	Epochs *int     `placeholder:"N" help:"Same as --set epochs=N."`
	Batch  *int     `placeholder:"N" help:"Same as --set batch=N: pictures a step, over all devices."`
	Seed   *uint64  `placeholder:"N" help:"Same as --set seed=N."`
}

// load resolves a recipe. Whatever is wrong with it is a fault of the command line
// or of the file that it names.
func (r recipe) load(name string) (trainer.Config, error) {
	sets := r.Set
	for _, s := range sets {
		if !strings.Contains(s, "=") {
			return trainer.Config{}, cli.Wrongf("--set %q, want KEY=VALUE", s)
		}
	}
	// The flags come last: they win.
	if r.Epochs != nil {
		sets = append(sets, fmt.Sprintf("epochs=%d", *r.Epochs))
	}
	if r.Batch != nil {
		sets = append(sets, fmt.Sprintf("batch=%d", *r.Batch))
	}
	if r.Seed != nil {
		sets = append(sets, fmt.Sprintf("seed=%d", *r.Seed))
	}
	if _, err := os.Stat(name); err != nil && !strings.ContainsAny(name, "/\\.") {
		if err := cli.OneOf("recipe", name, recipeNames(), "pipe recipes lists all; a file needs its path"); err != nil {
			return trainer.Config{}, err
		}
	}
	c, err := trainer.Load(name, sets)
	return c, cli.Wrong(err)
}

// recipeNames lists the embedded recipes.
func recipeNames() (names []string) {
	for _, r := range trainer.Recipes() {
		names = append(names, r.Name)
	}
	return names
}

// recipeName is what a recipe is called in the name of a run.
func recipeName(recipe string) string {
	return strings.TrimSuffix(filepath.Base(recipe), ".toml")
}
