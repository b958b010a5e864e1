//go:build cgo

#include <string.h>
#include "idct.h"
#include "variants.h"

#ifdef HAS_V3
#include <immintrin.h>
#endif

// The algorithm is Loeffler, Ligtenberg and Moschytz's with 12 multiplications (ICASSP
// 1989), in libjpeg's fixed point: constants of 13 bits, 2 more bits after the columns.
// Sums of two inputs wrap at 16 bits and results saturate there, as in libjpeg-turbo's
// vector code; only coefficients that no encoder writes tell.
enum {
	BITS = 13, PASS_BITS = 2, COLUMNS = BITS - PASS_BITS, ROWS = BITS + PASS_BITS + 3,
	F0_298 = 2446, F0_390 = 3196, F0_541 = 4433, F0_765 = 6270, F0_899 = 7373, F1_175 = 9633,
	F1_501 = 12299, F1_847 = 15137, F1_961 = 16069, F2_053 = 16819, F2_562 = 20995, F3_072 = 25172,
	WILD = 8191, // of the first row; above, libjpeg's shortcut for empty rows wraps
};

// Rows 0 to 7 begin at every 16th coefficient.
#define PLACE(n) ((n) / 8 * 16 + (n) % 8)
const uint8_t bp_place[64] = {
	PLACE(0), PLACE(1), PLACE(8), PLACE(16), PLACE(9), PLACE(2), PLACE(3), PLACE(10),
	PLACE(17), PLACE(24), PLACE(32), PLACE(25), PLACE(18), PLACE(11), PLACE(4), PLACE(5),
	PLACE(12), PLACE(19), PLACE(26), PLACE(33), PLACE(40), PLACE(48), PLACE(41), PLACE(34),
	PLACE(27), PLACE(20), PLACE(13), PLACE(6), PLACE(7), PLACE(14), PLACE(21), PLACE(28),
	PLACE(35), PLACE(42), PLACE(49), PLACE(56), PLACE(57), PLACE(50), PLACE(43), PLACE(36),
	PLACE(29), PLACE(22), PLACE(15), PLACE(23), PLACE(30), PLACE(37), PLACE(44), PLACE(51),
	PLACE(58), PLACE(59), PLACE(52), PLACE(45), PLACE(38), PLACE(31), PLACE(39), PLACE(46),
	PLACE(53), PLACE(60), PLACE(61), PLACE(54), PLACE(47), PLACE(55), PLACE(62), PLACE(63),
};

static inline int16_t wrap(int v) { return (int16_t)(uint16_t)v; }

static inline int16_t saturate(int v) { return v > 32767 ? 32767 : v < -32768 ? -32768 : v; }

// transform is the one-dimensional transform of 8 numbers, step apart.
static void transform(int16_t *v, int step, int shift) {
	int round = 1 << (shift - 1);
	int z2 = v[2 * step], z3 = v[6 * step];
	int t2 = z2 * F0_541 + z3 * (F0_541 - F1_847), t3 = z2 * (F0_541 + F0_765) + z3 * F0_541;
	int t0 = wrap(v[0] + v[4 * step]) * (1 << BITS) + round, t1 = wrap(v[0] - v[4 * step]) * (1 << BITS) + round;
	int e0 = t0 + t3, e3 = t0 - t3, e1 = t1 + t2, e2 = t1 - t2;
	int a = v[7 * step], b = v[5 * step], c = v[3 * step], d = v[step];
	int p = wrap(a + c), q = wrap(b + d);
	int z = p * (F1_175 - F1_961) + q * F1_175, w = p * F1_175 + q * (F1_175 - F0_390);
	int o0 = a * (F0_298 - F0_899) - d * F0_899 + z, o3 = d * (F1_501 - F0_899) - a * F0_899 + w;
	int o1 = b * (F2_053 - F2_562) - c * F2_562 + w, o2 = c * (F3_072 - F2_562) - b * F2_562 + z;
	v[0] = saturate((e0 + o3) >> shift);
	v[7 * step] = saturate((e0 - o3) >> shift);
	v[step] = saturate((e1 + o2) >> shift);
	v[6 * step] = saturate((e1 - o2) >> shift);
	v[2 * step] = saturate((e2 + o1) >> shift);
	v[5 * step] = saturate((e2 - o1) >> shift);
	v[3 * step] = saturate((e3 + o0) >> shift);
	v[4 * step] = saturate((e3 - o0) >> shift);
}

