package batcher

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"

	"bagpipe/gpu"
	"gonum.org/v1/gonum/stat/distuv"
)

// values reads a picture as float64.
func values(t gpu.DType, b []byte) []float64 {
	v := make([]float64, len(b)/t.Size())
	for i := range v {
		switch t {
		case gpu.Float32:
			v[i] = float64(math.Float32frombits(binary.NativeEndian.Uint32(b[4*i:])))
		case gpu.Float16:
			v[i] = float64(gpu.FromFloat16(binary.NativeEndian.Uint16(b[2*i:])))
		case gpu.BFloat16:
			v[i] = float64(gpu.FromBFloat16(binary.NativeEndian.Uint16(b[2*i:])))
		}
	}
	return v
}

// TestMixupIsTheFormula compares with the plain sum in float64 of the same batches
// made without mixup.
func TestMixupIsTheFormula(t *testing.T) {
	for _, dtype := range []gpu.DType{gpu.Float32, gpu.Float16, gpu.BFloat16} {
		// Half a unit in the last place of the sum, plus float32's rounding of its parts.
		ulp := map[gpu.DType]float64{gpu.Float32: 0x1p-22, gpu.Float16: 0x1p-11, gpu.BFloat16: 0x1p-8}[dtype]
		for _, batch := range []int{4, 5} {
			t.Run(fmt.Sprint(dtype, batch), func(t *testing.T) {
				c := config(40)
				c.DType, c.Batch = dtype, batch
				c = fake(c)
				own := take(t, c, 0, 30)
				c.Mixup = 0.2
				mixed := take(t, c, 0, 30)
				size := c.sampleBytes()
				for s, k := range mixed {
					for i := range batch {
						j := batch - 1 - i
						l := float64(k.Lambda[i])
						if i == j {
							l = 1
						}
						partner := own[s].Labels[j]
						if l == 1 { // some draws of Beta(0.2, 0.2) round to 1
							partner = own[s].Labels[i]
						}
						if k.Labels[i] != own[s].Labels[i] || k.Partners[i] != partner || float64(k.Lambda[i]) != l {
							t.Fatalf("step %d slot %d: label %d, partner %d, lambda %g", s, i, k.Labels[i], k.Partners[i], k.Lambda[i])
						}
						got := values(dtype, k.Images[i*size:(i+1)*size])
						a := values(dtype, own[s].Images[i*size:(i+1)*size])
						b := values(dtype, own[s].Images[j*size:(j+1)*size])
						for e := range got {
							want := l*a[e] + (1-l)*b[e]
							if math.Abs(got[e]-want) > ulp*math.Abs(want)+0x1p-22 {
								t.Fatalf("step %d slot %d element %d: %g, want %g*%g + %g*%g = %g", s, i, e, got[e], l, a[e], 1-l, b[e], want)
							}
						}
					}
				}
			})
		}
	}
}

func TestMixupEndpoints(t *testing.T) {
	x, y := []float32{1, -2, 3e-8}, []float32{5, 7, -1e30}
	a, b := slices.Clone(x), slices.Clone(y)
	if mixFloat32(a, b, 1); !slices.Equal(a, x) || !slices.Equal(b, y) {
		t.Errorf("lambda 1 gives %v, %v", a, b)
	}
	if mixFloat32(a, b, 0); !slices.Equal(a, y) || !slices.Equal(b, x) {
		t.Errorf("lambda 0 gives %v, %v", a, b)
	}
}

func TestMixupSwitchesOff(t *testing.T) {
	c := config(20) // five steps an epoch
	own := take(t, c, 0, 25)
	c.Mixup, c.MixupOffEpoch = 0.2, 3
	for s, k := range take(t, c, 0, 25) {
		on := s < 15
		if (k.Lambda[0] != 1) != on || on == slices.Equal(k.Images, own[s].Images) || !on && !slices.Equal(k.Partners, k.Labels) {
			t.Errorf("step %d: lambda %v, partners %v of %v", s, k.Lambda, k.Partners, k.Labels)
		}
	}
}

// TestLambdaIsBeta holds the draws of many steps to the distribution's CDF
// (Kolmogorov-Smirnov).
func TestLambdaIsBeta(t *testing.T) {
	for _, alpha := range []float64{0.2, 1, 4} {
		m := newMixer(Config{Train: true, Mixup: alpha, Seed: 3})
		const n = 20_000
		draws := make([]float64, n)
		for i := range draws {
			draws[i] = float64(m.lambda(0, i))
		}
		if again := float64(m.lambda(0, 77)); again != draws[77] {
			t.Errorf("alpha %g: step 77 gives %g, then %g", alpha, draws[77], again)
		}
		slices.Sort(draws)
		beta, worst := distuv.Beta{Alpha: alpha, Beta: alpha}, 0.0
		for i, l := range draws {
			if l <= 0 || l >= 1 {
				continue // float32 rounds the far ends of alpha 0.2 to 0 and 1
			}
			p := beta.CDF(l)
			worst = max(worst, math.Abs(p-float64(i)/n), math.Abs(p-float64(i+1)/n))
		}
		if limit := 2.2 / math.Sqrt(n); worst > limit {
			t.Errorf("alpha %g: the draws leave the CDF by %.4f, want at most %.4f", alpha, worst, limit)
		}
	}
	m := newMixer(Config{Train: true, Mixup: 1e-300})
	for step := range 100 {
		if l := m.lambda(0, step); l != 0 && l != 1 {
			t.Errorf("alpha 1e-300: lambda %g, want 0 or 1", l)
		}
	}
}

func BenchmarkMixup(b *testing.B) {
	const n = 224 * 224 * 3
	x, y := make([]float32, n), make([]float32, n)
	h, g := make([]uint16, n), make([]uint16, n)
	for i := range x {
		x[i], y[i] = float32(i%97)/40, float32(i%89)/40
		h[i], g[i] = gpu.ToFloat16(x[i]), gpu.ToFloat16(y[i])
	}
	for name, f := range map[string]func(){
		"float32":  func() { mixFloat32(x, y, 0.3) },
		"float16":  func() { mixFloat16(h, g, 0.3) },
		"bfloat16": func() { mixBFloat16(h, g, 0.3) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				f()
			}
			b.ReportMetric(2*float64(b.N)/b.Elapsed().Seconds(), "img/s")
		})
	}
}
