// What this package's own convolutions share: matrix products on panels of 16
// channels, for AVX2. Machines with AVX-512 are left to oneDNN, whose kernels are
// twice as wide there.
#ifndef BAGPIPE_HOST_PANELS_H
#define BAGPIPE_HOST_PANELS_H

#include "native.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define PANELS
#include <immintrin.h>

#define FAST __attribute__((target("avx2,fma"))) static
#define INLINE FAST inline __attribute__((always_inline))
#define LOAD _mm256_loadu_ps
#define STORE _mm256_storeu_ps

enum { LANE = 8, PANEL = 16, MOST = 8192 };

// DEAR bounds the bytes in which threads may sum weights of their own.
#define DEAR ((size_t)256 << 20)

// zeros stands for the pixels outside a picture.
static const float zeros[MOST];

static inline int panels_serve(const geometry *g) {
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && !__builtin_cpu_supports("avx512f") && g->kh > 0 &&
		g->groups == 1 && !g->relu && g->c % PANEL == 0 && g->o % PANEL == 0 && g->c <= MOST && g->o <= MOST;
}

// MULTIPLY defines c[rows][PANEL] = (or +=) a times b over k: a's element of row r
// and step i is a[r*row + i*col], b has PANEL floats a step. Twelve accumulators
// keep both multipliers of a core busy.
#define MULTIPLY(name, rows, start) \
	INLINE void name(const float *a, int64_t row, int64_t col, const float *b, int64_t k, float *c, int64_t ldc) { \
		__m256 s[rows][2]; \
		_Pragma("GCC unroll 6") for (int r = 0; r < rows; r++) { \
			s[r][0] = start(c + r * ldc); \
			s[r][1] = start(c + r * ldc + LANE); \
		} \
		for (int64_t i = 0; i < k; i++) { \
			__m256 b0 = LOAD(b + i * PANEL), b1 = LOAD(b + i * PANEL + LANE); \
			_Pragma("GCC unroll 6") for (int r = 0; r < rows; r++) { \
				__m256 x = _mm256_broadcast_ss(a + r * row + i * col); \
				s[r][0] = _mm256_fmadd_ps(x, b0, s[r][0]); \
				s[r][1] = _mm256_fmadd_ps(x, b1, s[r][1]); \
			} \
		} \
		_Pragma("GCC unroll 6") for (int r = 0; r < rows; r++) { \
			STORE(c + r * ldc, s[r][0]); \
			STORE(c + r * ldc + LANE, s[r][1]); \
		} \
	}

#define ZERO(p) _mm256_setzero_ps()
MULTIPLY(set6, 6, ZERO)
MULTIPLY(add6, 6, LOAD)
MULTIPLY(add4, 4, LOAD)

// outer adds to c[PANEL][PANEL] the sum over k of the products of two panels' rows.
INLINE void outer(const float *a, const float *b, int64_t k, float *c, int64_t ldc) {
	add6(a, 1, PANEL, b, k, c, ldc);
	add6(a + 6, 1, PANEL, b, k, c + 6 * ldc, ldc);
	add4(a + 12, 1, PANEL, b, k, c + 12 * ldc, ldc);
}

#endif
#endif
