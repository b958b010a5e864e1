package ingest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"bagpipe/internal/cores"
	"bagpipe/shards"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

// Budgets of what is in memory at once, so that many workers on large pictures stay within them. A picture
// above a budget waits until it is alone.
const (
	sourceBudget = 256 << 20 // bytes of encoded pictures
	pixelBudget  = 100 << 20 // pixels being decoded; a decoder takes 4 to 11 bytes for each
)

// Options of Shardify. Header and Decode are required; the rest has a useful zero value.
type Options struct {
	// Header finds size, components and format of a picture without decoding it. Its error is a reason to
	// leave the picture out; pictures too large to be decoded are to be refused here. Called as Decode is.
	Header func(src []byte) (shards.Meta, error)

	// Decode turns a picture into 8-bit RGB, row by row. Called from several goroutines at once. Its error is
	// the reason a picture is left out.
	Decode func(src []byte) (pix []byte, w, h int, err error)

	Workers     int     // 0 = one a core; does not change a byte of the result
	Codec       string  // auto, none, lz4, zstd; "" = auto
	ShardBytes  int64   // 0 = shards.DefaultShardBytes
	StatsSample int     // training pictures to measure, about; 0 = none
	ValFraction float64 // share of train to hold out as val when there is no other split
	MaxBad      float64 // share of pictures that may be bad; 0 = DefaultMaxBad, negative = none
	Strict      bool    // any bad picture is an error
	Force       bool    // replace a data set at the destination

	Progress func(Progress)                         // called after each picture, from one goroutine; may be nil
	Create   func(path string) (shards.File, error) // see shards.WriterOptions
}

// DefaultMaxBad is the share of bad pictures above which a source is taken for damaged.
const DefaultMaxBad = 0.01

// maxSkippedListed bounds the list of skipped files in the manifest; all are counted.
const maxSkippedListed = 1000

// Validate lists every fault at once, by the flags of shardify.
func (o Options) Validate() error {
	var errs []error
	if o.Header == nil || o.Decode == nil {
		errs = append(errs, errors.New("ingest: no decoder: Header and Decode are required"))
	}
	if o.Workers < 0 || o.Workers > 4096 {
		errs = append(errs, fmt.Errorf("ingest: --workers %d, want 0 to 4096", o.Workers))
	}
	if o.StatsSample < 0 {
		errs = append(errs, fmt.Errorf("ingest: --stats %d, want 0 or more pictures", o.StatsSample))
	}
	if !(o.ValFraction >= 0 && o.ValFraction < 1) {
		errs = append(errs, fmt.Errorf("ingest: --val-fraction %g, want 0 up to below 1", o.ValFraction))
	}
	if math.IsNaN(o.MaxBad) || o.MaxBad > 1 {
		errs = append(errs, fmt.Errorf("ingest: --max-bad %g, want at most 1", o.MaxBad))
	}
	return errors.Join(append(errs, shards.WriterOptions{ShardBytes: o.ShardBytes, Codec: o.Codec}.Validate())...)
}

// Progress is how far Shardify is.
type Progress struct {
	Pictures, Total int   // seen, bad ones included, of how many
	Bad             int   // left out so far
	Bytes           int64 // of the pictures seen
}

// Report is what Shardify did.
type Report struct {
	Manifest *shards.Manifest
	Pictures int      // written
	Bad      int      // left out
	Skipped  int      // files that are no pictures
	Notes    []string // what was assumed about the layout of the source
	Elapsed  time.Duration
}

// Shardify turns the pictures at src into a data set at dst. Every picture is decoded once, so that a bad one
// is found now and not in training: it is listed in the manifest and left out. The result depends on the
// source and on codec, shard size, sample and fraction alone. On any error, and when ctx ends, nothing is left
// at dst.
//
// One goroutine reads, Workers decode and compress, one writes in the order of the source. At most
// 3 x Workers + 2 encoded pictures are in memory, Workers of them decoded, and no more than the budgets allow.
func Shardify(ctx context.Context, src, dst string, o Options) (Report, error) {
	begin := time.Now()
	if err := o.Validate(); err != nil {
		return Report{}, err
	}
	if o.Workers == 0 {
		o.Workers = cores.N()
	}
	if o.MaxBad == 0 {
		o.MaxBad = DefaultMaxBad
	}
	s, err := Scan(ctx, src, o.ValFraction)
	if err != nil {
		return Report{}, err
	}
	if err := s.outside(dst); err != nil {
		return Report{}, err
	}
	w, err := shards.NewWriter(dst, shards.WriterOptions{ShardBytes: o.ShardBytes, Codec: o.Codec, Force: o.Force, Create: o.Create})
	if err != nil {
		return Report{}, err
	}
	defer w.Abort()
	j := newJob(s, o, w)
	for _, split := range s.Splits {
		if err := w.Split(split); err != nil {
			return Report{}, err
		}
		if err := j.run(ctx, split); err != nil {
			return Report{}, err
		}
	}
	if err := j.judge(); err != nil {
		return Report{}, err
	}
	notes, err := j.gaps()
	if err != nil {
		return Report{}, err
	}
	if err := ctx.Err(); err != nil {
		return Report{}, err
	}
	m, err := w.Finish(shards.Summary{Classes: s.Classes, Bad: j.bad, Skipped: j.skipped, Skips: j.skips, Stats: j.sum.stats()})
	if err != nil {
		return Report{}, err
	}
	return Report{Manifest: m, Pictures: j.seen.Pictures - len(j.bad), Bad: len(j.bad), Skipped: j.skipCount,
		Notes: append(slices.Clone(s.Notes), notes...), Elapsed: time.Since(begin)}, nil
}

