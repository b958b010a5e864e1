// Package batcher turns a split of a data set into finished batches: pictures are
// read, decoded and augmented by parallel workers, each straight into its slot of a
// batch, mixed up (arXiv:1710.09412), and delivered in order.
//
// Batches live in a ring of fixed size: taking a free one is the back-pressure. Ring and
// workers' scratch are all the memory that the loader ever holds; a Budget is a ceiling
// on both. A Batch belongs to whoever got it from Loader.Next until its Release, and
// its memory to the Loader, which frees it in Close.
//
// The stream of batches is a function of the data set, Config.Seed and the position:
// bit-identical for any number of workers, ring size and GOMAXPROCS, for a start at
// any Position, and for any split over ranks (the ranks' batches laid end to end are
// the batch of one rank, up to mixup's partners, which are picked within a rank).
//
// A damaged picture never stops a run: see Batch.Bad. A disk that fails does: see
// Loader.Next.
package batcher

import (
	"errors"
	"fmt"
	"math"

	"bagpipe/gpu"
	"bagpipe/internal/cores"
	"bagpipe/shards"
	"bagpipe/stages/vision"
)

// Source is a split of a data set, such as a *shards.Split. Its methods are called
// from several goroutines at once.
type Source interface {
	// Len returns the number of records.
	Len() int
	// Label returns the class of record i.
	Label(i int) int32
	// Read returns the encoded picture of record i, valid until the next call with
	// the same buf, which it may grow and use. Another record takes the place of one
	// with an error of which shards.OfRecord is true; any other error ends the loader.
	Read(i int, buf *[]byte) ([]byte, error)
}

// Config says which batches a Loader makes.
type Config struct {
	Source Source
	Vision vision.Config
	DType  gpu.DType // of the pictures: float32, float16 or bfloat16
	// Train augments, shuffles each epoch anew, drops the last partial global batch
	// and never ends. Otherwise the records come once, in order, and the last batch
	// is padded.
	Train bool
	Batch int // samples a batch on this rank
	// Rank of World takes part Rank of every global batch of World*Batch samples.
	// World 0 means 1.
	Rank, World int
	Workers     int // goroutines that read and decode; 0 = one a core
	// Auto lets the loader find out how many of the Workers the consumer needs, from
	// how long it waits, and go on with that many. The batches do not depend on it.
	Auto     bool
	Consumer string // its name in Stats; "" = consumer
	Ring     int    // batches in memory; 0 = 3: one with the device, one ready, one being filled
	Seed     uint64
	// ShuffleBlock shuffles training in blocks of so many consecutive records, for
	// storage that is fast in sequence alone (shards.NewBlockOrder); 0 = in full.
	ShuffleBlock int
	// Mixup is the alpha of mixup's Beta(alpha, alpha); 0 = off. It acts in training
	// only.
	Mixup         float64
	MixupOffEpoch int                                    // first epoch without mixup; 0 = never off
	AllocHost     func(size int) (gpu.HostBuffer, error) // of pinned memory; nil: plain memory

	// Budget is a ceiling on memory; nil: none. With one, Ring and Workers are the most
	// that there may be; Loader.Memory tells what was chosen. The batches do not depend
	// on it. Parts are the loaders among which the Budget is divided evenly; 0 means 1.
	Budget *Budget
	Parts  int

	plainHost    bool                      // AllocHost is of the Go heap
	newProcessor func() (processor, error) // stands in for vision in tests
}

// processor is what a worker needs of a *vision.Processor.
type processor interface {
	Process(dst, src []byte, seed uint64, epoch, index int) error
	Close()
}

// Position is where a stream of batches stands: the next batch to deliver. It is all
// that a checkpoint has to keep of the input.
type Position struct {
	Step int // counted from 0 through the whole run; epoch = Step / StepsPerEpoch
}

// maxBatch bounds the bytes of one batch's pictures: more is a slip of the keyboard.
const maxBatch = 1 << 35

