package gpu

import (
	"math"
	"testing"
)

func TestFloat16IsExactAndRoundsToEven(t *testing.T) {
	prev := math.Inf(-1)
	for h := range uint32(1 << 16) {
		v := FromFloat16(uint16(h))
		if v != v {
			if back := ToFloat16(v); FromFloat16(back) == FromFloat16(back) {
				t.Errorf("%#04x: NaN becomes %#04x", h, back)
			}
			continue
		}
		if got := ToFloat16(v); got != uint16(h) {
			t.Fatalf("%#04x is %g, back %#04x", h, v, got)
		}
		if h > 0x7c00-1 { // only positive finite values below
			continue
		}
		exp, man := int(h>>10), float64(h&0x3ff)
		want := math.Ldexp(1024+man, exp-25)
		if exp == 0 {
			want = math.Ldexp(man, -24)
		}
		if float64(v) != want || float64(v) <= prev {
			t.Fatalf("%#04x is %g, want %g", h, v, want)
		}
		if h > 0 {
			// Halfway between neighbours goes to the even one, a hair off to the nearer.
			mid := float32((prev + want) / 2)
			even := uint16(h)
			if h&1 == 1 {
				even--
			}
			up, down := ToFloat16(math.Nextafter32(mid, 1e9)), ToFloat16(math.Nextafter32(mid, -1))
			if got := ToFloat16(mid); got != even || up != uint16(h) || down != uint16(h-1) {
				t.Fatalf("%g: %#04x, want %#04x; above %#04x, below %#04x", mid, got, even, up, down)
			}
		}
		prev = want
	}
	for v, want := range map[float32]uint16{65504: 0x7bff, 65519.99: 0x7bff, 65520: 0x7c00, 1e30: 0x7c00, -65520: 0xfc00, 1e-30: 0, -1e-30: 0x8000} {
		if got := ToFloat16(v); got != want {
			t.Errorf("%g: %#04x, want %#04x", v, got, want)
		}
	}
}

// Every bfloat16 survives the way there and back; halfway between neighbours goes to
// the even one, and one binary32 step off to the nearer.
func TestBFloat16IsExactAndRoundsToEven(t *testing.T) {
	for h := range uint32(1 << 16) {
		v := FromBFloat16(uint16(h))
		back := ToBFloat16(v)
		switch {
		case v != v:
			if w := FromBFloat16(back); w == w {
				t.Fatalf("%#04x: NaN becomes %#04x", h, back)
			}
			continue
		case back != uint16(h):
			t.Fatalf("%#04x is %g, back %#04x", h, v, back)
		case h&0x7fff == 0x7f80:
			continue // infinity has no upper neighbour
		}
		mid := h<<16 | 0x8000
		even := uint16(h + h&1)
		for bits, want := range map[uint32]uint16{mid - 1: uint16(h), mid: even, mid + 1: uint16(h + 1)} {
			if got := ToBFloat16(math.Float32frombits(bits)); got != want {
				t.Fatalf("%#08x: %#04x, want %#04x", bits, got, want)
			}
		}
	}
	for bits, want := range map[uint32]uint16{0x7f7fffff: 0x7f80, 0xff800000: 0xff80, 0x7f800001: 0x7fc0, 0x80000001: 0x8000} {
		if got := ToBFloat16(math.Float32frombits(bits)); got != want {
			t.Errorf("%#08x: %#04x, want %#04x", bits, got, want)
		}
	}
}
