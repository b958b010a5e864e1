package trainer

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"bagpipe/gpu/graph"
	"bagpipe/models"
)

// A checkpoint is three files under RUN/checkpoints:
//
//	step-00000390.safetensors        the weights that are evaluated, under torchvision's names
//	step-00000390.state.safetensors  what else training needs: momentum; with EMA the raw weights
//	last.json, best.json             the position, and which two files belong to it
//
// The JSON is written last and in one rename, so that a kill at any moment leaves
// the previous checkpoint or the new one. Files that neither JSON names are removed.

// state is what last.json and best.json hold.
type state struct {
	Format    string   `json:"format"` // "bagpipe-checkpoint"
	Version   int      `json:"version"`
	Step      int      `json:"step"`      // steps done: the position of the run
	Evaluated bool     `json:"evaluated"` // the evaluation due at this step, if any, is done
	Weights   string   `json:"weights"`   // file name
	State     string   `json:"state"`     // file name
	Data      string   `json:"data"`      // hash of the data set
	Classes   []string `json:"classes"`
	Top1      float64  `json:"top1"` // of these weights, percent
	Best      float64  `json:"best"` // top-1 of best.json; -1 before the first evaluation
	BestStep  int      `json:"best_step"`
	Epoch     progress `json:"epoch_so_far"`
	Window    progress `json:"since_log"`
}

// progress sums up steps: of the epoch at hand, or since the last line of the log.
// Checkpoints keep both, so that a resumed run logs what the undisturbed one would.
type progress struct {
	Loss    float64 `json:"loss"` // sum over steps
	Top1    float64 `json:"top1"` // pictures
	Steps   int     `json:"steps"`
	Images  int     `json:"images"`
	Bad     int     `json:"bad"`
	Seconds float64 `json:"seconds"` // training, without evaluation
}

func (p *progress) add(s stepped, seconds float64) {
	p.Loss += s.loss
	p.Top1 += s.top1
	p.Steps++
	p.Images += s.n
	p.Bad += s.bad
	p.Seconds += seconds
}

func (p progress) mean() float64 { return p.Loss / float64(max(p.Steps, 1)) }
func (p progress) rate() float64 { return float64(p.Images) / max(p.Seconds, 1e-9) }

const (
	checkpointFormat  = "bagpipe-checkpoint"
	checkpointVersion = 1
	lastName          = "last.json"
	bestName          = "best.json"
)

func checkpointDir(run string) string { return filepath.Join(run, "checkpoints") }

// save writes a checkpoint of r; s names position and score.
func (c Config) save(run string, r *replica, s state, isBest bool) error {
	dir := checkpointDir(run)
	stem := fmt.Sprintf("step-%08d", s.Step)
	s.Format, s.Version = checkpointFormat, checkpointVersion
	s.Weights, s.State = stem+".safetensors", stem+".state.safetensors"
	about, err := json.Marshal(card{Model: c.Model, Classes: s.Classes, Input: c.Input, Recipe: c.Recipe, Data: s.Data, Step: s.Step, Top1: s.Top1})
	if err != nil {
		return err
	}
	var weights, rest []models.Tensor
	for _, v := range r.kept {
		data, err := r.get(v.Name)
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(data, func(x float32) bool { return !finite(float64(x)) }); i >= 0 {
			return &notFiniteError{v.Name, data[i]}
		}
		t := models.ToTorch(v, data)
		if plain, ok := c.evaluated(v.Name); ok {
			t.Name = plain
			weights = append(weights, t)
		} else if !strings.HasPrefix(v.Name, summed) { // zero between steps
			rest = append(rest, t)
		}
	}
	write := func(name string, tensors []models.Tensor, meta map[string]string) error {
		return writeFile(filepath.Join(dir, name), func(w io.Writer) error { return models.WriteWeights(w, tensors, meta) })
	}
	if err := write(s.Weights, weights, map[string]string{"format": "pt", cardKey: string(about)}); err != nil {
		return err
	}
	if err := write(s.State, rest, nil); err != nil {
		return err
	}
	if isBest {
		if err := writeJSON(filepath.Join(dir, bestName), s); err != nil {
			return err
		}
	}
	if err := writeJSON(filepath.Join(dir, lastName), s); err != nil {
		return err
	}
	return tidy(dir)
}

