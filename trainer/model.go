package trainer

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"bagpipe/gpu"
	"bagpipe/gpu/graph"
	"bagpipe/models"
	"bagpipe/shards"
	"bagpipe/stages/vision"
)

// Model is a trained network ready for evaluation or prediction. Its methods
// belong to one goroutine.
type Model struct {
	Name    string
	Classes []string
	Input   vision.Config
	Source  string // the checkpoint it came from
	Step    int    // steps trained
	Top1    float64

	c       Config
	tensors map[string]models.Tensor
	one     *evaluator // of the last Predict
	vars    graph.Vars // its variables
	picture *vision.Processor
}

// card is what a weights file's metadata says of the model, so that the file alone
// can be evaluated with the very input it was trained for.
type card struct {
	Model   string        `json:"model"`
	Classes []string      `json:"classes"`
	Input   vision.Config `json:"input"`
	Recipe  string        `json:"recipe"`
	Data    string        `json:"data"` // hash
	Step    int           `json:"step"`
	Top1    float64       `json:"top1"` // percent; 0 where not evaluated
}

// cardKey is the metadata key of the card.
const cardKey = "bagpipe"

// OpenModel opens a run directory (its best checkpoint, or the last where none was
// evaluated) or a .safetensors file written by a run.
func OpenModel(path string) (*Model, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("trainer: model: %w (want a run directory or a .safetensors file of a run)", err)
	}
	if fi.IsDir() {
		if path, err = bestWeights(path); err != nil {
			return nil, err
		}
	}
	m := &Model{Source: path, tensors: map[string]models.Tensor{}}
	return m, withWeights(path, func(w *models.Weights) error { return m.read(w) })
}

// withWeights opens a weights file for the time of f.
func withWeights(path string, f func(w *models.Weights) error) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("trainer: weights: %w", err)
	}
	defer file.Close()
	fi, err := file.Stat()
	if err != nil {
		return fmt.Errorf("trainer: weights: %w", err)
	}
	w, err := models.ReadWeights(file, fi.Size())
	if err == nil {
		err = f(w)
	}
	if err != nil {
		return fmt.Errorf("trainer: %s: %w", path, err)
	}
	return nil
}

func (m *Model) read(w *models.Weights) error {
	var c card
	text, ok := w.Metadata[cardKey]
	if !ok {
		return errors.New("says neither model nor classes: it was not written by a run (want a run directory or one of its checkpoints)")
	}
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	if err := errors.Join(c.Input.Validate(), checkClasses(c.Classes)); err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	m.Name, m.Classes, m.Input, m.Step, m.Top1 = c.Model, c.Classes, c.Input, c.Step, c.Top1
	m.c = defaults()
	m.c.Model, m.c.Input = c.Model, c.Input
	g, err := m.c.evalGraph(1, len(m.Classes))
	if err != nil {
		return err
	}
	for _, v := range append(g.Params(), g.States()...) {
		t, err := w.Tensor(v.Name)
		if err != nil {
			return err
		}
		if _, err := models.FromTorch(v, t); err != nil {
			return err
		}
		m.tensors[v.Name] = t
	}
	return nil
}

// checkClasses refuses names that no data set has.
func checkClasses(classes []string) error {
	if len(classes) < 1 || slices.Contains(classes, "") {
		return fmt.Errorf("%d classes, or one without a name", len(classes))
	}
	return nil
}

// fits checks that a data set has the model's classes.
func (m *Model) fits(d *shards.Dataset) error {
	if d == nil {
		return errors.New("trainer: evaluate: no data set")
	}
	if err := sameClasses(d.Classes, m.Classes); err != nil {
		return fmt.Errorf("trainer: %s has other classes than %s: %w (evaluate on shards of the same classes)", d.Dir, m.Source, err)
	}
	return nil
}

// sameClasses compares a data set's classes with a checkpoint's.
func sameClasses(got, want []string) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d, the checkpoint has %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			return fmt.Errorf("class %d is %q, the checkpoint has %q", i, got[i], want[i])
		}
	}
	return nil
}

// evaluator compiles the model for dev and puts its weights into vars, which the
// caller frees after closing the evaluator.
func (m *Model) evaluator(dev gpu.Device, batch int, vars graph.Vars) (*evaluator, error) {
	e, err := newEvaluator(m.c, dev, batch, len(m.Classes), vars)
	if err != nil {
		return nil, err
	}
	g, err := m.c.evalGraph(1, len(m.Classes))
	if err != nil {
		return nil, errors.Join(err, e.close())
	}
	for _, v := range append(g.Params(), g.States()...) {
		data, err := models.FromTorch(v, m.tensors[v.Name])
		if err == nil {
			err = errors.Join(e.stream.Upload(vars[v.Name], raw(data)), e.stream.Synchronize())
		}
		if err != nil {
			return nil, errors.Join(err, e.close())
		}
	}
	return e, nil
}

// Prediction is one class with its softmax probability.
type Prediction struct {
	Class       string
	Index       int
	Probability float64
}

// Predict classifies one encoded picture; k best classes first.
func (m *Model) Predict(dev gpu.Device, picture []byte, k int) ([]Prediction, error) {
	if err := m.open(dev); err != nil {
		return nil, err
	}
	x := make([]float32, m.Input.Size*m.Input.Size*3)
	if err := m.picture.Process(raw(x), picture, 0, 0, 0); err != nil {
		return nil, err
	}
	e := m.one
	label := binary.NativeEndian.AppendUint32(nil, 0)
	if err := errors.Join(e.stream.Upload(e.p.Buffer(inImages), raw(x)), e.stream.Upload(e.p.Buffer(inLabels), label),
		e.stream.Synchronize(), e.p.Run()); err != nil {
		return nil, err
	}
	probs := make([]float32, len(m.Classes))
	if err := errors.Join(e.stream.Download(raw(probs), e.p.Buffer(outSoftmax)), e.stream.Synchronize()); err != nil {
		return nil, err
	}
	all := make([]Prediction, len(probs))
	for i, p := range probs {
		all[i] = Prediction{m.Classes[i], i, float64(p)}
	}
	slices.SortStableFunc(all, func(a, b Prediction) int { return cmp.Compare(b.Probability, a.Probability) })
	return all[:min(max(k, 1), len(all))], nil
}

// open makes what Predict needs, for the first picture or another device.
func (m *Model) open(dev gpu.Device) (err error) {
	if m.one != nil && m.one.dev == dev {
		return nil
	}
	if err := m.Close(); err != nil {
		return err
	}
	if m.picture, err = vision.NewEval(m.Input, gpu.Float32); err != nil {
		return err
	}
	m.vars = graph.Vars{}
	m.one, err = m.evaluator(dev, 1, m.vars)
	return err
}

// Close frees what Predict has made; the model can be used again.
func (m *Model) Close() error {
	var err error
	if m.one != nil {
		err = m.one.close()
		m.one = nil
	}
	if m.picture != nil {
		m.picture.Close()
		m.picture = nil
	}
	return errors.Join(err, m.vars.Free())
}
