package stages

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Verdict names the stage that limits the pipeline, and what to change.
type Verdict struct {
	Stage string  // name of the limiting stage; empty while nothing has been done
	More  int     // workers that it would take, or that there are cores for; 0: none would help
	Gain  float64 // by what the rate would be multiplied with them; 1: by nothing
	Rate  float64 // elements a second to expect with them
	Text  string  // one line for people
	Short string  // the same in a few words, for a progress line
}

// Setting is what Judge has to know besides the reports.
type Setting struct {
	Cores int    // of the machine; 0: not known, no bound
	Unit  string // of elements, such as "img"
}

// enough is the part of its time that the consumer may wait for input before the
// input counts as the limit: below it, the remedies gain less than they cost.
const enough = 0.05

// Judge finds the limiting stage of a pipeline from its reports, first stage first.
// The last one is the consumer for whose sake the others run. If it hardly waits, or
// waits less than the stages before it, it is the limit itself; otherwise the limit
// is the stage before it that is busy for the largest part of its workers' time.
//
// The gain predicted is that of a rate in proportion to the workers, up to that of the
// slowest stage behind if it were never kept waiting, and up to the cores that are idle.
func Judge(reports []Report, set Setting) Verdict {
	last := len(reports) - 1
	if last < 0 || reports[last].N == 0 {
		return Verdict{Text: "no element has passed yet: nothing to judge", Gain: 1}
	}
	end := reports[last]
	limit := -1
	for i, r := range reports[:last] {
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
		return Verdict{Stage: end.Name, Gain: 1, Rate: float64(end.N) / max(seconds(end), 1e-9), Short: end.Name + "-bound",
			Text: fmt.Sprintf("%s-bound: input waits %.0f %% of the time; nothing to gain from more workers", end.Name, 100*waits)}
	}
	return advise(reports, limit, set)
}

// advise words the verdict on an input whose stage limit is the slowest.
func advise(reports []Report, limit int, set Setting) Verdict {
	r, end := reports[limit], reports[len(reports)-1]
	v := Verdict{Stage: r.Name, Gain: 1}
	part, waiting := of(reports, limit)
	v.Text = fmt.Sprintf("%s-bound: %.0f %% of CPU; ", r.Name, 100*part)
	idle := math.Inf(1)
	if waiting {
		v.Text = fmt.Sprintf("%s-bound: %.0f %% of the workers' time, most of it waiting; ", r.Name, 100*part)
	} else if set.Cores > 0 {
		idle = math.Floor(max(float64(set.Cores)-cores(reports), 0) + 0.25) // a core that is idle but for a while is none less
	}
	have := float64(max(r.Workers, 1))
	removes, most := missing(r, reports[limit+1:])
	now := float64(end.N) / max(seconds(end), 1e-9)
	gain := func(more float64) float64 { return min((have+more)/have, most) }
	more := min(removes, idle)
	switch {
	case idle < 1 && removes > have*endless:
		v.Text += fmt.Sprintf("no core is idle; each further one would give about %s", gives(gain(1)-1, now, set.Unit, "%+.0f %%", 100))
		v.Short = fmt.Sprintf("%s-bound, no core idle", r.Name)
	case idle < 1:
		v.Text += fmt.Sprintf("no core is idle; %s would give about %s", counted(removes, "more"), gives(gain(removes), now, set.Unit, "%.1fx", 1))
		v.Short = fmt.Sprintf("%s-bound, no core idle", r.Name)
	case more > have*endless: // nothing behind bounds it, and no number of cores is known
		v.Text += "more workers, up to the number of cores, help"
		v.Short = fmt.Sprintf("%s-bound, more workers help", r.Name)
	default:
		v.More, v.Gain = int(more), gain(more)
		v.Rate = v.Gain * now
		v.Text += fmt.Sprintf("%s would give about %s", counted(more, ""), gives(v.Gain, now, set.Unit, "%.1fx", 1))
		v.Short = fmt.Sprintf("%s-bound, +%d: %.1fx", r.Name, v.More, v.Gain)
	}
	if r.Remedy != "" {
		v.Text += "; or " + r.Remedy
	}
	return v
}

// endless is how many times its workers a stage must lack before their number means
// nothing: the consumer does no work to speak of.
const endless = 8

// gives words a gain: the factor or its share, and the rate.
func gives(gain, now float64, unit, format string, scale float64) string {
	rate := gain * now
	if scale != 1 {
		rate += now
	}
	return fmt.Sprintf(format+" (%s %s/s)", scale*gain, thousands(rate), unit)
}

func counted(n float64, more string) string {
	words := fmt.Sprintf("+%.0f workers", n)
	if more != "" {
		words = fmt.Sprintf("%.0f %s", n, more)
	}
	if n == 1 {
		words = strings.TrimSuffix(words, "s")
	}
	return words
}

// thousands writes a rate with separators.
func thousands(f float64) string {
	if f < 100 {
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	digits := strconv.FormatFloat(f, 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// of returns the part that a stage has in the processor time of those before the
// consumer or, where it is waiting for most of its time (for a disk, say), or nobody
// has measured, in their busy time.
func of(reports []Report, limit int) (part float64, waiting bool) {
	var busy, cpu time.Duration
	for _, r := range reports[:len(reports)-1] {
		busy, cpu = busy+r.Busy, cpu+r.CPU
	}
	r := reports[limit]
	if waiting = cpu > 0 && r.CPU < r.Busy/4; waiting || cpu == 0 {
		return float64(r.Busy) / float64(max(busy, 1)), waiting
	}
	return float64(r.CPU) / float64(cpu), false
}

// cores returns how many cores all stages have kept at work in the mean.
func cores(reports []Report) float64 {
	var busy, cpu time.Duration
	for _, r := range reports[:len(reports)-1] {
		busy, cpu = busy+r.Busy, cpu+r.CPU
	}
	end := reports[len(reports)-1]
	if cpu == 0 {
		cpu = busy
	}
	return (cpu + end.CPU).Seconds() / max(seconds(end), 1e-9)
}

// seconds is how long a stage has run.
func seconds(r Report) float64 {
	return (r.Busy + r.Starved + r.Blocked).Seconds() / float64(max(r.Workers, 1))
}

// missing estimates how many more workers stage r needs to keep up with the slowest of
// the stages behind it, each taken at the rate it would reach if never kept waiting, and
// by what that multiplies r's rate.
func missing(r Report, behind []Report) (more, gain float64) {
	for len(behind) > 0 && behind[0].fused {
		behind = behind[1:] // on r's own workers: more of them serve it, too
	}
	rate, want := float64(r.N)/max(seconds(r), 1e-9), math.Inf(1)
	for _, b := range behind {
		if b.N > 0 {
			want = min(want, float64(b.N)*float64(max(b.Workers, 1))/max(b.Busy.Seconds(), 1e-9))
		}
	}
	gain = max(want/max(rate, 1e-300), 1)
	return max(math.Ceil(float64(max(r.Workers, 1))*(gain-1)*(1-1e-9)), 1), gain
}
