package stages

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestJudge(t *testing.T) {
	s, ms := time.Second, time.Millisecond
	for _, tt := range []struct {
		name    string
		reports []Report
		want    Verdict
	}{
		{"nothing yet", []Report{{Name: "decode", Workers: 2}, {Name: "device", Workers: 1}},
			Verdict{"", "no element has passed yet: nothing to judge"}},
		{"no stages", nil, Verdict{"", "no element has passed yet: nothing to judge"}},
		{"input is the limit", []Report{
			// Two workers for 100 s: 29 % read, 71 % decode; the device could take 2.5 times as much.
			{Name: "read", Workers: 2, N: 1000, Busy: 58 * s, Blocked: 142 * s},
			{Name: "decode", Workers: 2, N: 1000, Busy: 142 * s, Starved: 58 * s, Remedy: "coefficient shards"},
			{Name: "device", Workers: 1, N: 1000, Busy: 40 * s, Starved: 60 * s},
		}, Verdict{"decode", "decode-bound: 71 % of CPU; +3 workers or coefficient shards remove it"}},
		{"one worker more, no remedy", []Report{
			{Name: "decode", Workers: 2, N: 1000, Busy: 200 * s},
			{Name: "device", Workers: 1, N: 1000, Busy: 70 * s, Starved: 30 * s},
		}, Verdict{"decode", "decode-bound: 100 % of CPU; +1 worker removes it"}},
		{"the slowest stage behind counts", []Report{
			{Name: "decode", Workers: 1, N: 1000, Busy: 100 * s},
			{Name: "pack", Workers: 1, N: 1000, Busy: 50 * s, Starved: 50 * s},
			{Name: "device", Workers: 1, N: 1000, Busy: 10 * s, Starved: 90 * s},
		}, Verdict{"decode", "decode-bound: 67 % of CPU; +1 worker removes it"}},
		{"a consumer without work", []Report{
			{Name: "decode", Workers: 2, N: 1000, Busy: 200 * s},
			{Name: "count", Workers: 1, N: 1000, Busy: ms, Starved: 100 * s},
		}, Verdict{"decode", "decode-bound: 100 % of CPU; more workers, up to the number of cores, help"}},
		{"device is the limit", []Report{
			{Name: "decode", Workers: 2, N: 1000, Busy: 74 * s, Blocked: 126 * s},
			{Name: "device", Workers: 1, N: 1000, Busy: 99 * s, Starved: s},
		}, Verdict{"device", "device-bound: input waits 63 % of the time; nothing to gain from more workers"}},
		{"device waits at the start of a short run only", []Report{
			{Name: "decode", Workers: 1, N: 10, Busy: 3 * s, Blocked: 7 * s},
			{Name: "device", Workers: 1, N: 10, Busy: 8 * s, Starved: 2 * s},
		}, Verdict{"device", "device-bound: input waits 70 % of the time; nothing to gain from more workers"}},
		{"a consumer alone", []Report{{Name: "device", Workers: 1, N: 10, Starved: s}},
			Verdict{"device", "device-bound: input waits 0 % of the time; nothing to gain from more workers"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Judge(tt.reports); got != tt.want {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
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
