// Package stages (contract stub; to be replaced by the engine).
package stages

import "time"

// Report is one stage's counters at a moment; times are summed over its workers.
type Report struct {
	Name    string        `json:"name"`
	Workers int           `json:"workers"`
	N       int64         `json:"n"`
	Busy    time.Duration `json:"busy"`    // in its function
	Starved time.Duration `json:"starved"` // waiting for input
	Blocked time.Duration `json:"blocked"` // waiting for output
	Queue   float64       `json:"queue"`   // mean depth of the input queue
	Allocs  int64         `json:"-"`
}

// Verdict names the stage that limits the pipeline, and what to change.
type Verdict struct {
	Stage string // name of the limiting stage
	Text  string // one line for people
}

func Judge(reports []Report) Verdict { panic("pending") }
