package main

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"bagpipe/ingest"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// progress shows a bar on a terminal and a line every ten seconds elsewhere.
type progress struct {
	w     io.Writer
	begin time.Time
	bars  *mpb.Progress // nil: plain lines
	bar   *mpb.Bar
	last  time.Time
	rate  atomic.Value // string, read by the bar's own goroutine
}

const plainEvery, barEvery = 10 * time.Second, 100 * time.Millisecond

func newProgress(w io.Writer) *progress {
	p := &progress{w: w, begin: time.Now(), last: time.Now()}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.bars = mpb.New(mpb.WithOutput(f), mpb.WithWidth(40))
	}
	return p
}

// update is called after each picture.
func (p *progress) update(s ingest.Progress) {
	every := plainEvery
	if p.bars != nil {
		every = barEvery
		if p.bar == nil {
			p.bar = p.start(s.Total)
		}
	}
	now := time.Now()
	if now.Sub(p.last) < every && s.Pictures < s.Total {
		return
	}
	p.last = now
	t := now.Sub(p.begin).Seconds()
	rate := fmt.Sprintf("%.0f img/s, %.1f MB/s", float64(s.Pictures)/t, float64(s.Bytes)/1e6/t)
	if p.bar != nil {
		p.rate.Store(fmt.Sprintf(" %s, %d bad", rate, s.Bad))
		p.bar.SetCurrent(int64(s.Pictures))
		return
	}
	eta := time.Duration(t / float64(s.Pictures) * float64(s.Total-s.Pictures) * 1e9).Round(time.Second)
	fmt.Fprintf(p.w, "%d of %d pictures, %d bad, %s, %v left\n", s.Pictures, s.Total, s.Bad, rate, eta)
}

func (p *progress) start(total int) *mpb.Bar {
	p.rate.Store("")
	return p.bars.AddBar(int64(total),
		mpb.PrependDecorators(decor.CountersNoUnit("%d/%d")),
		mpb.AppendDecorators(
			decor.Any(func(decor.Statistics) string { return p.rate.Load().(string) }),
			decor.Name("  "), decor.AverageETA(decor.ET_STYLE_GO)))
}

// finish leaves the terminal in order; p may be nil.
func (p *progress) finish(ok bool) {
	if p == nil || p.bars == nil {
		return
	}
	if p.bar != nil && !ok {
		p.bar.Abort(false)
	} else if p.bar != nil {
		p.bar.SetTotal(-1, true)
	}
	p.bars.Wait()
}
