//go:build cgo

#include <stdlib.h>
#include <string.h>
#include "baseline.h"
#include "ycc.h"

enum {
	MAX_WINDOW = 16 << 20, // pixels, above which libjpeg's few rows of memory are better
	LEAD = 32, // bytes before a row's first sample
	NEAR = 4, // pixels around the part that doubled chroma may depend on
};

static int least(int a, int b) { return a < b ? a : b; }

// choose fills in what the header says; 0 if it is a picture for this decoder.
static int choose(bp_baseline *b, j_decompress_ptr c) {
	b->components = c->num_components;
	if (c->progressive_mode || c->arith_code || c->data_precision != 8 || c->comps_in_scan != c->num_components ||
		c->Ss != 0 || c->Se != 63 || c->Ah != 0 || c->Al != 0)
		return -1;
	if (!(c->num_components == 1 && c->jpeg_color_space == JCS_GRAYSCALE) &&
		!(c->num_components == 3 && c->jpeg_color_space == JCS_YCbCr))
		return -1;
	for (int i = 0; i < b->components; i++) {
		jpeg_component_info *in = c->cur_comp_info[i];
		bp_component *of = &b->of[i];
		if (in != &c->comp_info[i])
			return -1;
		of->across = b->components == 1 ? 1 : in->h_samp_factor;
		of->down = b->components == 1 ? 1 : in->v_samp_factor;
		if (i > 0 && (of->across != 1 || of->down != 1))
			return -1;
		JQUANT_TBL *q = in->quant_tbl_no < NUM_QUANT_TBLS ? c->quant_tbl_ptrs[in->quant_tbl_no] : NULL;
		JHUFF_TBL *dc = in->dc_tbl_no < NUM_HUFF_TBLS ? c->dc_huff_tbl_ptrs[in->dc_tbl_no] : NULL;
		JHUFF_TBL *ac = in->ac_tbl_no < NUM_HUFF_TBLS ? c->ac_huff_tbl_ptrs[in->ac_tbl_no] : NULL;
		if (!q || !dc || !ac || bp_huffman_make(&b->dc[in->dc_tbl_no], dc->bits, dc->huffval, 1) ||
			bp_huffman_make(&b->ac[in->ac_tbl_no], ac->bits, ac->huffval, 0))
			return -1;
		of->dc = &b->dc[in->dc_tbl_no];
		of->ac = &b->ac[in->ac_tbl_no];
		for (int k = 0; k < 64; k++)
			of->quant[k / 8 * 16 + k % 8] = of->quant[k / 8 * 16 + 8 + k % 8] = (int16_t)q->quantval[k];
	}
	int h = b->of[0].across, v = b->of[0].down;
	if (!(h == 1 && v == 1) && !(h == 2 && v == 1) && !(h == 2 && v == 2))
		return -1;
	b->mcu_width = 8 * h;
	b->mcu_height = 8 * v;
	for (int i = 0; i < b->components; i++) {
		bp_component *of = &b->of[i];
		of->width = i ? ((int)c->image_width + h - 1) / h : (int)c->image_width;
		of->height = i ? ((int)c->image_height + v - 1) / v : (int)c->image_height;
	}
	// libjpeg repeats samples where there are too few to smooth.
	return b->components == 3 && h == 2 && b->of[1].width < 3 ? -1 : 0;
}

static size_t even(size_t n) { return (n + 63) & ~(size_t)63; }

