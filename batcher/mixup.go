package batcher

import (
	"math"
	"math/rand/v2"

	"bagpipe/gpu"
	"gonum.org/v1/gonum/stat/distuv"
)

// mixer draws mixup's lambda for each step.
type mixer struct {
	seed  uint64
	off   int // first epoch without mixup
	pcg   *rand.PCG
	betas distuv.Beta
}

// newMixer returns the mixer of a configuration.
func newMixer(c Config) *mixer {
	m := &mixer{seed: c.Seed, off: math.MaxInt, pcg: rand.NewPCG(0, 0)}
	if m.betas = (distuv.Beta{Alpha: c.Mixup, Beta: c.Mixup, Src: m.pcg}); c.MixupOffEpoch > 0 {
		m.off = c.MixupOffEpoch
	}
	if c.Mixup == 0 || !c.Train {
		m.off = 0
	}
	return m
}

// lambda returns the weight of each sample's own picture and label: one draw of
// Beta(alpha, alpha) for the global batch, the same on every rank, as the paper's
// code has it (arXiv:1710.09412 section 2; arXiv:1812.01187 section 5.4).
func (m *mixer) lambda(epoch, step int) float32 {
	if epoch >= m.off {
		return 1
	}
	// The constant keeps the draw apart from the samples' generators.
	m.pcg.Seed(m.seed^0x6d69787570, uint64(step))
	l := m.betas.Rand()
	if math.IsNaN(l) {
		// Both gammas of a tiny alpha underflow: the limit is a fair coin.
		l = float64(m.pcg.Uint64() & 1)
	}
	return float32(l)
}

// mix finishes the slots i <= j = Batch-1-i: each gets the other's picture and label
// mixed in. A slot without a picture is mixed with nothing.
func (c *Config) mix(b *Batch, i, j int) {
	b.partners[i], b.partners[j] = b.labels[i], b.labels[j]
	b.lambdas[i], b.lambdas[j] = 1, 1
	if b.lambda == 1 || i == j || b.labels[i] == padding || b.labels[j] == padding {
		return
	}
	b.partners[i], b.partners[j] = b.labels[j], b.labels[i]
	b.lambdas[i], b.lambdas[j] = b.lambda, b.lambda
	n := c.Vision.Size * c.Vision.Size * 3
	switch c.DType {
	case gpu.Float32:
		all := view[float32](b.Images, n*c.Batch)
		mixFloat32(all[i*n:(i+1)*n], all[j*n:(j+1)*n], b.lambda)
	case gpu.Float16:
		all := view[uint16](b.Images, n*c.Batch)
		mixFloat16(all[i*n:(i+1)*n], all[j*n:(j+1)*n], b.lambda)
	case gpu.BFloat16:
		all := view[uint16](b.Images, n*c.Batch)
		mixBFloat16(all[i*n:(i+1)*n], all[j*n:(j+1)*n], b.lambda)
	}
}

// mixFloat32 sets x, y = lambda*x + (1-lambda)*y, lambda*y + (1-lambda)*x. The
// conversions forbid fused multiply-adds, which some processors have and others not:
// the batches must not depend on the machine.
func mixFloat32(x, y []float32, lambda float32) {
	other := 1 - lambda
	y = y[:len(x)]
	for k, a := range x {
		b := y[k]
		x[k] = float32(lambda*a) + float32(other*b)
		y[k] = float32(lambda*b) + float32(other*a)
	}
}

// mixFloat16 is mixFloat32 of binary16: computed in binary32, rounded once.
func mixFloat16(x, y []uint16, lambda float32) {
	other := 1 - lambda
	y = y[:len(x)]
	for k := range x {
		a, b := gpu.FromFloat16(x[k]), gpu.FromFloat16(y[k])
		x[k] = gpu.ToFloat16(float32(lambda*a) + float32(other*b))
		y[k] = gpu.ToFloat16(float32(lambda*b) + float32(other*a))
	}
}

// mixBFloat16 is mixFloat32 of bfloat16: computed in binary32, rounded once.
func mixBFloat16(x, y []uint16, lambda float32) {
	other := 1 - lambda
	y = y[:len(x)]
	for k := range x {
		a, b := gpu.FromBFloat16(x[k]), gpu.FromBFloat16(y[k])
		x[k] = gpu.ToBFloat16(float32(lambda*a) + float32(other*b))
		y[k] = gpu.ToBFloat16(float32(lambda*b) + float32(other*a))
	}
}
