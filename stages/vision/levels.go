package vision

import "math"

// jitterLevels is the colour augmentation of MXNet's image_aug_default.cc on 8-bit
// levels (PAPER section 1.2, R5 to R7): brightness, contrast and saturation in the
// drawn order, each rounded and saturated, then the PCA noise, truncated.
func jitterLevels(l *lines, q Params, level int) {
	for _, step := range q.Order {
		switch {
		case step == 0 && q.Brightness != 1:
			scaleLevels(l, float32(q.Brightness), 0, level)
		case step == 1 && q.Contrast != 1:
			a := q.Contrast
			gray := float64(graySum(l, level)) / float64(l.w*l.h)
			scaleLevels(l, float32(a), float32((1-a)*gray), level)
		case step == 2 && q.Saturation != 1:
			saturateLevels(l, float32(q.Saturation), level)
		}
	}
	if q.Light == [3]float64{} {
		return
	}
	noise := lightNoise(q.Light)
	noiseLevels(l, [3]float32{float32(noise[0]), float32(noise[1]), float32(noise[2])}, level)
}

// used is the lines without slack.
func (l *lines) used() []byte { return l.pix[:3*l.h*l.pitch] }

// scaleLevelsPlain computes a*v+b, rounded half to even and saturated, as OpenCV's
// convertTo does. This and the next three are the portable build's, and what the kernels
// are held against.
func scaleLevelsPlain(l *lines, a, b float32) {
	var table [256]byte
	for v := range table {
		table[v] = toLevel(float32(v)*a + b)
	}
	for i, v := range l.used() {
		l.pix[i] = table[v]
	}
}

// saturateLevelsPlain blends each pixel with its gray.
func saturateLevelsPlain(l *lines, a float32) {
	for y := range l.h {
		r, g, b := l.row(y)
		for x := range r {
			gray := (1 - a) * float32(swappedGray(r[x], g[x], b[x]))
			r[x] = toLevel(float32(r[x])*a + gray)
			g[x] = toLevel(float32(g[x])*a + gray)
			b[x] = toLevel(float32(b[x])*a + gray)
		}
	}
}

// noiseLevelsPlain adds a number to each colour, and truncates.
func noiseLevelsPlain(l *lines, noise [3]float32) {
	pix := l.used()
	for i, v := range pix {
		n := int(float32(v) + noise[i/l.pitch%3])
		pix[i] = byte(min(max(n, 0), 255))
	}
}

// graySumPlain sums the gray picture that OpenCV makes.
func graySumPlain(l *lines) (sum int) {
	for y := range l.h {
		r, g, b := l.row(y)
		for x := range r {
			sum += int(swappedGray(r[x], g[x], b[x]))
		}
	}
	return sum
}

// swappedGray is cvtColor's RGB2GRAY on pixels that are really BGR, as the authors'
// pipeline had them: red and blue swap their weights (R6). 15-bit fixed point.
func swappedGray(r, g, b byte) byte {
	const wr, wg, wb = 9798, 19235, 3735
	return byte((wr*int(b) + wg*int(g) + wb*int(r) + 1<<14) >> 15)
}

func toLevel(v float32) byte {
	return byte(min(max(math.RoundToEven(float64(v)), 0), 255))
}