// A notFiniteError says which value keeps a checkpoint from being written.
type notFiniteError struct {
	name  string
	value float32
}

func (e *notFiniteError) Error() string { return fmt.Sprintf("%s holds %v", e.name, e.value) }

// remedy says what to do about a failed write.
func remedy(err error) string {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, full) {
			return " (free some space, then go on with --resume)"
		}
	}
	return ""
}

func finite(x float64) bool { return x-x == 0 }

// writeFile writes a whole file or nothing: temporary name, fsync, rename.
func writeFile(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	b := bufio.NewWriter(f)
	for _, step := range []func() error{
		func() error { return write(b) }, b.Flush, func() error { return f.Chmod(0o644) }, f.Sync, f.Close,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(path, func(w io.Writer) error { _, err := w.Write(append(text, '\n')); return err })
}

// tidy removes the step files that no JSON names, and what a kill left behind.
func tidy(dir string) error {
	keep := []string{lastName, bestName}
	for _, name := range []string{lastName, bestName} {
		s, err := readState(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		keep = append(keep, s.Weights, s.State)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		ours := strings.HasPrefix(f.Name(), "step-") || strings.Contains(f.Name(), ".json.tmp-")
		if ours && !slices.Contains(keep, f.Name()) {
			if err := os.Remove(filepath.Join(dir, f.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// readState reads and checks a checkpoint's JSON.
func readState(path string) (state, error) {
	var s state
	text, err := os.ReadFile(path)
	if err != nil {
		return s, fmt.Errorf("trainer: checkpoint: %w", err)
	}
	bad := func(problem string, args ...any) (state, error) {
		return s, fmt.Errorf("trainer: checkpoint %s: %s (resume from a copy, or start a new run)", path, fmt.Sprintf(problem, args...))
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return bad("%v", err)
	}
	if s.Format != checkpointFormat {
		return bad("format %q, want %q", s.Format, checkpointFormat)
	}
	if s.Version != checkpointVersion {
		return bad("version %d, this program reads %d", s.Version, checkpointVersion)
	}
	if s.Step < 0 || !plainName(s.Weights) || !plainName(s.State) || checkClasses(s.Classes) != nil {
		return bad("step %d, files %q and %q, %d classes", s.Step, s.Weights, s.State, len(s.Classes))
	}
	return s, nil
}

// plainName refuses names that lead out of the folder.
func plainName(s string) bool { return s != "" && filepath.IsLocal(s) && s == filepath.Base(s) }

// load fills r with a checkpoint's values.
func (c Config) load(run string, s state, r *replica) error {
	dir := checkpointDir(run)
	put := func(w *models.Weights, name string, v *graph.Value) error {
		t, err := w.Tensor(name)
		if err != nil {
			return err
		}
		data, err := models.FromTorch(v, t)
		if err != nil {
			return err
		}
		return r.set(v.Name, data)
	}
	fill := func(file string, ofWeights bool) error {
		return withWeights(filepath.Join(dir, file), func(w *models.Weights) error {
			for _, v := range r.kept {
				name, evaluated := c.evaluated(v.Name)
				if evaluated != ofWeights || strings.HasPrefix(v.Name, summed) {
					continue
				}
				if !evaluated {
					name = v.Name
				}
				if err := put(w, name, v); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return errors.Join(fill(s.Weights, true), fill(s.State, false))
}

// bestWeights returns the weights file of a run's best checkpoint, or of its last
// where none was evaluated.
func bestWeights(run string) (string, error) {
	dir := checkpointDir(run)
	for _, name := range []string{bestName, lastName} {
		s, err := readState(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		return filepath.Join(dir, s.Weights), nil
	}
	return "", fmt.Errorf("trainer: model: %s holds no checkpoint: it is no run directory, or its run has not reached the first one", run)
}
