package stages

import (
	"context"
	"fmt"
	"iter"
	"time"
)

// From starts the first stage of a pipeline: it reads seq, one element at a time,
// and sends it on. An error from seq ends the pipeline. The channel is closed when
// seq is exhausted or the pipeline ends; Wait tells which.
func From[T any](p *Pipeline, name string, seq iter.Seq2[T, error]) <-chan T {
	st := p.Stage(name, 1)
	out := make(chan T)
	p.Go(name, func(ctx context.Context) error {
		defer close(out)
		t := time.Now()
		for v, err := range seq {
			if err != nil {
				return fmt.Errorf("stage %s: %w", name, err)
			}
			ready := time.Now()
			if !Send(ctx, out, v) {
				break
			}
			sent := time.Now()
			st.Add(1, ready.Sub(t), 0, sent.Sub(ready))
			t = sent
		}
		return context.Cause(ctx)
	})
	return out
}
