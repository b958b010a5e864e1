//go:build cgo && !cuda

package host

// #include <stdlib.h>
// #include <string.h>
// #include <sys/mman.h>
//
// // big is the size from which huge pages pay: a first touch of 4 KB costs 2 us.
// enum { BIG = 4 << 20, HUGE_PAGE = 2 << 20 };
//
// static void *take(size_t size) {
// 	void *p = NULL;
// 	if (posix_memalign(&p, size >= BIG ? HUGE_PAGE : 64, size)) return NULL;
// #ifdef MADV_HUGEPAGE
// 	if (size >= BIG) madvise(p, size / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
// #endif
// 	return memset(p, 0, size);
// }
import "C"

import (
	"fmt"
	"unsafe"
)

// zeroed returns aligned C memory with all its pages touched.
func zeroed(size int) ([]byte, func(), error) {
	p := C.take(C.size_t(size))
	if p == nil {
		return nil, nil, fmt.Errorf("host: cannot allocate %d bytes (use a smaller batch)", size)
	}
	return unsafe.Slice((*byte)(p), size), func() { C.free(p) }, nil
}
