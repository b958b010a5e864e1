// Package batcher (contract stub; to be replaced).
package batcher

import (
	"context"

	"bagpipe/gpu"
	"bagpipe/shards"
	"bagpipe/stages"
	"bagpipe/stages/vision"
)

type Config struct {
	Split         *shards.Split
	Vision        vision.Config
	DType         gpu.DType
	Train         bool // augment, shuffle, drop the last partial batch, never end; else one ordered pass
	Batch         int  // samples a batch on this rank
	Rank, World   int
	Workers       int // 0 = GOMAXPROCS
	Ring          int // batches in flight; 0 = 3
	Seed          uint64
	Mixup         float64                                // alpha; 0 = off
	MixupOffEpoch int                                    // first epoch without mixup; 0 = never off
	AllocHost     func(size int) (gpu.HostBuffer, error) // nil: plain memory
}

// Position is where a stream of batches stands: the next batch to deliver.
type Position struct{ Step int } // global step; epoch = Step / StepsPerEpoch

type Batch struct {
	Epoch, Step int            // Step counts from 0 through the whole run
	N           int            // valid samples; below Config.Batch only at the end of an evaluation; the rest has Label -1 and zero pictures
	Images      gpu.HostBuffer // [Batch,Size,Size,3] of DType
	Labels      gpu.HostBuffer // int32[Batch]
	Partners    gpu.HostBuffer // int32[Batch]: labels of the mixed-in samples (=Labels without mixup)
	Lambda      gpu.HostBuffer // float32[Batch]: weight of Labels (1 without mixup)
	Index       []int          // record numbers
	Bad         int            // samples that could not be decoded and were replaced
}

func (b *Batch) Release() {}

type Loader struct{}

func New(ctx context.Context, c Config, from Position) (*Loader, error) { panic("pending") }
func (c Config) StepsPerEpoch() int                                     { panic("pending") }
func (l *Loader) Next(ctx context.Context) (*Batch, error)              { panic("pending") } // io.EOF at the end of an evaluation pass
func (l *Loader) Stats() []stages.Report                                { panic("pending") }
func (l *Loader) Close() error                                          { panic("pending") }