// room makes room for the window's planes.
static int room(bp_baseline *b) {
	int across = b->right - b->left, down = b->bottom - b->top;
	if ((int64_t)across * b->mcu_width * down * b->mcu_height > MAX_WINDOW)
		return -1;
	size_t n = 0, line = even((size_t)across * b->mcu_width + 64);
	for (int pass = 0; pass < 2; pass++) { // the first counts
		n = 0;
		for (int i = 0; i < b->components; i++) {
			bp_component *of = &b->of[i];
			of->pairs = (across * of->across + 1) / 2;
			of->stride = (int)even(of->pairs * 16 + 2 * LEAD);
			of->rows = down * of->down * 8;
			size_t plane = even((size_t)of->stride * of->rows + 64);
			size_t coefs = (size_t)of->down * of->pairs * PAIR * sizeof(int16_t);
			if (pass) {
				of->pix = b->memory + n + LEAD;
				of->coefs = (int16_t *)(b->memory + n + plane);
				of->full = b->memory + n + plane + coefs;
			}
			n += plane + coefs + even((size_t)of->down * of->pairs * 2);
		}
		if (pass) {
			b->row = b->memory + n;
			b->sums = (int16_t *)(b->memory + n + 5 * line);
		}
		n += 5 * line + 2 * line;
		if (!pass && b->size < n) {
			free(b->memory);
			b->size = 0;
			if (!(b->memory = aligned_alloc(64, even(n + n / 4))))
				return -1;
			b->size = n + n / 4;
		}
	}
	return 0;
}

// mcu decodes the MCU at mx, in the window where keep is set.
static int mcu(bp_baseline *b, int level, int mx, int keep) {
	for (int i = 0; i < b->components; i++) {
		bp_component *of = &b->of[i];
		for (int v = 0; v < of->down; v++)
			for (int h = 0; h < of->across; h++) {
				if (!keep) {
					if (bp_skip(level, &b->stream, of->dc, of->ac, &of->pred) < 0)
						return -1;
					continue;
				}
				int at = (mx - b->left) * of->across + h;
				int16_t *pair = of->coefs + (size_t)(v * of->pairs + at / 2) * PAIR;
				int last = bp_block(level, &b->stream, of->dc, of->ac, &of->pred, pair + at % 2 * 8);
				if (last < 0)
					return -1;
				of->full[v * of->pairs * 2 + at] = last > 0;
			}
	}
	return 0;
}

// transform makes samples of the row of MCUs my.
static int transform(bp_baseline *b, int level, int my) {
	int wild = 0;
	for (int i = 0; i < b->components; i++) {
		bp_component *of = &b->of[i];
		for (int v = 0; v < of->down; v++) {
			uint8_t *dst = of->pix + (size_t)((my - b->top) * of->down + v) * 8 * of->stride;
			int16_t *pair = of->coefs + (size_t)v * of->pairs * PAIR;
			const uint8_t *full = of->full + v * of->pairs * 2;
			for (int k = 0; k < of->pairs; k++, dst += 16, pair += PAIR)
				wild |= full[2 * k] | full[2 * k + 1] ? bp_idct(level, dst, of->stride, pair, of->quant)
					: bp_idct_flat(dst, of->stride, pair, of->quant);
		}
	}
	return wild;
}

static void clear(bp_baseline *b) {
	for (int i = 0; i < b->components; i++) {
		bp_component *of = &b->of[i];
		memset(of->coefs, 0, (size_t)of->down * of->pairs * PAIR * sizeof(int16_t));
		memset(of->full, 0, (size_t)of->down * of->pairs * 2);
	}
}

// scan decodes the planes of the window; behind it, only what to_end asks for.
static int scan(bp_baseline *b, j_decompress_ptr c, int level, int to_end) {
	int across = (c->image_width + b->mcu_width - 1) / b->mcu_width;
	unsigned until = c->restart_interval;
	int restarts = 0;
	bp_stream_open(&b->stream, c->src->next_input_byte, c->src->bytes_in_buffer);
	for (int i = 0; i < b->components; i++)
		b->of[i].pred = 0;
	for (int my = 0; my < b->bottom; my++) {
		int inside = my >= b->top;
		if (inside)
			clear(b);
		int end = to_end || my + 1 < b->bottom ? across : b->right;
		for (int mx = 0; mx < end; mx++) {
			if (c->restart_interval && until-- == 0) {
				if (bp_stream_restart(&b->stream, restarts++))
					return -1;
				until = c->restart_interval - 1;
				for (int i = 0; i < b->components; i++)
					b->of[i].pred = 0;
			}
			if (mcu(b, level, mx, inside && mx >= b->left && mx < b->right))
				return -1;
		}
		if (bp_stream_overrun(&b->stream) || (inside && transform(b, level, my)))
			return -1;
	}
	return to_end ? bp_stream_ended(&b->stream) : 0;
}

