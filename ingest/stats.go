package ingest

import (
	"math"

	"bagpipe/shards"

	"gonum.org/v1/gonum/mat"
)

// moments are sums of whole levels and their products: integers, so that the order of pictures, and with it
// the number of workers, cannot change the last bit. 2^47 pixels fit.
type moments struct {
	pictures int
	n        uint64
	sum      [3]uint64
	products [3][3]uint64 // upper triangle
}

// measure adds the pixels of one picture, 8-bit RGB.
func (m *moments) measure(pix []byte) {
	m.pictures++
	m.n += uint64(len(pix) / 3)
	var r, g, b, rr, rg, rb, gg, gb, bb uint64
	for ; len(pix) >= 3; pix = pix[3:] {
		x, y, z := uint64(pix[0]), uint64(pix[1]), uint64(pix[2])
		r, g, b = r+x, g+y, b+z
		rr, rg, rb = rr+x*x, rg+x*y, rb+x*z
		gg, gb, bb = gg+y*y, gb+y*z, bb+z*z
	}
	m.add(moments{sum: [3]uint64{r, g, b}, products: [3][3]uint64{{rr, rg, rb}, {0, gg, gb}, {0, 0, bb}}})
}

func (m *moments) add(o moments) {
	m.pictures += o.pictures
	m.n += o.n
	for i := range 3 {
		m.sum[i] += o.sum[i]
		for j := i; j < 3; j++ {
			m.products[i][j] += o.products[i][j]
		}
	}
}

// stats gives mean, standard deviation and principal components of the pixels (arXiv 1812.01187 section 2.1
// takes the noise along them from Krizhevsky et al.). nil without pixels.
func (m *moments) stats() *shards.Stats {
	if m.n == 0 {
		return nil
	}
	s := &shards.Stats{Pictures: m.pictures}
	n := float64(m.n)
	for i := range 3 {
		s.Mean[i] = float64(m.sum[i]) / n
	}
	cov := mat.NewSymDense(3, nil)
	for i := range 3 {
		for j := i; j < 3; j++ {
			cov.SetSym(i, j, float64(m.products[i][j])/n-s.Mean[i]*s.Mean[j])
		}
		s.Std[i] = math.Sqrt(max(0, cov.At(i, i)))
	}
	var e mat.EigenSym
	if !e.Factorize(cov, true) {
		return s // a 3x3 symmetric matrix always factorizes
	}
	var v mat.Dense
	e.VectorsTo(&v)
	values := e.Values(nil) // ascending
	for k := range 3 {
		from := 2 - k
		s.EigenValues[k] = max(0, values[from])
		sign := 1.0
		if v.At(0, from) < 0 { // either sign is right; pick one for good
			sign = -1
		}
		for i := range 3 {
			s.EigenVectors[i][k] = sign * v.At(i, from)
		}
	}
	return s
}
