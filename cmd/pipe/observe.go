package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"bagpipe/internal/cli"
	"bagpipe/trainer"
)

// observer shows a training's progress. It implements trainer.Observer.
type observer struct {
	p             *cli.Progress // nil: quiet
	epochs        int
	stepsPerEpoch int
	last          trainer.Step // logged last
}

func newObserver(w io.Writer, quiet bool) *observer {
	if quiet {
		return &observer{}
	}
	return &observer{p: cli.NewProgress(w, "steps")}
}

// Start says what is trained on what.
func (o *observer) Start(s trainer.Start) {
	o.epochs, o.stepsPerEpoch = s.Config.Epochs, s.StepsPerEpoch
	o.p.Printf("%s, %s parameters, for %d epochs of %d steps of %d pictures", s.Config.Model, cli.Count(int64(s.Params)), o.epochs,
		s.StepsPerEpoch, s.Config.Batch)
	o.p.Printf("%d pictures to train and %d to evaluate, %d classes, data %.12s", s.TrainN, s.ValN, s.Classes, s.DataHash)
	if s.FirstStep > 0 {
		o.p.Printf("going on at step %d", s.FirstStep)
	}
	o.p.Start(s.FirstStep, o.epochs*s.StepsPerEpoch)
}

// Step moves the bar.
func (o *observer) Step(s trainer.Step) {
	if s.Logged {
		o.last = s
	}
	o.p.Set(s.Step+1, func() string {
		if !o.last.Logged {
			return fmt.Sprintf("epoch %d/%d", s.Epoch+1, o.epochs)
		}
		return fmt.Sprintf("epoch %d/%d, loss %.4f, lr %.3g, %.0f img/s, %s", s.Epoch+1, o.epochs, o.last.Loss, o.last.LR, o.last.Rate, o.last.Verdict)
	})
}

// Epoch tells how an epoch went.
func (o *observer) Epoch(e trainer.Epoch) {
	line := fmt.Sprintf("epoch %d/%d: training loss %.4f", e.Epoch+1, o.epochs, e.TrainLoss)
	if e.Evaluated {
		line += fmt.Sprintf(", loss %.4f, top-1 %.2f %%, top-5 %.2f %%", e.Loss, e.Top1, e.Top5)
	}
	line += fmt.Sprintf(", %.0f img/s, %v", e.Rate, time.Duration(e.Seconds*1e9).Round(100*time.Millisecond))
	if e.Best {
		line += ", best so far"
	}
	o.p.Printf("%s", line)
}

// Note passes a line on.
func (o *observer) Note(text string) { o.p.Printf("%s", strings.TrimSpace(text)) }
