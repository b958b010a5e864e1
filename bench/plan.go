package bench

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"bagpipe/internal/nearest"
)

// Need is a rate that the input shall reach.
type Need struct {
	Rate    float64 // images a second, over all devices
	Devices int
	Source  string // where the rate comes from
}

// rated is a device whose rate of training ResNet-50 at 224 px has been published, in
// images a second.
type rated struct {
	name       string
	one, eight float64 // by one device; by eight in one machine, 0 where not published
	source     string
}

var devices = [...]rated{
	{"H100", 7006, 56050, "MLPerf Training v3.0, NVIDIA DGX H100 with MXNet: 55,900 to 56,200 by 8 (one is an eighth)"},
	{"A100", 3410.5, 26673.7, "NVIDIA DeepLearningExamples, MXNet ResNet50 v1.5, A100-80GB, AMP"},
	{"V100", 1376, 10723, "NVIDIA DeepLearningExamples, MXNet ResNet50 v1.5, V100-16GB, fp16"},
	{"RTX3090", 1218, 0, "timm's training benchmark, ResNet-50, AMP, channels last"},
}

// ParseNeed understands "8xH100", "A100" and the like. The error names the devices
// there are and the nearest.
func ParseNeed(plan string) (Need, error) {
	count, name, ok := strings.Cut(strings.ToLower(strings.ReplaceAll(plan, "×", "x")), "x")
	n, err := strconv.Atoi(strings.TrimSpace(count))
	if !ok || err != nil { // one device, whose name may have an x
		n, name = 1, plan
	}
	if n < 1 || n > 1<<20 {
		return Need{}, fmt.Errorf("%q: %d devices, want at least 1", plan, n)
	}
	name = strings.TrimSpace(name)
	var names []string
	for _, d := range devices {
		if names = append(names, d.name); strings.EqualFold(d.name, name) {
			need := Need{float64(n) * d.one, n, d.source}
			if n%8 == 0 && d.eight > 0 {
				need.Rate = d.eight * float64(n/8)
			}
			return need, nil
		}
	}
	return Need{}, fmt.Errorf("no rate is known of %q, nearest is %q of %s (--need RATE takes any rate)", name, nearest.Word(name, names), strings.Join(names, ", "))
}

// Plan is what a rate takes, by what was measured on this machine.
type Plan struct {
	Need            float64 `json:"need"`   // images a second
	Source          string  `json:"source"` // of the rate
	Cores           int     `json:"cores"`  // like the ones measured on, all for the input
	CPUMillis       float64 `json:"cpu_milliseconds_per_image"`
	BytesPerImage   float64 `json:"bytes_per_image"` // stored
	BytesPerSecond  float64 `json:"disk_bytes_per_second"`
	RingBytes       int64   `json:"ring_bytes"` // three batches a device
	MeasuredPerCore float64 `json:"images_per_second_per_core"`
}

// PlanFor scales what was measured to a rate, as if it grew with the cores. Stored is the
// mean size of a record, size the side of a finished picture.
func (r Result) PlanFor(need Need, stored float64, size int) *Plan {
	var cpu float64
	for _, s := range r.Stages[:max(len(r.Stages)-1, 0)] {
		if s.N > 0 {
			cpu += s.CPU / float64(s.N)
		}
	}
	if cpu == 0 { // not measured by stage: of the process, with a step if it trained
		cpu = r.CPUSecondsPerImage
	}
	p := &Plan{Need: need.Rate, Source: need.Source, CPUMillis: 1e3 * cpu, BytesPerImage: stored,
		Cores: int(math.Ceil(need.Rate*cpu - 1e-9)), BytesPerSecond: stored * need.Rate,
		RingBytes: int64(max(need.Devices, 1)) * 3 * int64(r.Batch) * int64(size*size*3*4+12)}
	if cpu > 0 {
		p.MeasuredPerCore = 1 / cpu
	}
	return p
}

// String is the plan in two lines.
func (p *Plan) String() string {
	return fmt.Sprintf("%.0f img/s take %d cores (%.2f ms of one an image), %.2f GB/s of disk (%.0f kB an image) and %.1f GB for the ring\n(the rate: %s)",
		p.Need, p.Cores, p.CPUMillis, p.BytesPerSecond/1e9, p.BytesPerImage/1e3, float64(p.RingBytes)/1e9, p.Source)
}