// job is the state of one run. w and the fields below belong to the writing goroutine.
type job struct {
	s      *Source
	o      Options
	labels map[string]int32
	chance float64 // of a training picture to be in the sample
	// trained has the labels that a good training picture has.
	trained map[int32]bool

	source *semaphore.Weighted // sourceBudget
	pixels *semaphore.Weighted // pixelBudget

	w         *shards.Writer
	bad       []shards.Bad
	skipped   []shards.Bad
	skips     map[string]int
	skipCount int
	sum       moments
	seen      Progress
}

func newJob(s *Source, o Options, w *shards.Writer) *job {
	j := &job{s: s, o: o, w: w, labels: map[string]int32{}, skips: map[string]int{}, trained: map[int32]bool{},
		source: semaphore.NewWeighted(sourceBudget), pixels: semaphore.NewWeighted(pixelBudget)}
	for i, c := range s.Classes {
		j.labels[c] = int32(i)
	}
	for _, n := range s.Count {
		j.seen.Total += n
	}
	if n := s.Count["train"]; n > 0 {
		j.chance = float64(o.StatsSample) / float64(n)
	}
	return j
}

// ticket is a turn in the output with its work: result is filled, then done closed.
type ticket struct {
	item   Item
	record shards.Record
	sum    moments
	bad    string
	done   chan struct{}
}

// weight is what the ticket takes of the source budget.
func (t *ticket) weight() int64 { return min(int64(len(t.item.Data)), sourceBudget) }

