package main

import (
	"encoding/json"
	"fmt"

	"bagpipe/gpu"
	"bagpipe/gpu/graph"
	"bagpipe/internal/cli"
	"bagpipe/models"
)

type showCmd struct {
	Model   string `arg:"" optional:"" help:"Model; none lists all."`
	Size    int    `help:"Side of the pictures in pixels; 0 = what the model is trained with."`
	Batch   int    `default:"1" help:"Pictures at once."`
	Classes int    `help:"Outputs; 0 = 1000, or 10 for the CIFAR forms."`
	JSON    bool   `name:"json" help:"Print one JSON object."`
}

// Help shows examples.
func (showCmd) Help() string {
	return `Examples:
  pipe show
  pipe show resnet50d
  pipe show cifar-resnet20 --batch 128 --classes 100`
}

// modelCost is what show --json prints of a model. Counts are for the whole batch,
// parameters apart.
type modelCost struct {
	Model   string      `json:"model"`
	Size    int         `json:"size"`
	Batch   int         `json:"batch"`
	Classes int         `json:"classes"`
	Params  int64       `json:"params"`
	MACs    int64       `json:"macs"`
	Bytes   int64       `json:"bytes"` // of all outputs
	Layers  []layerCost `json:"layers,omitempty"`
}

type layerCost struct {
	Name   string    `json:"name"`
	Op     string    `json:"op"`
	Shape  gpu.Shape `json:"shape"`
	Params int64     `json:"params"`
	MACs   int64     `json:"macs"`
}

// Run prints the cost of one model or of all.
func (c *showCmd) Run(s cli.Streams) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.Model == "" {
		return c.list(s)
	}
	m, err := c.cost(c.Model)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(s.Out).Encode(m)
	}
	fmt.Fprintf(s.Out, "%-28s %-16s %-18s %10s %10s\n", "layer", "op", "output", "params", "MACs")
	for _, l := range m.Layers {
		fmt.Fprintf(s.Out, "%-28s %-16s %-18s %10s %10s\n", l.Name, l.Op, l.Shape, some(l.Params), some(l.MACs))
	}
	fmt.Fprintf(s.Out, "\n%s at %d x %d x %d x 3, %d classes: %s parameters, %s MACs, %s of outputs\n", m.Model, m.Batch, m.Size, m.Size, m.Classes,
		cli.Count(m.Params), cli.Count(m.MACs), cli.Bytes(m.Bytes))
	return nil
}

func (c *showCmd) check() error {
	if c.Size < 0 || c.Size > 8192 {
		return cli.Wrongf("--size %d, want 1 to 8192", c.Size)
	}
	if c.Batch < 1 || c.Batch > 1<<20 {
		return cli.Wrongf("--batch %d, want 1 to %d", c.Batch, 1<<20)
	}
	if c.Classes < 0 || c.Classes > 1<<24 {
		return cli.Wrongf("--classes %d, want 1 to %d", c.Classes, 1<<24)
	}
	if c.Model != "" {
		return knownModel(c.Model)
	}
	return nil
}

// knownModel refuses an unknown model, naming the nearest.
func knownModel(name string) error {
	return cli.OneOf("model", name, models.Names(), "pipe show lists all")
}

func (c *showCmd) list(s cli.Streams) error {
	all := []modelCost{}
	for _, name := range models.Names() {
		m, err := c.cost(name)
		if err != nil {
			return err
		}
		m.Layers = nil
		all = append(all, m)
	}
	if c.JSON {
		return json.NewEncoder(s.Out).Encode(all)
	}
	fmt.Fprintf(s.Out, "%-18s %5s %8s %10s %10s\n", "model", "size", "classes", "params", "MACs")
	for _, m := range all {
		fmt.Fprintf(s.Out, "%-18s %5d %8d %10s %10s\n", m.Model, m.Size, m.Classes, cli.Count(m.Params), cli.Count(m.MACs))
	}
	return nil
}

// cost builds the model for evaluation and adds up its nodes.
func (c *showCmd) cost(name string) (modelCost, error) {
	m := modelCost{Model: name, Size: c.Size, Batch: c.Batch, Classes: c.Classes}
	usual, err := models.InputSize(name)
	if err != nil {
		return m, err
	}
	if m.Size == 0 {
		m.Size = usual
	}
	if m.Classes == 0 {
		if m.Classes = 1000; usual < 64 {
			m.Classes = 10
		}
	}
	var fault error
	g, err := graph.Build(false, func(g *graph.Graph) {
		_, fault = models.Add(g, name, g.Input("x", gpu.Float32, m.Batch, m.Size, m.Size, 3), models.Options{Classes: m.Classes})
	})
	if err == nil {
		err = fault
	}
	if err != nil {
		return m, fmt.Errorf("%s at %d x %d: %w (try a larger --size)", name, m.Size, m.Size, err)
	}
	for _, k := range graph.Costs(g) {
		m.Params, m.MACs, m.Bytes = m.Params+k.Params, m.MACs+k.MACs, m.Bytes+k.Bytes
		m.Layers = append(m.Layers, layerCost{k.Node.Scope, k.Node.Op.Name(), k.Node.Out[0].Shape, k.Params, k.MACs})
	}
	return m, nil
}

// some is a count, or nothing for 0.
func some(n int64) string {
	if n == 0 {
		return ""
	}
	return cli.Count(n)
}
