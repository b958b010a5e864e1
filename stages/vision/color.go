package vision

import "math"

// affine is a map of RGB: rows of three factors and a constant.
type affine [3][4]float64

// then returns the map that applies a first and b to its result.
func (a affine) then(b affine) (c affine) {
	for i := range c {
		for k := range 4 {
			c[i][k] = b[i][0]*a[0][k] + b[i][1]*a[1][k] + b[i][2]*a[2][k]
		}
		c[i][3] += b[i][3]
	}
	return c
}

func (a affine) at(r, g, b float64) (out [3]float64) {
	for i, m := range a {
		out[i] = m[0]*r + m[1]*g + m[2]*b + m[3]
	}
	return out
}

// Luma weights of ITU-R BT.601.
const lumaR, lumaG, lumaB = 0.299, 0.587, 0.114

// hueTurn turns the hue by pi*(c-1): a rotation of the I-Q plane of YIQ, which
// keeps luma. The paper only says "scale hue by a coefficient in [0.6, 1.4]";
// this reading makes c = 1 the identity and all colours reachable from c = 0.
func hueTurn(c float64) affine {
	sin, cos := math.Sincos(math.Pi * (c - 1))
	toYIQ := affine{{lumaR, lumaG, lumaB}, {0.595716, -0.274453, -0.321263}, {0.211456, -0.522591, 0.311135}}
	turn := affine{{1, 0, 0}, {0, cos, -sin}, {0, sin, cos}}
	return toYIQ.then(turn).then(invert(toYIQ))
}

// saturation blends with gray: c = 0 leaves only luma.
func saturation(c float64) (m affine) {
	for i := range m {
		m[i] = [4]float64{(1 - c) * lumaR, (1 - c) * lumaG, (1 - c) * lumaB}
		m[i][i] += c
	}
	return m
}

// brightness scales all levels.
func brightness(c float64) affine { return affine{{c, 0, 0}, {0, c, 0}, {0, 0, c}} }

// contrast blends with a constant gray, given as the picture's mean luma.
func contrast(c, mean float64) affine {
	b := (1 - c) * mean
	return affine{{c, 0, 0, b}, {0, c, 0, b}, {0, 0, c, b}}
}

// ImageNet's principal components of colour on the scale of levels (PAPER 1.2, R7).
var (
	eigenValues  = [3]float64{55.46, 4.794, 1.148}
	eigenVectors = [3][3]float64{{-0.5675, 0.7192, 0.4009}, {-0.5808, -0.0045, -0.8140}, {-0.5836, -0.6948, 0.4203}}
)

// lightNoise returns what PCA noise adds to R, G and B (Krizhevsky et al. 2012).
func lightNoise(alpha [3]float64) (noise [3]float64) {
	for i, row := range eigenVectors {
		for k, v := range row {
			noise[i] += v * alpha[k] * eigenValues[k]
		}
	}
	return noise
}

// lighting adds PCA noise.
func lighting(alpha [3]float64) affine {
	n := lightNoise(alpha)
	return affine{{1, 0, 0, n[0]}, {0, 1, 0, n[1]}, {0, 0, 1, n[2]}}
}

// normalize subtracts mean and divides by std.
func normalize(mean, std [3]float64) (m affine) {
	for i := range m {
		m[i][i], m[i][3] = 1/std[i], -mean[i]/std[i]
	}
	return m
}

// steps returns the colour chain in the order of the paper: hue, saturation,
// brightness, contrast (off there), noise. mean is the picture's mean luma.
func (q *Params) steps(mean float64) [5]affine {
	return [5]affine{hueTurn(q.Hue), saturation(q.Saturation), brightness(q.Brightness), contrast(q.Contrast, mean), lighting(q.Light)}
}

// invert returns the inverse of a linear map, by Cramer's rule.
func invert(m affine) (inv affine) {
	minor := func(i, j int) float64 {
		a, b, c, d := (i+1)%3, (i+2)%3, (j+1)%3, (j+2)%3
		return m[a][c]*m[b][d] - m[a][d]*m[b][c]
	}
	det := m[0][0]*minor(0, 0) + m[0][1]*minor(0, 1) + m[0][2]*minor(0, 2)
	for i := range 3 {
		for j := range 3 {
			inv[i][j] = minor(j, i) / det
		}
	}
	return inv
}
