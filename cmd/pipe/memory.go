package main

import (
	"bagpipe/batcher"
	"bagpipe/internal/cli"
)

// ceiling is the flag of the commands that read a data set.
type ceiling struct {
	Memory cli.Size `placeholder:"SIZE" help:"Ceiling on the memory of the input, such as 8GiB: batches, workers' scratch, caches, and what the program held before. A model comes on top. Does not change the result."`
}

// budget is the ceiling's, nil without one. It is to be called when the data set is open
// and nothing else is.
func (c ceiling) budget() *batcher.Budget {
	if c.Memory == 0 {
		return nil
	}
	return batcher.NewBudget(int64(c.Memory))
}
