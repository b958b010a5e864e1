//go:build cgo

#include <stdlib.h>
#include <string.h>
#include "jpeg.h"
#include <jerror.h>

static void on_error(j_common_ptr c) {
	bp_decoder *d = (bp_decoder *)c->client_data;
	c->err->format_message(c, d->message);
	switch (c->err->msg_code) {
	case JERR_SOF_UNSUPPORTED:
	case JERR_ARITH_NOTIMPL:
	case JERR_BAD_PRECISION:
	case JERR_CONVERSION_NOTIMPL:
	case JERR_FRACT_SAMPLE_NOTIMPL:
	case JERR_CCIR601_NOTIMPL:
	case JERR_COMPONENT_COUNT:
		d->unsupported = 1;
	}
	longjmp(d->bail, 1);
}

// Missing data makes libjpeg go on with gray: that is a damaged picture here. Its
// other warnings (an extra byte before a marker, an odd version number) leave the
// pixels as the encoder meant them.
static void on_message(j_common_ptr c, int level) {
	if (level >= 0)
		return;
	c->err->num_warnings++;
	switch (c->err->msg_code) {
	case JWRN_JPEG_EOF:
	case JWRN_HIT_MARKER:
	case JWRN_HUFF_BAD_CODE:
	case JWRN_MUST_RESYNC:
	case JWRN_BOGUS_PROGRESSION:
	case JWRN_ARITH_BAD_CODE:
		on_error(c);
	}
}

// max_scans is maxScans of decode_go.go.
static int max_scans(const struct jpeg_decompress_struct *c) {
	long long n = (1LL << 31) / ((long long)c->image_width * c->image_height);
	return n < 20 ? 20 : n > 500 ? 500 : (int)n;
}

static void on_progress(j_common_ptr c) {
	j_decompress_ptr dc = (j_decompress_ptr)c;
	if (!c->is_decompressor || dc->input_scan_number <= max_scans(dc))
		return;
	bp_decoder *d = (bp_decoder *)c->client_data;
	snprintf(d->message, sizeof d->message, "more than %d scans of %ux%u pixels", max_scans(dc), dc->image_width, dc->image_height);
	longjmp(d->bail, 1);
}

static void no_output(j_common_ptr c) { (void)c; }

// renew forgets everything of the picture before. jpeg_abort would keep its tables,
// and a picture that lacks its own would be decoded with them: to pixels that depend
// on which worker saw what before. Costs below 1 us. It expects d->bail to be set.
static void renew(bp_decoder *d) {
	jpeg_destroy_decompress(&d->cinfo);
	jpeg_create_decompress(&d->cinfo);
	d->cinfo.client_data = d;
	d->cinfo.progress = &d->progress;
	d->cinfo.mem->max_memory_to_use = 0; // never to temporary files
}

bp_decoder *bp_decoder_new(void) {
	bp_decoder *volatile d = calloc(1, sizeof *d);
	if (!d)
		return NULL;
	d->cinfo.err = jpeg_std_error(&d->err);
	d->err.error_exit = on_error;
	d->err.emit_message = on_message;
	d->err.output_message = no_output;
	d->progress.progress_monitor = on_progress;
	d->cinfo.client_data = d;
	if (setjmp(d->bail)) {
		free(d);
		return NULL;
	}
	renew(d);
	return d;
}

void bp_decoder_free(bp_decoder *d) {
	jpeg_destroy_decompress(&d->cinfo);
	free(d->line);
	if (d->baseline)
		bp_baseline_free(d->baseline);
	free(d->baseline);
	free(d);
}

// read_header expects d->bail to be set.
static void read_header(bp_decoder *d, const unsigned char *src, size_t n) {
	d->unsupported = 0;
	renew(d);
	d->err.num_warnings = 0;
	jpeg_mem_src(&d->cinfo, (unsigned char *)src, n);
	jpeg_read_header(&d->cinfo, TRUE);
}

int bp_header(bp_decoder *d, const unsigned char *src, size_t n) {
	if (setjmp(d->bail)) {
		jpeg_abort_decompress(&d->cinfo);
		return -1;
	}
	read_header(d, src, n);
	d->width = d->cinfo.image_width;
	d->height = d->cinfo.image_height;
	d->components = d->cinfo.num_components;
	jpeg_abort_decompress(&d->cinfo);
	return 0;
}