static inline uint8_t level_of(int v) { return v < -128 ? 0 : v > 127 ? 255 : v + 128; }

static int idct_plain(uint8_t *dst, int stride, const int16_t *coefs, const int16_t *quant) {
	int16_t v[PAIR];
	int wild = 0;
	for (int i = 0; i < PAIR; i++)
		v[i] = wrap(coefs[i] * quant[i]);
	for (int i = 0; i < 16; i++) {
		wild |= v[i] > WILD || v[i] < -WILD;
		transform(v + i, 16, COLUMNS);
	}
	for (int i = 0; i < 16; i++) {
		transform(v + 8 * i, 1, ROWS);
		for (int x = 0; x < 8; x++)
			dst[i / 2 * stride + i % 2 * 8 + x] = level_of(v[8 * i + x]);
	}
	return wild;
}

#ifdef HAS_V3

#define INLINE_V3 static inline __attribute__((always_inline, target("avx2")))

// PAIRS is the constant that madd multiplies pairs of numbers with.
#define PAIRS(a, b) _mm256_set1_epi32((int)((uint32_t)(uint16_t)(a) | (uint32_t)(uint16_t)(b) << 16))

// sums are numbers of 32 bits, those of the lower and of the upper half of a vector.
typedef struct { __m256i lo, hi; } sums;

INLINE_V3 sums products(__m256i lo, __m256i hi, __m256i k) { return (sums){_mm256_madd_epi16(lo, k), _mm256_madd_epi16(hi, k)}; }

INLINE_V3 sums add(sums a, sums b) { return (sums){_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)}; }

INLINE_V3 sums sub(sums a, sums b) { return (sums){_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi)}; }

// scaled is v with BITS fraction bits, and round added.
INLINE_V3 sums scaled(__m256i v, __m256i round) {
	__m256i zero = _mm256_setzero_si256();
	return (sums){_mm256_add_epi32(_mm256_srai_epi32(_mm256_unpacklo_epi16(zero, v), 16 - BITS), round),
		_mm256_add_epi32(_mm256_srai_epi32(_mm256_unpackhi_epi16(zero, v), 16 - BITS), round)};
}

#define NARROW(s, shift) _mm256_packs_epi32(_mm256_srai_epi32((s).lo, shift), _mm256_srai_epi32((s).hi, shift))

// TRANSFORM is transform of each position of eight vectors.
#define TRANSFORM(v, shift) \
	do { \
		__m256i lo = _mm256_unpacklo_epi16(v[2], v[6]), hi = _mm256_unpackhi_epi16(v[2], v[6]); \
		sums t2 = products(lo, hi, PAIRS(F0_541, F0_541 - F1_847)), t3 = products(lo, hi, PAIRS(F0_541 + F0_765, F0_541)); \
		__m256i round = _mm256_set1_epi32(1 << (shift - 1)); \
		sums t0 = scaled(_mm256_add_epi16(v[0], v[4]), round), t1 = scaled(_mm256_sub_epi16(v[0], v[4]), round); \
		sums e0 = add(t0, t3), e3 = sub(t0, t3), e1 = add(t1, t2), e2 = sub(t1, t2); \
		__m256i p = _mm256_add_epi16(v[7], v[3]), q = _mm256_add_epi16(v[5], v[1]); \
		lo = _mm256_unpacklo_epi16(p, q), hi = _mm256_unpackhi_epi16(p, q); \
		sums z = products(lo, hi, PAIRS(F1_175 - F1_961, F1_175)), w = products(lo, hi, PAIRS(F1_175, F1_175 - F0_390)); \
		lo = _mm256_unpacklo_epi16(v[7], v[1]), hi = _mm256_unpackhi_epi16(v[7], v[1]); \
		sums o0 = add(products(lo, hi, PAIRS(F0_298 - F0_899, -F0_899)), z); \
		sums o3 = add(products(lo, hi, PAIRS(-F0_899, F1_501 - F0_899)), w); \
		lo = _mm256_unpacklo_epi16(v[5], v[3]), hi = _mm256_unpackhi_epi16(v[5], v[3]); \
		sums o1 = add(products(lo, hi, PAIRS(F2_053 - F2_562, -F2_562)), w); \
		sums o2 = add(products(lo, hi, PAIRS(-F2_562, F3_072 - F2_562)), z); \
		v[0] = NARROW(add(e0, o3), shift); \
		v[7] = NARROW(sub(e0, o3), shift); \
		v[1] = NARROW(add(e1, o2), shift); \
		v[6] = NARROW(sub(e1, o2), shift); \
		v[2] = NARROW(add(e2, o1), shift); \
		v[5] = NARROW(sub(e2, o1), shift); \
		v[3] = NARROW(add(e3, o0), shift); \
		v[4] = NARROW(sub(e3, o0), shift); \
	} while (0)