// Validate returns every fault of the configuration in one error, or nil.
func (c Config) Validate() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf("batcher: "+format, args...))
		}
	}
	fault(c.Source == nil, "no source of records")
	fault(c.DType != gpu.Float32 && c.DType != gpu.Float16 && c.DType != gpu.BFloat16,
		"dtype %d of the pictures, want float32, float16 or bfloat16", c.DType)
	fault(c.Batch < 1, "batch of %d samples, want at least 1", c.Batch)
	fault(c.World < 0, "world of %d ranks, want at least 1", c.World)
	fault(c.Rank < 0 || c.Rank >= max(c.World, 1), "rank %d of a world of %d", c.Rank, max(c.World, 1))
	fault(c.Workers < 0, "%d workers, want at least 1 (0 = all cores)", c.Workers)
	fault(c.Ring < 0, "ring of %d batches, want at least 1 (0 = 3)", c.Ring)
	fault(c.Parts < 0, "one of %d parts of the memory, want at least 1", c.Parts)
	fault(c.ShuffleBlock < 0, "shuffle blocks of %d records, want at least 1 (0 = shuffle in full)", c.ShuffleBlock)
	fault(!(c.Mixup >= 0) || math.IsInf(c.Mixup, 1), "mixup alpha %g, want a finite number of at least 0", c.Mixup)
	fault(c.MixupOffEpoch < 0, "mixup off from epoch %d, want at least 0", c.MixupOffEpoch)
	fault(c.Vision.Size < 1, "pictures of side %d, want at least 1", c.Vision.Size)
	if c.DType <= gpu.BFloat16 && c.Vision.Size > 0 && c.Batch > 0 {
		size := float64(c.Vision.Size)
		bytes := size * size * 3 * float64(c.DType.Size()) * float64(c.Batch)
		fault(bytes > maxBatch, "a batch of %d pictures of side %d takes %.0f GiB, want at most %d: lower one of them",
			c.Batch, c.Vision.Size, bytes/(1<<30), maxBatch>>30)
	}
	if c.Source != nil && c.Batch > 0 {
		n, world := c.Source.Len(), max(c.World, 1)
		switch {
		case n < 1:
			fault(true, "the split has no records")
		case c.Train && n/world < c.Batch:
			remedy := fmt.Sprintf("lower the batch to at most %d a rank", n/world)
			if n < world {
				remedy = fmt.Sprintf("use at most %d ranks", n)
			}
			fault(true, "%d records are fewer than one global batch of %d x %d (batch x ranks): %s or train on more pictures",
				n, c.Batch, world, remedy)
		}
	}
	return errors.Join(faults...)
}

// StepsPerEpoch returns the batches of an epoch, which is the same on every rank: of
// whole global batches in training, with the padded one in evaluation.
func (c Config) StepsPerEpoch() int {
	if c.Source == nil || c.Batch < 1 {
		return 0
	}
	n, world := c.Source.Len(), max(c.World, 1)
	if c.Train {
		return n / world / c.Batch
	}
	perRank := n/world + min(n%world, 1)
	return perRank/c.Batch + min(perRank%c.Batch, 1)
}

// order returns the order of an epoch.
func (c Config) order(epoch int) shards.Order {
	if c.Train && c.ShuffleBlock > 0 {
		return shards.NewBlockOrder(c.Source.Len(), c.Seed, epoch, c.ShuffleBlock)
	}
	return shards.NewOrder(c.Source.Len(), c.Seed, epoch, c.Train)
}

// sampleBytes is the size of one slot of Batch.Images.
func (c Config) sampleBytes() int {
	return c.Vision.Size * c.Vision.Size * 3 * c.DType.Size()
}

// resolved fills in the defaults.
func (c Config) resolved() Config {
	c.World, c.Parts = max(c.World, 1), max(c.Parts, 1)
	if c.Workers == 0 {
		c.Workers = cores.N()
	}
	if c.Ring == 0 {
		c.Ring = 3
	}
	if c.Consumer == "" {
		c.Consumer = "consumer"
	}
	if c.AllocHost == nil {
		c.AllocHost, c.plainHost = allocPlain, true
	}
	if c.newProcessor == nil {
		c.newProcessor = func() (processor, error) {
			if c.Train {
				return vision.NewTrain(c.Vision, c.DType)
			}
			return vision.NewEval(c.Vision, c.DType)
		}
	}
	return c
}
