//go:build !cgo

package vision

import "bagpipe/gpu"

const levels = 0

func mapLines(dst []byte, t gpu.DType, l *lines, f *mapping, flip bool, _ int) {
	mapLinesPlain(dst, t, l, f, flip)
}

func splitRows(l *lines, src pixels, x, y, _ int) { l.splitPlain(src, Rect{x, y, l.w, l.h}, [3]byte{}) }

func scaleLevels(l *lines, a, b float32, _ int) { scaleLevelsPlain(l, a, b) }

func saturateLevels(l *lines, a float32, _ int) { saturateLevelsPlain(l, a) }

func noiseLevels(l *lines, noise [3]float32, _ int) { noiseLevelsPlain(l, noise) }

func graySum(l *lines, _ int) int { return graySumPlain(l) }

func blend(dst *pixels, src []byte, pitch int, l *linear, _ int) { blendPlain(dst, src, pitch, l) }
