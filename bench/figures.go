package bench

import "math"

// figure is what a class shows. Coordinates are local: the figure turns around the
// origin and reaches about 1 from it.
type figure struct {
	name string
	// edge is the distance of a point to the figure's outline, positive inside; nil:
	// no outline, the background's blend of colours is the figure.
	edge      func(u, v float64) float64
	low, high float64 // range of the local unit, in short sides of the picture
}

// figures are the classes, sorted by name. Those that reach over the whole picture
// have a small unit: the period of their pattern.
var figures = [...]figure{
	{"checkerboard", checkerboard, 0.12, 0.22},
	{"circle", func(u, v float64) float64 { return 1 - math.Hypot(u, v) }, 0.22, 0.42},
	{"cross", cross, 0.28, 0.46},
	{"dots", func(u, v float64) float64 { return 0.31 - math.Hypot(saw(u), saw(v)) }, 0.18, 0.3},
	{"gradient", nil, 0.2, 0.4},
	{"ring", func(u, v float64) float64 { return 0.2 - math.Abs(math.Hypot(u, v)-0.8) }, 0.28, 0.46},
	{"spiral", spiral, 0.36, 0.5},
	{"square", func(u, v float64) float64 { return 0.85 - max(math.Abs(u), math.Abs(v)) }, 0.24, 0.42},
	{"stripes", func(u, _ float64) float64 { return 0.25 - math.Abs(saw(u)) }, 0.16, 0.32},
	{"triangle", triangle, 0.3, 0.5},
}

// saw is the distance to the nearest whole number, with sign: -0.5..0.5.
func saw(x float64) float64 { return x - math.Round(x) }

// checkerboard has squares of side 1.
func checkerboard(u, v float64) float64 {
	edge := min(math.Abs(saw(u)), math.Abs(saw(v)))
	if (int(math.Floor(u))+int(math.Floor(v)))&1 == 0 {
		return edge
	}
	return -edge
}

// cross is two bars.
func cross(u, v float64) float64 {
	u, v = math.Abs(u), math.Abs(v)
	return max(min(0.27-u, 1-v), min(0.27-v, 1-u))
}

// triangle is equilateral with its corners at distance 1.
func triangle(u, v float64) float64 {
	const sin60 = 0.8660254037844386
	return 0.5 - max(v, sin60*u-v/2, -sin60*u-v/2)
}

// spiral is Archimedes', two turns.
func spiral(u, v float64) float64 {
	const turns = 2
	r := math.Hypot(u, v)
	arm := 0.25 - math.Abs(saw(r*turns-math.Atan2(v, u)/(2*math.Pi)))
	return min(arm/turns, 1-r)
}
