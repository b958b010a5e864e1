//go:build cgo

package vision

/*
#cgo CFLAGS: -std=c11 -O3 -Wall -Wextra
#include "kernels.h"
*/
import "C"

import (
	"unsafe"

	"bagpipe/gpu"
)

// levels are the instruction sets that the kernels can use here, 0 up to this one. All
// give the same bits; tests force each.
var levels = int(C.bp_level())

// mapLines maps all rows of l into dst, as mapLinesPlain does.
func mapLines(dst []byte, t gpu.DType, l *lines, f *mapping, flip bool, level int) {
	types := [...]C.int{gpu.Float32: C.BP_FLOAT32, gpu.Float16: C.BP_FLOAT16, gpu.BFloat16: C.BP_BFLOAT16}
	turned := C.int(0)
	if flip {
		turned = 1
	}
	C.bp_finish(C.int(level), unsafe.Pointer(unsafe.SliceData(dst)), types[t], (*C.uint8_t)(unsafe.SliceData(l.pix)),
		C.int(l.w), C.int(l.h), C.int(l.pitch), (*C.bp_mapping)(unsafe.Pointer(f)), turned)
}

// splitRows fills l with the part of src at x, y, which lies inside it.
func splitRows(l *lines, src pixels, x, y, level int) {
	in := src.pix[3*(y*src.w+x) : 3*((y+l.h-1)*src.w+x+l.w)]
	C.bp_split(C.int(level), (*C.uint8_t)(unsafe.SliceData(l.pix)), (*C.uint8_t)(unsafe.SliceData(in)),
		C.int(l.w), C.int(l.h), C.int(l.pitch), C.int(3*src.w))
}

// The next four change or sum up l as their plain forms of levels.go do.

func scaleLevels(l *lines, a, b float32, level int) {
	C.bp_scale_levels(C.int(level), start(l), C.int(len(l.used())), C.float(a), C.float(b))
}

func saturateLevels(l *lines, a float32, level int) {
	C.bp_saturate_levels(C.int(level), start(l), C.int(l.h), C.int(l.pitch), C.float(a))
}

func noiseLevels(l *lines, noise [3]float32, level int) {
	C.bp_noise_levels(C.int(level), start(l), C.int(l.h), C.int(l.pitch), C.float(noise[0]), C.float(noise[1]), C.float(noise[2]))
}

func graySum(l *lines, level int) int {
	return int(C.bp_gray_sum(C.int(level), start(l), C.int(l.w), C.int(l.h), C.int(l.pitch)))
}

func start(l *lines) *C.uint8_t { return (*C.uint8_t)(unsafe.SliceData(l.pix)) }

// blend is blendPlain.
func blend(dst *pixels, src []byte, pitch int, l *linear, level int) {
	C.bp_blend(C.int(level), (*C.uint8_t)(unsafe.SliceData(dst.pix)), C.int(dst.w), C.int(dst.h), (*C.uint8_t)(unsafe.SliceData(src)),
		C.int64_t(pitch), (*C.bp_tap)(unsafe.Pointer(unsafe.SliceData(l.x))), (*C.bp_tap)(unsafe.Pointer(unsafe.SliceData(l.y))),
		(*C.int32_t)(unsafe.SliceData(l.two)))
}
