package cli

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// Progress shows a bar on a terminal and a line every ten seconds elsewhere. Its
// methods belong to one goroutine; those of a nil Progress do nothing.
type Progress struct {
	w     io.Writer
	unit  string // plural
	bars  *mpb.Progress
	bar   *mpb.Bar // nil without a terminal
	begin time.Time
	last  time.Time // when something was shown
	first int
	total int
	right atomic.Value // string beside the bar, read by the bar's own goroutine
}

const plainEvery, barEvery = 10 * time.Second, 100 * time.Millisecond

// NewProgress returns a Progress that counts units, such as "pictures", on w.
func NewProgress(w io.Writer, unit string) *Progress { return &Progress{w: w, unit: unit} }

// Start begins to count from first to total, anew if it has counted before.
func (p *Progress) Start(first, total int) {
	if p == nil {
		return
	}
	p.Finish(true)
	p.first, p.total, p.begin, p.last = first, total, time.Now(), time.Now()
	f, ok := p.w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return
	}
	p.right.Store("")
	p.bars = mpb.New(mpb.WithOutput(f), mpb.WithWidth(30))
	// A bar that is given its total only now does not end of itself when it gets there,
	// so that the lines written after that are still shown.
	p.bar = p.bars.AddBar(0, mpb.PrependDecorators(decor.CountersNoUnit("%d/%d")),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return p.right.Load().(string) })))
	p.bar.SetTotal(int64(total), false)
	p.bar.SetCurrent(int64(first))
}

// Set says that n of the total are done; text is asked for what else to show when
// it is time to show something.
func (p *Progress) Set(n int, text func() string) {
	if p == nil {
		return
	}
	now, every := time.Now(), plainEvery
	if p.bar != nil {
		every = barEvery
	}
	if now.Sub(p.last) < every && n < p.total {
		return
	}
	p.last = now
	left := p.left(now, n)
	if p.bar != nil {
		p.right.Store(fmt.Sprintf(" %s, %v left", text(), left))
		p.bar.SetCurrent(int64(n))
		return
	}
	fmt.Fprintf(p.w, "%d of %d %s, %s, %v left\n", n, p.total, p.unit, text(), left)
}

// left estimates the time to the end from the rate so far.
func (p *Progress) left(now time.Time, n int) time.Duration {
	each := now.Sub(p.begin) / time.Duration(max(n-p.first, 1))
	return (each * time.Duration(p.total-n)).Round(time.Second)
}

// Printf writes a line, above the bar if there is one.
func (p *Progress) Printf(format string, args ...any) {
	if p == nil {
		return
	}
	w := p.w
	if p.bar != nil {
		w = p.bars
	}
	fmt.Fprintf(w, format+"\n", args...)
}

// Finish leaves the terminal in order; all says whether the total was reached.
func (p *Progress) Finish(all bool) {
	if p == nil || p.bar == nil {
		return
	}
	if all {
		p.bar.SetTotal(-1, true)
	} else {
		p.bar.Abort(false)
	}
	p.bars.Wait()
	p.bars, p.bar = nil, nil
}
