package vision

import "math"

// jitterLevels is the colour augmentation of MXNet's image_aug_default.cc on 8-bit
// levels (PAPER section 1.2, R5 to R7): brightness, contrast and saturation in the
// drawn order, each rounded and saturated, then the PCA noise, truncated.
func jitterLevels(p pixels, q Params) {
	for _, step := range q.Order {
		switch {
		case step == 0 && q.Brightness != 1:
			scaleLevels(p.pix, float32(q.Brightness), 0)
		case step == 1 && q.Contrast != 1:
			a := q.Contrast
			scaleLevels(p.pix, float32(a), float32((1-a)*meanGray(p.pix)))
		case step == 2 && q.Saturation != 1:
			saturateLevels(p.pix, float32(q.Saturation))
		}
	}
	if q.Light == [3]float64{} {
		return
	}
	noise := lightNoise(q.Light)
	n := [3]float32{float32(noise[0]), float32(noise[1]), float32(noise[2])}
	for i := range p.pix {
		v := int(float32(p.pix[i]) + n[i%3])
		p.pix[i] = byte(min(max(v, 0), 255))
	}
}

// scaleLevels computes a*v+b, rounded half to even and saturated, as OpenCV's
// convertTo does.
func scaleLevels(pix []byte, a, b float32) {
	var table [256]byte
	for v := range table {
		table[v] = toLevel(float32(v)*a + b)
	}
	for i, v := range pix {
		pix[i] = table[v]
	}
}

// saturateLevels blends each pixel with its gray.
func saturateLevels(pix []byte, a float32) {
	for i := 0; i+2 < len(pix); i += 3 {
		gray := (1 - a) * float32(swappedGray(pix[i:]))
		for c := range 3 {
			pix[i+c] = toLevel(float32(pix[i+c])*a + gray)
		}
	}
}

// meanGray is the mean of the gray picture that OpenCV makes.
func meanGray(pix []byte) float64 {
	sum := 0
	for i := 0; i+2 < len(pix); i += 3 {
		sum += int(swappedGray(pix[i:]))
	}
	return float64(sum) / float64(len(pix)/3)
}

// swappedGray is cvtColor's RGB2GRAY on pixels that are really BGR, as the authors'
// pipeline had them: red and blue swap their weights (R6). 15-bit fixed point.
func swappedGray(rgb []byte) byte {
	const wr, wg, wb = 9798, 19235, 3735
	return byte((wr*int(rgb[2]) + wg*int(rgb[1]) + wb*int(rgb[0]) + 1<<14) >> 15)
}

func toLevel(v float32) byte {
	return byte(min(max(math.RoundToEven(float64(v)), 0), 255))
}