// border repeats the outermost samples of the chroma planes where the picture ends.
static void border(bp_baseline *b) {
	for (int i = 1; i < b->components; i++) {
		bp_component *of = &b->of[i];
		int n = of->width - b->left * 8;
		for (int y = 0; y < of->rows; y++) {
			uint8_t *row = of->pix + (size_t)y * of->stride;
			if (b->left == 0)
				row[-1] = row[0];
			if (n <= of->pairs * 16)
				row[n] = row[n - 1];
		}
	}
}

// chroma_row is row y of a chroma plane, of the whole picture.
static const uint8_t *chroma_row(bp_baseline *b, bp_component *of, int y) {
	y = y < 0 ? 0 : y >= of->height ? of->height - 1 : y;
	return of->pix + (size_t)(y - b->top * 8) * of->stride - b->left * 8;
}

// chroma is row y of a component from x on, as large as the luma's.
static const uint8_t *chroma(bp_baseline *b, int level, int i, int x, int y, int w, uint8_t *row) {
	bp_component *of = &b->of[i];
	if (b->mcu_width == 8)
		return chroma_row(b, of, y) + x;
	int from = x / 2, n = (x + w - 1) / 2 - from + 1;
	if (b->mcu_height == 8)
		bp_double(level, row, chroma_row(b, of, y) + from, n);
	else
		bp_double_both(level, row, chroma_row(b, of, y / 2) + from, chroma_row(b, of, y % 2 ? y / 2 + 1 : y / 2 - 1) + from, n, b->sums);
	return row + x % 2;
}

static void paint(bp_baseline *b, int level, uint8_t *dst, int pitch, int x, int y, int w, int h) {
	size_t line = even((size_t)(b->right - b->left) * b->mcu_width + 64);
	int n = pitch ? pitch : w;
	for (int row = 0; row < h; row++) {
		const uint8_t *luma = b->of[0].pix + (size_t)(y + row - b->top * b->mcu_height) * b->of[0].stride + x - b->left * b->mcu_width;
		uint8_t *out = pitch ? dst + (size_t)row * 3 * pitch : b->row + 2 * line;
		size_t step = pitch ? (size_t)pitch : line;
		if (b->components == 1) {
			for (int k = 0; k < 3; k++)
				memcpy(out + k * step, luma, n);
		} else {
			const uint8_t *u = chroma(b, level, 1, x, y + row, w, b->row), *v = chroma(b, level, 2, x, y + row, w, b->row + line);
			bp_ycc(level, out, out + step, out + 2 * step, luma, u, v, n);
		}
		if (!pitch)
			bp_join(level, dst + (size_t)row * 3 * w, out, out + step, out + 2 * step, w);
	}
}

int bp_baseline_decode(bp_baseline *b, j_decompress_ptr c, int level, uint8_t *dst, int pitch, int x, int y, int w, int h) {
	if (choose(b, c))
		return BASELINE_LEFT;
	int near = b->mcu_width > 8 ? NEAR : 0, width = c->image_width, height = c->image_height;
	b->left = (x > near ? x - near : 0) / b->mcu_width;
	b->top = (y > near ? y - near : 0) / b->mcu_height;
	b->right = (least(x + w + near, width) + b->mcu_width - 1) / b->mcu_width;
	b->bottom = (least(y + h + near, height) + b->mcu_height - 1) / b->mcu_height;
	if (room(b) || scan(b, c, level, y + h == height))
		return BASELINE_LEFT;
	border(b);
	paint(b, level, dst, pitch, x, y, w, h);
	return BASELINE_DONE;
}

void bp_baseline_free(bp_baseline *b) { free(b->memory); }
