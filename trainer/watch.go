package trainer

import (
	"fmt"
	"runtime"
	"time"

	"bagpipe/stages"
)

// watch judges the input of the steps between two lines of the log.
type watch struct {
	before  []stages.Report // of the first device's input, at the last line
	used    time.Duration   // of processor time, likewise
	workers int             // noted last

	wait    float64 // part of the steps that the device waited for input
	verdict stages.Verdict
}

// look judges what has been since the last call.
func (w *watch) look(replicas []*replica) {
	now, used := replicas[0].input.Stats(), stages.ProcessCPU()
	span := stages.Between(w.before, now, (used-w.used)/time.Duration(len(replicas)))
	w.before, w.used = now, used
	w.verdict, w.wait = judge(span), 0
	end := span[len(span)-1]
	if all := end.Busy + end.Starved; all > 0 {
		w.wait = end.Starved.Seconds() / all.Seconds()
	}
}

// noteWorkers says how many workers were found to do, when that has settled.
func (w *watch) noteWorkers(o Observer, replicas []*replica) {
	in := replicas[0].input
	n, settled := in.Workers()
	if most := in.MostWorkers(); most > 0 && settled && n != w.workers {
		w.workers = n
		o.Note(fmt.Sprintf("input: %d of at most %d workers a device; it waits %.0f %% of the time (--workers N fixes their number)", n, most, 100*w.wait))
	}
}

// judge is stages.Judge on this machine.
func judge(reports []stages.Report) stages.Verdict {
	return stages.Judge(reports, stages.Setting{Cores: runtime.NumCPU(), Unit: "img"})
}
