//go:build !cgo

package vision

import "bagpipe/gpu"

const levels = 0

func mapLines(dst []byte, t gpu.DType, l *lines, f *mapping, flip bool, _ int) {
	mapLinesPlain(dst, t, l, f, flip)
}

func splitRows(l *lines, src pixels, x, y, _ int) { l.splitPlain(src, Rect{x, y, l.w, l.h}, [3]byte{}) }
