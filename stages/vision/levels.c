//go:build cgo

#include "kernels.h"
#include "variants.h"

// to_level rounds half to even and saturates: adding 1.5 * 2^23 leaves no fraction bits.
static inline __attribute__((always_inline)) uint8_t to_level(float v) {
	const float magic = 12582912;
	float n = (v + magic) - magic;
	n = n < 0 ? 0 : n;
	n = n > 255 ? 255 : n;
	return (uint8_t)(int)n;
}

static inline __attribute__((always_inline)) int swapped_gray(int r, int g, int b) {
	return (9798 * b + 19235 * g + 3735 * r + (1 << 14)) >> 15;
}

BODY scale_levels(uint8_t *pix, int n, float a, float b) {
	for (int i = 0; i < n; i++)
		pix[i] = to_level((float)pix[i] * a + b);
}

BODY saturate_line(uint8_t *restrict r, uint8_t *restrict g, uint8_t *restrict b, int n, float a) {
	for (int i = 0; i < n; i++) {
		float gray = (1 - a) * (float)swapped_gray(r[i], g[i], b[i]);
		r[i] = to_level((float)r[i] * a + gray);
		g[i] = to_level((float)g[i] * a + gray);
		b[i] = to_level((float)b[i] * a + gray);
	}
}

BODY saturate_levels(uint8_t *pix, int rows, int pitch, float a) {
	for (int y = 0; y < rows; y++, pix += 3 * pitch)
		saturate_line(pix, pix + pitch, pix + 2 * pitch, pitch, a);
}

BODY noise_line(uint8_t *pix, int n, float noise) {
	for (int i = 0; i < n; i++) {
		int v = (int)((float)pix[i] + noise);
		pix[i] = v < 0 ? 0 : v > 255 ? 255 : v;
	}
}

BODY noise_levels(uint8_t *pix, int rows, int pitch, const float noise[3]) {
	for (int y = 0; y < 3 * rows; y++)
		noise_line(pix + (int64_t)y * pitch, pitch, noise[y % 3]);
}

static inline __attribute__((always_inline)) int gray_line(const uint8_t *r, const uint8_t *g, const uint8_t *b, int n) {
	int sum = 0;
	for (int i = 0; i < n; i++)
		sum += swapped_gray(r[i], g[i], b[i]);
	return sum;
}

BODY gray_sum(const uint8_t *pix, int n, int rows, int pitch, int64_t *sum) {
	for (int y = 0; y < rows; y++, pix += 3 * pitch)
		*sum += gray_line(pix, pix + pitch, pix + 2 * pitch, n);
}

BODY blend_rows(uint8_t *restrict dst, const int32_t *restrict a, const int32_t *restrict b, int n, int wa, int wb) {
	for (int i = 0; i < n; i++) {
		int v = ((wa * (a[i] >> 4) >> 16) + (wb * (b[i] >> 4) >> 16) + 2) >> 2;
		dst[i] = (uint8_t)v;
	}
}

BODY blend_columns(int32_t *restrict dst, const uint8_t *restrict src, const bp_tap *restrict taps, int n) {
	for (int x = 0; x < n; x++, dst += 3) {
		const uint8_t *i = src + 3 * taps[x].i, *j = src + 3 * taps[x].j;
		int wi = taps[x].wi, wj = taps[x].wj;
		dst[0] = i[0] * wi + j[0] * wj;
		dst[1] = i[1] * wi + j[1] * wj;
		dst[2] = i[2] * wi + j[2] * wj;
	}
}

#ifdef HAS_V3
V3 scale_levels_v3(uint8_t *pix, int n, float a, float b) { scale_levels(pix, n, a, b); }
V3 saturate_levels_v3(uint8_t *pix, int rows, int pitch, float a) { saturate_levels(pix, rows, pitch, a); }
V3 noise_levels_v3(uint8_t *pix, int rows, int pitch, const float *noise) { noise_levels(pix, rows, pitch, noise); }
V3 gray_sum_v3(const uint8_t *pix, int n, int rows, int pitch, int64_t *sum) { gray_sum(pix, n, rows, pitch, sum); }
V3 blend_rows_v3(uint8_t *dst, const int32_t *a, const int32_t *b, int n, int wa, int wb) { blend_rows(dst, a, b, n, wa, wb); }
V3 blend_columns_v3(int32_t *dst, const uint8_t *src, const bp_tap *taps, int n) { blend_columns(dst, src, taps, n); }
#endif

void bp_scale_levels(int level, uint8_t *pix, int n, float a, float b) { PICK(scale_levels, pix, n, a, b); }

void bp_saturate_levels(int level, uint8_t *pix, int rows, int pitch, float a) { PICK(saturate_levels, pix, rows, pitch, a); }

void bp_noise_levels(int level, uint8_t *pix, int rows, int pitch, float r, float g, float b) {
	const float noise[3] = {r, g, b};
	PICK(noise_levels, pix, rows, pitch, noise);
}

int64_t bp_gray_sum(int level, const uint8_t *pix, int n, int rows, int pitch) {
	int64_t sum = 0;
#ifdef HAS_V3
	if (level) {
		gray_sum_v3(pix, n, rows, pitch, &sum);
		return sum;
	}
#endif
	(void)level;
	gray_sum(pix, n, rows, pitch, &sum);
	return sum;
}

static int32_t *blended(int level, int32_t *row, const uint8_t *src, const bp_tap *columns, int w) {
#ifdef HAS_V3
	if (level) {
		blend_columns_v3(row, src, columns, w);
		return row;
	}
#endif
	(void)level;
	blend_columns(row, src, columns, w);
	return row;
}

void bp_blend(int level, uint8_t *dst, int w, int h, const uint8_t *src, int64_t pitch, const bp_tap *columns, const bp_tap *rows, int32_t *two) {
	int32_t *a = two, *b = two + 3 * w;
	int above = -1, below = -1; // the rows of src that a and b hold
	for (int y = 0; y < h; y++, dst += 3 * w) {
		const bp_tap *t = rows + y;
		if (below == t->i) {
			int32_t *row = a;
			a = b, b = row;
			int n = above;
			above = below, below = n;
		}
		if (above != t->i)
			blended(level, a, src + t->i * pitch, columns, w), above = t->i;
		if (below != t->j)
			blended(level, b, src + t->j * pitch, columns, w), below = t->j;
#ifdef HAS_V3
		if (level) {
			blend_rows_v3(dst, a, b, 3 * w, t->wi, t->wj);
			continue;
		}
#endif
		blend_rows(dst, a, b, 3 * w, t->wi, t->wj);
	}
}