// transpose swaps rows and columns of the 8x8 numbers in the lower lanes, and in the upper.
INLINE_V3 void transpose(__m256i v[8]) {
	__m256i a[8], b[8];
	for (int i = 0; i < 4; i++) {
		a[2 * i] = _mm256_unpacklo_epi16(v[2 * i], v[2 * i + 1]);
		a[2 * i + 1] = _mm256_unpackhi_epi16(v[2 * i], v[2 * i + 1]);
	}
	for (int i = 0; i < 2; i++)
		for (int k = 0; k < 2; k++) {
			b[4 * i + 2 * k] = _mm256_unpacklo_epi32(a[4 * i + k], a[4 * i + 2 + k]);
			b[4 * i + 2 * k + 1] = _mm256_unpackhi_epi32(a[4 * i + k], a[4 * i + 2 + k]);
		}
	for (int k = 0; k < 4; k++) {
		v[2 * k] = _mm256_unpacklo_epi64(b[k], b[4 + k]);
		v[2 * k + 1] = _mm256_unpackhi_epi64(b[k], b[4 + k]);
	}
}

__attribute__((target("avx2"))) static int idct_v3(uint8_t *dst, int stride, const int16_t *coefs, const int16_t *quant) {
	__m256i v[8];
	for (int y = 0; y < 8; y++)
		v[y] = _mm256_mullo_epi16(_mm256_loadu_si256((const __m256i *)(coefs + 16 * y)), _mm256_loadu_si256((const __m256i *)(quant + 16 * y)));
	__m256i wild = _mm256_cmpgt_epi16(_mm256_abs_epi16(v[0]), _mm256_set1_epi16(WILD));
	wild = _mm256_or_si256(wild, _mm256_cmpeq_epi16(v[0], _mm256_set1_epi16(-32768)));
	TRANSFORM(v, COLUMNS);
	transpose(v);
	TRANSFORM(v, ROWS);
	transpose(v);
	for (int y = 0; y < 8; y += 2) {
		__m256i two = _mm256_add_epi8(_mm256_packs_epi16(v[y], v[y + 1]), _mm256_set1_epi8(-128));
		two = _mm256_permute4x64_epi64(two, 0xd8);
		_mm_storeu_si128((__m128i *)(dst + y * stride), _mm256_castsi256_si128(two));
		_mm_storeu_si128((__m128i *)(dst + (y + 1) * stride), _mm256_extracti128_si256(two, 1));
	}
	return _mm256_movemask_epi8(wild);
}

#endif

int bp_idct(int level, uint8_t *dst, int stride, const int16_t coefs[PAIR], const int16_t quant[PAIR]) {
#ifdef HAS_V3
	if (level)
		return idct_v3(dst, stride, coefs, quant);
#endif
	(void)level;
	return idct_plain(dst, stride, coefs, quant);
}

int bp_idct_flat(uint8_t *dst, int stride, const int16_t coefs[PAIR], const int16_t quant[PAIR]) {
	int wild = 0;
	for (int b = 0; b < 2; b++) {
		int v = wrap(coefs[8 * b] * quant[8 * b]);
		wild |= v > WILD || v < -WILD;
		v = level_of(((v << PASS_BITS) + (1 << (PASS_BITS + 2))) >> (PASS_BITS + 3));
		for (int y = 0; y < 8; y++)
			memset(dst + y * stride + 8 * b, v, 8);
	}
	return wild;
}
