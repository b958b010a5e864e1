//go:build cgo

package vision

/*
#cgo LDFLAGS: -ljpeg
#include <stdlib.h>
#include "jpeg.h"
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// decoder decodes JPEG, the common kind itself and the others by libjpeg-turbo, in C
// memory that lives from picture to picture.
type decoder struct {
	c      *C.bp_decoder
	kernel kernel // tests choose others
}

// kernel says which code decodes; the pixels are the same.
type kernel int

const (
	best kernel = iota
	portable
	libjpeg
)

func (k kernel) level() C.int {
	switch k {
	case portable:
		return 0
	case libjpeg:
		return C.LIBJPEG
	}
	return C.int(levels)
}

func (d *decoder) close() {
	if d.c != nil {
		C.bp_decoder_free(d.c)
		d.c = nil
	}
}

// open makes the C decoder on first use.
func (d *decoder) open() error {
	if d.c == nil {
		if d.c = C.bp_decoder_new(); d.c == nil {
			return fmt.Errorf("vision: libjpeg: out of memory")
		}
	}
	return nil
}

// header reads the header of src and leaves the decoder ready for its scans.
func (d *decoder) header(src []byte) (Info, error) {
	if err := d.open(); err != nil {
		return Info{}, err
	}
	if C.bp_header(d.c, (*C.uchar)(unsafe.SliceData(src)), C.size_t(len(src))) != 0 {
		return Info{}, d.error()
	}
	info := Info{Width: int(d.c.width), Height: int(d.c.height), Components: int(d.c.components), Format: "jpeg"}
	return info, info.check()
}

// jpeg decodes the part of src that rect names, which must lie inside the picture that
// header has just read from src, to the same pixels as in the whole.
func (d *decoder) jpeg(dst *pixels, src []byte, info Info, rect Rect) error {
	dst.resize(rect.W, rect.H)
	// The whole decode is one call, since libjpeg's source pointer must not outlive
	// the call that src was passed to.
	if C.bp_decode(d.c, (*C.uchar)(unsafe.SliceData(src)), C.size_t(len(src)), d.kernel.level(), (*C.uchar)(unsafe.SliceData(dst.pix)),
		C.int(rect.X), C.int(rect.Y), C.int(rect.W), C.int(rect.H)) != 0 {
		return d.error()
	}
	return nil
}

// lines decodes the part of src as jpeg does, but into lines, and reports whether it is
// a picture that can be decoded so: if not, dst is arbitrary.
func (d *decoder) lines(dst *lines, src []byte, rect Rect) (bool, error) {
	if !isJPEG(src) {
		return false, nil
	}
	dst.resize(rect.W, rect.H)
	status := C.bp_decode_lines(d.c, (*C.uchar)(unsafe.SliceData(src)), C.size_t(len(src)), d.kernel.level(),
		(*C.uchar)(unsafe.SliceData(dst.pix)), C.int(dst.pitch), C.int(rect.X), C.int(rect.Y), C.int(rect.W), C.int(rect.H))
	if status < 0 {
		return false, d.error()
	}
	return status == 0, nil
}

func (d *decoder) error() error {
	if d.c.unsupported != 0 {
		return fmt.Errorf("vision: jpeg: %w: %s", ErrUnsupported, C.GoString(&d.c.message[0]))
	}
	return fmt.Errorf("vision: jpeg: %s", C.GoString(&d.c.message[0]))
}

func jpegHeader(src []byte) (Info, error) {
	var d decoder
	defer d.close()
	return d.header(src)
}
