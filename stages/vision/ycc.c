//go:build cgo

#include "ycc.h"
#include "variants.h"

static inline __attribute__((always_inline)) uint8_t clamp8(int v) { return v < 0 ? 0 : v > 255 ? 255 : v; }

// The factors, 1.402 and so on, have 16 fraction bits; whole parts are taken out so that
// products of 16 bits do.
BODY ycc(uint8_t *restrict r, uint8_t *restrict g, uint8_t *restrict b, const uint8_t *restrict y,
	const uint8_t *restrict cb, const uint8_t *restrict cr, int n) {
	for (int i = 0; i < n; i++) {
		int16_t u = cb[i] - 128, v = cr[i] - 128, luma = y[i];
		int16_t u2 = 2 * u, v2 = 2 * v;
		int16_t red = (int16_t)(((int16_t)(v2 * 26345 >> 16) + 1) >> 1) + v;
		int16_t blue = (int16_t)(((int16_t)(u2 * -14942 >> 16) + 1) >> 1) + u2;
		int16_t green = (int16_t)((u * -22554 + v * 18734 + 32768) >> 16) - v;
		r[i] = clamp8((int16_t)(luma + red));
		g[i] = clamp8((int16_t)(luma + green));
		b[i] = clamp8((int16_t)(luma + blue));
	}
}

BODY double_row(uint8_t *restrict dst, const uint8_t *restrict src, int n) {
	for (int i = 0; i < n; i++) {
		uint16_t near = 3 * src[i];
		dst[2 * i] = (uint16_t)(near + src[i - 1] + 1) >> 2;
		dst[2 * i + 1] = (uint16_t)(near + src[i + 1] + 2) >> 2;
	}
}

BODY double_both(uint8_t *restrict dst, const uint8_t *restrict src, const uint8_t *restrict far, int n, int16_t *restrict sums) {
	for (int i = 0; i < n + 2; i++)
		sums[i] = 3 * src[i - 1] + far[i - 1];
	for (int i = 0; i < n; i++) {
		uint16_t near = 3 * sums[i + 1];
		dst[2 * i] = (uint16_t)(near + sums[i] + 8) >> 4;
		dst[2 * i + 1] = (uint16_t)(near + sums[i + 2] + 7) >> 4;
	}
}

BODY join(uint8_t *restrict dst, const uint8_t *restrict r, const uint8_t *restrict g, const uint8_t *restrict b, int n) {
	for (int i = 0; i < n; i++) {
		dst[3 * i] = r[i];
		dst[3 * i + 1] = g[i];
		dst[3 * i + 2] = b[i];
	}
}

#ifdef HAS_V3
V3 ycc_v3(uint8_t *r, uint8_t *g, uint8_t *b, const uint8_t *y, const uint8_t *cb, const uint8_t *cr, int n) { ycc(r, g, b, y, cb, cr, n); }
V3 double_row_v3(uint8_t *dst, const uint8_t *src, int n) { double_row(dst, src, n); }
V3 double_both_v3(uint8_t *dst, const uint8_t *src, const uint8_t *far, int n, int16_t *sums) { double_both(dst, src, far, n, sums); }
V3 join_v3(uint8_t *dst, const uint8_t *r, const uint8_t *g, const uint8_t *b, int n) { join(dst, r, g, b, n); }
#endif

void bp_ycc(int level, uint8_t *r, uint8_t *g, uint8_t *b, const uint8_t *y, const uint8_t *cb, const uint8_t *cr, int n) { PICK(ycc, r, g, b, y, cb, cr, n); }

void bp_double(int level, uint8_t *dst, const uint8_t *src, int n) { PICK(double_row, dst, src, n); }

void bp_double_both(int level, uint8_t *dst, const uint8_t *src, const uint8_t *far, int n, int16_t *sums) { PICK(double_both, dst, src, far, n, sums); }

void bp_join(int level, uint8_t *dst, const uint8_t *r, const uint8_t *g, const uint8_t *b, int n) { PICK(join, dst, r, g, b, n); }
