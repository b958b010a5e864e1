package gpu

import "math"

// The conversions of the two 16-bit formats, rounding to the nearest, ties to even
// (IEEE 754-2008 sections 3.6 and 4.3.1). They work on bits, because a table of all
// values of binary16 takes 256 KiB of a cache that the pictures need.

// FromFloat16 widens an IEEE 754 binary16; every value has an exact binary32.
func FromFloat16(h uint16) float32 {
	sign, mag := uint32(h&0x8000)<<16, uint32(h&0x7fff)<<13
	if h&0x7c00 == 0x7c00 { // infinity and NaN
		return math.Float32frombits(sign | mag | 0x7f800000)
	}
	// The exponents' biases differ by 127-15 = 112; the product also makes
	// subnormals normal.
	return math.Float32frombits(sign | math.Float32bits(math.Float32frombits(mag)*0x1p112))
}

// ToFloat16 rounds to an IEEE 754 binary16; 65520 and more are infinite.
func ToFloat16(f float32) uint16 {
	bits := math.Float32bits(f)
	sign, mag := uint16(bits>>16)&0x8000, bits&0x7fffffff
	switch {
	case mag > 0x7f800000: // NaN, kept quiet
		return sign | 0x7e00
	case mag >= 0x47800000: // 65536 and more
		return sign | 0x7c00
	case mag < 0x38800000: // below 2^-14: subnormal, in units of 2^-24
		// Adding 0.5 puts that unit in the last bit of the mantissa, so the processor
		// rounds.
		return sign | uint16(math.Float32bits(math.Float32frombits(mag)+0.5)-0x3f000000)
	}
	mag += 0xfff + mag>>13&1 // half a unit, less a little when even
	return sign | uint16((mag-(112<<23))>>13)
}

// FromBFloat16 widens a bfloat16, the upper half of a binary32.
func FromBFloat16(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// ToBFloat16 rounds to a bfloat16.
func ToBFloat16(f float32) uint16 {
	bits := math.Float32bits(f)
	if bits&0x7fffffff > 0x7f800000 { // NaN must not round to infinity
		return uint16(bits>>16) | 0x40
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}
