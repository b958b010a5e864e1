package stages

import (
	"context"
	"math"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestJudge(t *testing.T) {
	s, ms := time.Second, time.Millisecond
	nothing := Verdict{Gain: 1, Text: "no element has passed yet: nothing to judge"}
	device := func(waits string) Verdict {
		return Verdict{Stage: "device", Gain: 1, Short: "device-bound", Text: "device-bound: input waits " + waits + " of the time; nothing to gain from more workers"}
	}
	for _, tt := range []struct {
		name    string
		cores   int
		reports []Report
		want    Verdict
	}{
		{"nothing yet", 8, []Report{{Name: "decode", Workers: 2}, {Name: "device", Workers: 1}}, nothing},
		{"no stages", 8, nil, nothing},
		{"input is the limit", 8, []Report{
			// Two workers for 100 s: 29 % read, 71 % decode; the device could take 2.5 times as much.
			{Name: "read", Workers: 2, N: 1000, Busy: 58 * s, Blocked: 142 * s},
			{Name: "decode", Workers: 2, N: 1000, Busy: 142 * s, Starved: 58 * s, Remedy: "coefficient shards"},
			{Name: "device", Workers: 1, N: 1000, Busy: 40 * s, Starved: 60 * s},
		}, Verdict{"decode", 3, 2.5, 25, "decode-bound: 71 % of CPU; +3 workers would give about 2.5x (25.0 img/s); or coefficient shards", "decode-bound, +3: 2.5x"}},
		{"fewer cores than that", 3, []Report{
			{Name: "decode", Workers: 2, N: 1000000, Busy: 200 * s},
			{Name: "device", Workers: 1, N: 1000000, Busy: 40 * s, Starved: 60 * s},
		}, Verdict{"decode", 1, 1.5, 15000, "decode-bound: 100 % of CPU; +1 worker would give about 1.5x (15,000 img/s)", "decode-bound, +1: 1.5x"}},
		{"none at all", 2, []Report{
			{Name: "decode", Workers: 2, N: 1000, Busy: 200 * s, Remedy: "coefficient shards"},
			{Name: "device", Workers: 1, N: 1000, Busy: 40 * s, Starved: 60 * s},
		}, Verdict{"decode", 0, 1, 0, "decode-bound: 100 % of CPU; no core is idle; 3 more would give about 2.5x (25.0 img/s); or coefficient shards", "decode-bound, no core idle"}},
		{"the device takes the cores", 2, []Report{
			{Name: "decode", Workers: 1, N: 1000, Busy: 100 * s, CPU: 60 * s},
			{Name: "device", Workers: 1, N: 1000, Busy: 40 * s, Starved: 60 * s, CPU: 135 * s},
		}, Verdict{"decode", 0, 1, 0, "decode-bound: 100 % of CPU; no core is idle; 2 more would give about 2.5x (25.0 img/s)", "decode-bound, no core idle"}},
		{"one worker more, no remedy", 0, []Report{
			{Name: "decode", Workers: 2, N: 1000, Busy: 200 * s},
			{Name: "device", Workers: 1, N: 1000, Busy: 80 * s, Starved: 20 * s},
		}, Verdict{"decode", 1, 1.25, 12.5, "decode-bound: 100 % of CPU; +1 worker would give about 1.2x (12.5 img/s)", "decode-bound, +1: 1.2x"}},
		{"the slowest stage behind counts", 8, []Report{
			{Name: "decode", Workers: 1, N: 1000, Busy: 100 * s},
			{Name: "pack", Workers: 1, N: 1000, Busy: 50 * s, Starved: 50 * s},
			{Name: "device", Workers: 1, N: 1000, Busy: 10 * s, Starved: 90 * s},
		}, Verdict{"decode", 1, 2, 20, "decode-bound: 67 % of CPU; +1 worker would give about 2.0x (20.0 img/s)", "decode-bound, +1: 2.0x"}},
		{"what is fused with the limit does not", 8, []Report{
			{Name: "decode", Workers: 1, N: 1000, Busy: 60 * s, Blocked: 40 * s},
			{Name: "pack", Workers: 1, N: 1000, Busy: 40 * s, Starved: 60 * s, fused: true},
			{Name: "device", Workers: 1, N: 1000, Busy: 25 * s, Starved: 75 * s},
		}, Verdict{"decode", 3, 4, 40, "decode-bound: 60 % of CPU; +3 workers would give about 4.0x (40.0 img/s)", "decode-bound, +3: 4.0x"}},
		{"a slow disk needs no core", 1, []Report{
			{Name: "read", Workers: 1, N: 1000, Busy: 90 * s, Blocked: 10 * s, CPU: s, Remedy: "a faster disk"},
			{Name: "decode", Workers: 1, N: 1000, Busy: 10 * s, Starved: 90 * s, CPU: 9 * s, fused: true},
			{Name: "device", Workers: 1, N: 1000, Busy: 50 * s, Starved: 50 * s},
		}, Verdict{"read", 1, 2, 20, "read-bound: 90 % of the workers' time, most of it waiting; +1 worker would give about 2.0x (20.0 img/s); or a faster disk", "read-bound, +1: 2.0x"}},
		{"a consumer without work", 16, []Report{
			{Name: "decode", Workers: 2, N: 15500, Busy: 200 * s},
			{Name: "count", Workers: 1, N: 15500, Busy: ms, Starved: 100 * s},
		}, Verdict{"decode", 14, 8, 1239.99, "decode-bound: 100 % of CPU; +14 workers would give about 8.0x (1,240 img/s)", "decode-bound, +14: 8.0x"}},
		{"a consumer without work, no core left", 2, []Report{
			{Name: "decode", Workers: 2, N: 15500, Busy: 200 * s},
			{Name: "count", Workers: 1, N: 15500, Busy: ms, Starved: 100 * s},
		}, Verdict{"decode", 0, 1, 0, "decode-bound: 100 % of CPU; no core is idle; each further one would give about +50 % (232 img/s)", "decode-bound, no core idle"}},
		{"a consumer without work, cores not known", 0, []Report{
			{Name: "decode", Workers: 2, N: 1000, Busy: 200 * s},
			{Name: "count", Workers: 1, N: 1000, Busy: ms, Starved: 100 * s},
		}, Verdict{"decode", 0, 1, 0, "decode-bound: 100 % of CPU; more workers, up to the number of cores, help", "decode-bound, more workers help"}},
		{"device is the limit", 8, []Report{
			{Name: "decode", Workers: 2, N: 1000, Busy: 74 * s, Blocked: 126 * s},
			{Name: "device", Workers: 1, N: 1000, Busy: 99 * s, Starved: s},
		}, device("63 %")},
		{"device waits at the start of a short run only", 8, []Report{
			{Name: "decode", Workers: 1, N: 10, Busy: 3 * s, Blocked: 7 * s},
			{Name: "device", Workers: 1, N: 10, Busy: 8 * s, Starved: 2 * s},
		}, device("70 %")},
		{"a consumer alone", 8, []Report{{Name: "device", Workers: 1, N: 10, Starved: s}}, device("0 %")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Judge(tt.reports, Setting{Cores: tt.cores, Unit: "img"})
			if got.Stage == "device" || got.More == 0 {
				got.Rate = 0
			}
			if got.Gain, got.Rate = math.Round(100*got.Gain)/100, math.Round(100*got.Rate)/100; got != tt.want {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

// TestBetween takes a warm-up from the counters and gives the process's other time to
// the consumer.
func TestBetween(t *testing.T) {
	s := time.Second
	before := []Report{{Name: "a", N: 5, Busy: 4 * s, CPU: 3 * s, queue: 10, samples: 10}, {Name: "b", N: 4, Starved: s}}
	after := []Report{{Name: "a", N: 15, Busy: 9 * s, CPU: 7 * s, queue: 40, samples: 20, Queue: 2}, {Name: "b", N: 14, Starved: 3 * s}}
	got := Between(before, after, 10*s)
	want := []Report{{Name: "a", N: 10, Busy: 5 * s, CPU: 4 * s, queue: 30, samples: 10, Queue: 3}, {Name: "b", N: 10, Starved: 2 * s, CPU: 6 * s}}
	if !slices.Equal(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got := Between(nil, after, 0); !slices.Equal(got, []Report{{Name: "a", N: 15, Busy: 9 * s, CPU: 7 * s, queue: 40, samples: 20, Queue: 2},
		{Name: "b", N: 14, Starved: 3 * s}}) {
		t.Errorf("from the start: %+v", got)
	}
}

// TestCPU tells work from waiting. Elements that change threads are not measured, so
// there may be none.
func TestCPU(t *testing.T) {
	if ThreadCPU() == (CPU{}) {
		t.Skip("the system does not tell")
	}
	work := func(_ context.Context, i int) (int, error) {
		for begin := ThreadCPU(); ; {
			if d, ok := ThreadCPU().Since(begin); !ok || d > time.Millisecond {
				return i, nil
			}
		}
	}
	wait := func(_ context.Context, i int) (int, error) {
		runtime.LockOSThread() // as in a system call: the thread does nothing else
		defer runtime.UnlockOSThread()
		time.Sleep(time.Millisecond)
		return i, nil
	}
	p := New(t.Context())
	for range Map(p, "wait", 1, 0, Map(p, "work", 1, 0, count(p, 40), work), wait) {
	}
	if err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	r := p.Reports()
	if w := r[1]; w.CPU != 0 && w.CPU < 40*time.Millisecond {
		t.Errorf("work: %+v", w)
	}
	if w := r[2]; w.CPU > w.Busy/2 {
		t.Errorf("wait: %+v", w)
	}
	if d, ok := (CPU{1, 5}).Since(CPU{2, 3}); ok {
		t.Errorf("%v between two threads", d)
	}
}

// TestTimesAddUp uses the bubble's clock: a slow stage behind a fast one, and the
// other way round.
func TestTimesAddUp(t *testing.T) {
	run := func(t *testing.T, a, b time.Duration) []Report {
		var reports []Report
		synctest.Test(t, func(t *testing.T) {
			sleep := func(d time.Duration) Func[int, int] {
				return func(_ context.Context, i int) (int, error) { time.Sleep(d); return i, nil }
			}
			p := New(t.Context())
			for range Map(p, "b", 2, 2, Map(p, "a", 2, 2, count(p, 1000), sleep(a)), sleep(b)) {
			}
			if err := p.Wait(); err != nil {
				t.Fatal(err)
			}
			reports = p.Reports()
		})
		return reports
	}
	// Reports come in the order in which stages were added: count, a, b.
	r := run(t, time.Second, 3*time.Second)
	if a, b := r[1], r[2]; a.Busy != 1000*time.Second || b.Busy != 3000*time.Second || b.Share() < 0.99 ||
		share(a.Blocked, a) < 0.6 || share(a.Starved, a) > 0.01 || b.Queue < 0.4 {
		t.Errorf("slow b: %+v", r)
	}
	r = run(t, 3*time.Second, time.Second)
	if a, b := r[1], r[2]; a.Share() < 0.99 || share(b.Starved, b) < 0.6 || share(b.Blocked, b) > 0.01 || b.Queue > 0.1 {
		t.Errorf("slow a: %+v", r)
	}
}

func TestFusedStagesShareTheirWorkersTime(t *testing.T) {
	p := New(t.Context())
	all := []*Stats{p.Stage("read", 1), p.Stage("decode", 1), p.Stage("mix", 1)}
	Fused(all, []time.Duration{2, 5, 1}, 10)
	Fused(all, []time.Duration{1, 1, 1}, 0)
	want := []Report{
		{Name: "read", Workers: 1, N: 2, Busy: 3, Blocked: 18},
		{Name: "decode", Workers: 1, N: 2, Busy: 6, Starved: 3, Blocked: 12},
		{Name: "mix", Workers: 1, N: 2, Busy: 2, Starved: 9, Blocked: 10},
	}
	for i, got := range p.Reports() {
		if got != want[i] {
			t.Errorf("got %+v, want %+v", got, want[i])
		}
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}
