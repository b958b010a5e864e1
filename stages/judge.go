package stages

import (
	"fmt"
	"math"
	"time"
)

// Verdict names the stage that limits the pipeline, and what to change.
type Verdict struct {
	Stage string // name of the limiting stage; empty while nothing has been done
	Text  string // one line for people
}

// enough is the part of its time that the consumer may wait for input before the
// input counts as the limit: below it, the remedies gain less than they cost.
const enough = 0.05

// Judge finds the limiting stage of a pipeline from its reports, first stage first.
// The last one is the consumer for whose sake the others run. If it hardly waits, or
// waits less than the stages before it, it is the limit itself; otherwise the limit
// is the stage before it that is busy for the largest part of its workers' time.
func Judge(reports []Report) Verdict {
	last := len(reports) - 1
	if last < 0 || reports[last].N == 0 {
		return Verdict{Text: "no element has passed yet: nothing to judge"}
	}
	end := reports[last]
	limit, total := -1, time.Duration(0)
	for i, r := range reports[:last] {
		total += r.Busy
		if limit < 0 || r.Share() > reports[limit].Share() {
			limit = i
		}
	}
	starved, waits := share(end.Starved, end), 0.0
	if limit >= 0 {
		// What is fused behind the limit is its own workers' work, so the wait of the
		// stage next to the consumer is the wait for the consumer.
		waits = share(reports[last-1].Blocked, reports[last-1])
	}
	if limit < 0 || starved <= enough || waits > starved {
		return Verdict{end.Name, fmt.Sprintf("%s-bound: input waits %.0f %% of the time; nothing to gain from more workers",
			end.Name, 100*waits)}
	}
	r := reports[limit]
	text := fmt.Sprintf("%s-bound: %.0f %% of CPU; ", r.Name, 100*float64(r.Busy)/float64(max(total, 1)))
	more := missing(r, reports[limit+1:])
	workers := fmt.Sprintf("+%d workers", more)
	switch {
	case more == 1:
		workers = "+1 worker"
	case more > 8*r.Workers:
		workers = "more workers, up to the number of cores,"
	}
	verb := "removes"
	if more > 1 {
		verb = "remove"
	}
	if r.Remedy != "" {
		workers, verb = workers+" or "+r.Remedy, "remove"
	}
	if more > 8*r.Workers {
		return Verdict{r.Name, text + workers + " help"}
	}
	return Verdict{r.Name, text + workers + " " + verb + " it"}
}

// missing estimates how many more workers stage r needs to keep up with the slowest
// of the stages behind it, each taken at the rate it would reach if never kept
// waiting.
func missing(r Report, behind []Report) int {
	run := float64(r.Busy+r.Starved+r.Blocked) / float64(max(r.Workers, 1))
	rate, want := float64(r.N)/max(run, 1), math.Inf(1)
	for _, b := range behind {
		if b.N > 0 {
			want = min(want, float64(b.N)*float64(max(b.Workers, 1))/max(float64(b.Busy), 1))
		}
	}
	more := math.Ceil(float64(r.Workers) * (want/max(rate, 1e-300) - 1) * (1 - 1e-9))
	return int(min(max(more, 1), 1<<30))
}
