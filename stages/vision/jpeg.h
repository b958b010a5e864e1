#ifndef BAGPIPE_JPEG_H
#define BAGPIPE_JPEG_H

#include <stdio.h>
#include <stddef.h>
#include <setjmp.h>
#include <jpeglib.h>
#include "baseline.h"

// bp_decoder is a libjpeg decompressor with its error handling, and the decoder for the
// common kind. After a failure, message says why.
typedef struct {
	struct jpeg_decompress_struct cinfo;
	struct jpeg_error_mgr err;
	struct jpeg_progress_mgr progress;
	jmp_buf bail;
	int width, height, components;
	int unsupported;
	char message[JMSG_LENGTH_MAX];
	unsigned char *line; // one row as libjpeg gives it
	size_t line_size;
	bp_baseline *baseline;
} bp_decoder;

bp_decoder *bp_decoder_new(void);
void bp_decoder_free(bp_decoder *d);

// bp_header fills in width, height and components; 0 on success.
int bp_header(bp_decoder *d, const unsigned char *src, size_t n);

// bp_decode decodes the part w x h at x, y of the picture, which must be width x height,
// to RGB rows without gaps, and not more of the file than it needs; 0 on success. level
// is that of the kernels, LIBJPEG for libjpeg alone.
int bp_decode(bp_decoder *d, const unsigned char *src, size_t n, int level, unsigned char *dst, int x, int y, int w, int h);

// bp_decode_lines is bp_decode to rows of three lines of pitch bytes: 1 if it is a picture
// that only bp_decode decodes.
int bp_decode_lines(bp_decoder *d, const unsigned char *src, size_t n, int level, unsigned char *dst, int pitch, int x, int y, int w, int h);

enum { LIBJPEG = -1 };

#endif