// run takes a split through reader, workers and writer. The turn is reserved before the work is given out, so
// the order of the source survives any number of workers.
func (j *job) run(ctx context.Context, split string) error {
	g, ctx := errgroup.WithContext(ctx)
	work := make(chan *ticket)
	turns := make(chan *ticket, 2*j.o.Workers)
	send := func(c chan<- *ticket, t *ticket) bool {
		select {
		case c <- t:
			return true
		case <-ctx.Done():
			return false
		}
	}
	g.Go(func() error {
		defer close(work)
		defer close(turns)
		for item, err := range j.s.Items(ctx, split) {
			if err != nil {
				return err
			}
			label, ok := j.labels[item.Class]
			if !ok && item.Skip == "" {
				return fmt.Errorf("ingest: %s: class %q was not there before: the source has changed while it was read (run shardify again)", j.s.Dir, item.Class)
			}
			t := &ticket{item: item, bad: item.Bad, done: make(chan struct{})}
			t.record.Label = label
			ready := item.Skip != "" || item.Bad != ""
			if ready {
				close(t.done)
			}
			if err := j.source.Acquire(ctx, t.weight()); err != nil {
				return err
			}
			if !send(turns, t) || !ready && !send(work, t) {
				return ctx.Err()
			}
		}
		return nil
	})
	for range j.o.Workers {
		g.Go(func() error { return j.work(ctx, work) })
	}
	g.Go(func() error {
		for t := range turns {
			select {
			case <-t.done:
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := j.write(split, t); err != nil {
				return err
			}
			j.source.Release(t.weight())
		}
		return nil
	})
	return g.Wait()
}

func (j *job) work(ctx context.Context, in <-chan *ticket) error {
	enc, err := shards.NewEncoder(j.o.Codec)
	if err != nil {
		return err
	}
	for t := range in {
		if err := j.examine(ctx, t, enc); err != nil {
			t.bad = err.Error()
		}
		close(t.done)
	}
	return nil
}

// examine decodes a picture and prepares its record; the error is why it is bad.
func (j *job) examine(ctx context.Context, t *ticket, enc *shards.Encoder) error {
	data := t.item.Data
	if len(data) == 0 {
		return errors.New("empty file")
	}
	m, err := j.o.Header(data)
	if err != nil {
		return err
	}
	if m.Width < 1 || m.Height < 1 || m.Width > shards.MaxSide || m.Height > shards.MaxSide {
		return fmt.Errorf("%d x %d pixels, want sides of 1 to %d", m.Width, m.Height, shards.MaxSide)
	}
	need := min(int64(m.Width)*int64(m.Height), pixelBudget)
	if err := j.pixels.Acquire(ctx, need); err != nil {
		return err // nobody will read it
	}
	defer j.pixels.Release(need)
	pix, w, h, err := j.o.Decode(data)
	if err != nil {
		return err
	}
	if w < 1 || h < 1 || w > shards.MaxSide || h > shards.MaxSide || len(pix) < 3*w*h {
		return fmt.Errorf("decoded to %d x %d pixels", w, h)
	}
	m.Width, m.Height, m.Label = w, h, t.record.Label // a GIF's header has the screen's size
	if t.item.Split == "train" && j.chance > 0 && hashUnit("stats", t.item.Name) < j.chance {
		t.sum.measure(pix[:3*w*h])
	}
	stored, codec := enc.Encode(nil, data)
	t.record = shards.Record{Meta: m, Name: t.item.Name, Data: stored, Raw: len(data), Codec: codec}
	return nil
}

// write takes a finished ticket in its turn.
func (j *job) write(split string, t *ticket) error {
	if t.item.Skip != "" {
		j.skips[split]++
		j.skipCount++
		if len(j.skipped) < maxSkippedListed {
			j.skipped = append(j.skipped, shards.Bad{Split: split, Name: t.item.Name, Reason: t.item.Skip})
		}
		return nil
	}
	j.seen.Pictures++
	j.seen.Bytes += int64(len(t.item.Data))
	if t.bad != "" {
		j.seen.Bad++
		j.bad = append(j.bad, shards.Bad{Split: split, Name: t.item.Name, Reason: t.bad})
		// Going on names more of the bad ones, but not for ever.
		if limit := j.limit(); len(j.bad) > limit+1000 {
			return j.judge()
		}
	} else {
		j.sum.add(t.sum)
		if split == "train" {
			j.trained[t.record.Label] = true
		}
		if err := j.w.Add(t.record); err != nil {
			return err
		}
	}
	if j.o.Progress != nil {
		j.o.Progress(j.seen)
	}
	return nil
}

// limit is how many bad pictures are borne.
func (j *job) limit() int {
	if j.o.Strict || j.o.MaxBad < 0 {
		return 0
	}
	return int(j.o.MaxBad*float64(j.seen.Total) + 1e-6) // 0.29 x 100 is 28.999999999999996
}

// gaps looks for what the bad pictures have taken away whole: all of train, which is refused, or all that a
// class has there, which is noted.
func (j *job) gaps() (notes []string, err error) {
	if !slices.Contains(j.s.Splits, "train") {
		return nil, nil
	}
	var empty []string
	for i, class := range j.s.Classes {
		if !j.trained[int32(i)] {
			empty = append(empty, class)
		}
	}
	switch {
	case len(empty) == len(j.s.Classes):
		return nil, fmt.Errorf("ingest: %s: train has no good picture, so nothing can be learnt (%d are bad; --strict names the first of them)", j.s.Dir, len(j.bad))
	case len(empty) > 0:
		return []string{fmt.Sprintf("%d of %d classes have no good training picture, such as %q", len(empty), len(j.s.Classes), empty[:min(3, len(empty))])}, nil
	}
	return nil, nil
}

// judge refuses a source with too many bad pictures, naming the first of them, and one without good ones.
func (j *job) judge() error {
	limit := j.limit()
	none := len(j.bad) == j.seen.Pictures
	if len(j.bad) <= limit && !none {
		return nil
	}
	var names []string
	for _, b := range j.bad[:min(3, len(j.bad))] {
		names = append(names, fmt.Sprintf("%s/%s: %s", b.Split, b.Name, b.Reason))
	}
	more := ""
	if n := len(j.bad) - len(names); n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	remedy := "raise --max-bad to leave them out"
	switch {
	case none:
		remedy = "nothing would be left without them"
	case j.o.Strict:
		remedy = "repair or remove them, or run without --strict"
	}
	return fmt.Errorf("ingest: %s: %d of %d pictures are bad, at most %d may be: %q%s (%s)",
		j.s.Dir, len(j.bad), j.seen.Total, limit, names, more, remedy)
}
