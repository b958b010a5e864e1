package gpu

import (
	"slices"
	"strconv"
	"strings"
)

// A Shape lists the extents of a dense row-major array, outermost first. Pictures
// and activations are NHWC: batch, height, width, channels.
type Shape []int

// Elems returns the number of elements, 1 for the empty shape.
func (s Shape) Elems() int {
	n := 1
	for _, d := range s {
		n *= d
	}
	return n
}

// Equal reports whether both shapes have the same extents.
func (s Shape) Equal(o Shape) bool { return slices.Equal(s, o) }

// String formats as "128×32×32×16".
func (s Shape) String() string {
	f := make([]string, len(s))
	for i, d := range s {
		f[i] = strconv.Itoa(d)
	}
	return strings.Join(f, "×")
}