// from_cmyk multiplies out a row of n CMYK pixels. Adobe writes the inks inverted, and
// without its marker we take them for inverted, too, as OpenCV and so the paper's
// pipeline does: who strips markers is likelier than who writes plain CMYK.
static void from_cmyk(unsigned char *dst, const unsigned char *src, int n) {
	for (int i = 0; i < n; i++, dst += 3, src += 4)
		for (int c = 0; c < 3; c++)
			dst[c] = (src[c] * src[3] + 127) / 255;
}

// MARGIN is how far beyond the wanted part rows and columns are decoded: smoothed
// chroma depends on its neighbours, which are up to 4 pixels away, and libjpeg treats
// the border of a part as that of the picture.
enum { MARGIN = 8 };

static int fail(bp_decoder *d, const char *message) {
	snprintf(d->message, sizeof d->message, "%s", message);
	jpeg_abort_decompress(&d->cinfo);
	return -1;
}

// baseline tries the decoder for the common kind on the picture whose header was read.
static int baseline(bp_decoder *d, int level, unsigned char *dst, int pitch, int x, int y, int w, int h) {
	if ((int)d->cinfo.image_width != d->width || (int)d->cinfo.image_height != d->height)
		return BASELINE_LEFT;
	if (!d->baseline && !(d->baseline = calloc(1, sizeof *d->baseline)))
		return BASELINE_LEFT;
	return bp_baseline_decode(d->baseline, &d->cinfo, level, dst, pitch, x, y, w, h);
}

int bp_decode_lines(bp_decoder *d, const unsigned char *src, size_t n, int level, unsigned char *dst, int pitch, int x, int y, int w, int h) {
	if (setjmp(d->bail)) {
		jpeg_abort_decompress(&d->cinfo);
		return -1;
	}
	read_header(d, src, n);
	int left = level == LIBJPEG || baseline(d, level, dst, pitch, x, y, w, h) != BASELINE_DONE;
	jpeg_abort_decompress(&d->cinfo);
	return left;
}

int bp_decode(bp_decoder *d, const unsigned char *src, size_t n, int level, unsigned char *dst, int x, int y, int w, int h) {
	j_decompress_ptr c = &d->cinfo;
	if (setjmp(d->bail)) {
		jpeg_abort_decompress(c);
		return -1;
	}
	read_header(d, src, n);
	if (level != LIBJPEG && baseline(d, level, dst, 0, x, y, w, h) == BASELINE_DONE) {
		jpeg_abort_decompress(c);
		return 0;
	}
	int cmyk = c->jpeg_color_space == JCS_CMYK || c->jpeg_color_space == JCS_YCCK;
	c->out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
	c->dct_method = JDCT_ISLOW;
	jpeg_start_decompress(c);
	if ((int)c->output_width != d->width || (int)c->output_height != d->height)
		return fail(d, "size changed while decoding");
	int px = cmyk ? 4 : 3;
	JDIMENSION left = 0, width = d->width;
	if (w < d->width) {
		left = x < MARGIN ? 0 : x - MARGIN;
		JDIMENSION right = x + w + MARGIN < d->width ? x + w + MARGIN : d->width;
		width = right - left;
		jpeg_crop_scanline(c, &left, &width);
	}
	if (d->line_size < (size_t)d->width * px) {
		free(d->line);
		d->line_size = 0;
		if (!(d->line = malloc((size_t)d->width * px)))
			return fail(d, "out of memory");
		d->line_size = (size_t)d->width * px;
	}
	if (y > MARGIN)
		jpeg_skip_scanlines(c, y - MARGIN);
	int direct = !cmyk && left == 0 && w == d->width;
	for (int row; (row = c->output_scanline) < y + h;) {
		JSAMPROW rows[8] = {d->line};
		int k = 1;
		if (direct && row >= y) {
			for (k = 0; k < 8 && row + k < y + h; k++)
				rows[k] = dst + (size_t)(row - y + k) * w * 3;
		}
		k = jpeg_read_scanlines(c, rows, k);
		unsigned char *out = dst + (size_t)(row - y) * w * 3;
		if (row < y || direct)
			continue;
		if (cmyk)
			from_cmyk(out, d->line + (x - left) * 4, w);
		else
			memcpy(out, d->line + (x - left) * 3, (size_t)w * 3);
	}
	// What lies below is neither decoded nor checked, unless it is all there was to do.
	if (y + h == d->height)
		jpeg_finish_decompress(c);
	else
		jpeg_abort_decompress(c);
	return 0;
}
