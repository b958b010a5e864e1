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
)

// line is one line of metrics.jsonl. Lines with top1 are evaluations: their loss
// is the evaluation's and train_loss the epoch's mean.
type line struct {
	Epoch     int      `json:"epoch"` // counted from 0
	Step      int      `json:"step"`  // steps done
	Loss      *float64 `json:"loss,omitempty"`
	TrainLoss *float64 `json:"train_loss,omitempty"`
	TrainTop1 *float64 `json:"train_top1,omitempty"` // percent, of the augmented pictures; not under mixup
	LR        float64  `json:"lr"`
	Top1      *float64 `json:"top1,omitempty"`
	Top5      *float64 `json:"top5,omitempty"`
	Rate      float64  `json:"images_per_second"`
	Seconds   *float64 `json:"seconds,omitempty"` // of the epoch's training
	Bad       int      `json:"bad,omitempty"`     // pictures replaced since the last line; on an epoch's line, in the epoch
	Best      bool     `json:"best,omitempty"`
	InputWait *float64 `json:"input_wait,omitempty"` // part of the steps since the last line spent waiting for input, 0..1
	Verdict   string   `json:"verdict,omitempty"`    // what limited them
}

// metrics writes a run's metrics.jsonl and TensorBoard events.
type metrics struct {
	f      *os.File
	events *eventWriter
}

const metricsName = "metrics.jsonl"

// openMetrics opens the files for a run that goes on after from steps; lines of
// later steps, which a killed run has left, are dropped.
func openMetrics(run string, from int) (*metrics, error) {
	path := filepath.Join(run, metricsName)
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("trainer: %w", err)
	}
	err = writeFile(path, func(w io.Writer) error { return keepLines(w, old, from) })
	if err != nil {
		return nil, fmt.Errorf("trainer: %w", err)
	}
	m := &metrics{}
	if m.f, err = os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0o644); err != nil {
		return nil, fmt.Errorf("trainer: %w", err)
	}
	if m.events, err = newEventWriter(run); err != nil {
		return nil, errors.Join(err, m.f.Close())
	}
	return m, nil
}

// keepLines copies the whole lines of at most the given step.
func keepLines(w io.Writer, old []byte, step int) error {
	for len(old) > 0 {
		n, text, err := bufio.ScanLines(old, false)
		if n == 0 || err != nil {
			return err // a torn last line
		}
		old = old[n:]
		var l line
		if json.Unmarshal(text, &l) != nil || l.Step > step {
			continue
		}
		if _, err := fmt.Fprintf(w, "%s\n", text); err != nil {
			return err
		}
	}
	return nil
}

// write adds a line to both.
func (m *metrics) write(l line) error {
	text, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("trainer: metrics of step %d: %w", l.Step, err)
	}
	if _, err := m.f.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("trainer: %w", err)
	}
	kind := "train/"
	if l.Top1 != nil {
		kind = "val/"
	}
	rate := l.Rate
	for _, s := range []struct {
		tag string
		v   *float64
	}{
		{kind + "loss", l.Loss}, {kind + "top1", l.Top1}, {kind + "top5", l.Top5}, {"train/epoch_loss", l.TrainLoss},
		{"train/top1", l.TrainTop1}, {"train/lr", &l.LR}, {"train/images_per_second", &rate}, {"train/input_wait", l.InputWait},
	} {
		if s.v == nil {
			continue
		}
		if err := m.events.scalar(s.tag, l.Step, *s.v); err != nil {
			return err
		}
	}
	return m.events.flush()
}

func (m *metrics) close() error { return errors.Join(m.f.Close(), m.events.close()) }
