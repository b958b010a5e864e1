package bench

import (
	"math"
	"strings"
	"testing"
)

func TestParseNeed(t *testing.T) {
	for _, c := range []struct {
		plan    string
		rate    float64
		devices int
	}{
		{"8xH100", 56050, 8}, {"8×h100", 56050, 8}, {"16xA100", 2 * 26673.7, 16}, {"V100", 1376, 1}, {"2 x rtx3090", 2436, 2}, {"RTX3090", 1218, 1},
	} {
		got, err := ParseNeed(c.plan)
		if err != nil || math.Abs(got.Rate-c.rate) > 0.01 || got.Devices != c.devices || got.Source == "" {
			t.Errorf("%s: %+v, %v", c.plan, got, err)
		}
	}
	for _, bad := range []string{"8xH10", "", "0xH100", "-1xA100"} {
		if _, err := ParseNeed(bad); err == nil || bad == "8xH10" && !strings.Contains(err.Error(), `"H100" of H100, A100, V100, RTX3090`) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestPlan(t *testing.T) {
	r := Result{Batch: 256, CPUSecondsPerImage: 9, Stages: []Stage{{Name: "read", N: 100, CPU: 0.01}, {Name: "vision", N: 100, CPU: 0.09}, {Name: "consumer", N: 100, CPU: 5}}}
	p := r.PlanFor(Need{Rate: 56000, Devices: 8, Source: "x"}, 110e3, 224)
	if p.Cores != 56 || p.BytesPerSecond != 6.16e9 || p.RingBytes != 8*3*256*(224*224*3*4+12) {
		t.Errorf("%+v", p)
	}
	if want := "56000 img/s take 56 cores (1.00 ms of one an image), 6.16 GB/s of disk (110 kB an image) and 3.7 GB for the ring"; !strings.HasPrefix(p.String(), want) {
		t.Errorf("got  %s\nwant %s", p, want)
	}
	r.Stages = nil
	if p := r.PlanFor(Need{Rate: 10}, 1, 1); p.Cores != 90 {
		t.Errorf("without the stages' times: %+v", p)
	}
}
