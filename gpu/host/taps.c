//go:build cgo && !cuda

// Gradients of weights, tap by tap: for each tap of the kernel, the products of the
// output's gradient and the pixels under the tap, summed over all positions. That
// is one matrix product a tap on operands copied to panels. oneDNN's kernels for
// this direction reach 40 (3x3 at stride 2) to 70 % (1x1) of what they do forward.

#include "panels.h"

#if defined(PANELS)
#include <omp.h>
#include <string.h>

// ROWS positions of both operands are in the second-level cache at a time.
enum { ROWS = 96 };

static size_t weights_size(const geometry *g) { return (size_t)g->kh * g->kw * g->c * g->o; }
static size_t rows_size(const geometry *g) { return (size_t)ROWS * (g->c + g->o); }

int taps_serve(const geometry *g, int threads) {
	return g->direction == GRAD_W && panels_serve(g) && taps_scratch(g, threads) <= DEAR;
}

size_t taps_scratch(const geometry *g, int threads) { return sizeof(float) * threads * (weights_size(g) + rows_size(g)); }

// spread copies one row of c channels to panels that are step apart.
INLINE void spread(const float *row, int64_t c, float *to, int64_t step) {
	for (int64_t i = 0; i < c; i += PANEL) {
		STORE(to + i / PANEL * step, LOAD(row + i));
		STORE(to + i / PANEL * step + LANE, LOAD(row + i + LANE));
	}
}

// gather spreads the pixels under tap (ky, kx) of positions first..first+count-1.
FAST void gather(const geometry *g, const float *x, int ky, int kx, int64_t first, int64_t count, float *to) {
	for (int64_t i = 0; i < count; i++) {
		int64_t at = first + i, n = at / g->ow / g->oh;
		int64_t iy = at / g->ow % g->oh * g->stride + ky - g->pad, ix = at % g->ow * g->stride + kx - g->pad;
		int out = iy < 0 || ix < 0 || iy >= g->h || ix >= g->w;
		spread(out ? zeros : x + ((n * g->h + iy) * g->w + ix) * g->c, g->c, to + i * PANEL, ROWS * PANEL);
	}
}

// sum_taps sums positions lo..hi-1 into sums[tap][o][c].
FAST void sum_taps(const geometry *g, const float *x, const float *dy, int64_t lo, int64_t hi, float *sums, float *scratch) {
	float *z = scratch, *v = z + ROWS * g->o;
	memset(sums, 0, weights_size(g) * sizeof *sums);
	for (int64_t first = lo; first < hi; first += ROWS) {
		int64_t count = hi - first < ROWS ? hi - first : ROWS;
		for (int64_t i = 0; i < count; i++) spread(dy + (first + i) * g->o, g->o, z + i * PANEL, ROWS * PANEL);
		for (int tap = 0; tap < g->kh * g->kw; tap++) {
			gather(g, x, tap / g->kw, tap % g->kw, first, count, v);
			for (int64_t c = 0; c < g->c; c += PANEL)
				for (int64_t o = 0; o < g->o; o += PANEL)
					outer(z + o * ROWS, v + c * ROWS, count, sums + ((int64_t)tap * g->o + o) * g->c + c, g->c);
		}
	}
}

// total adds up the threads' sums of one output channel.
FAST void total(const geometry *g, const float *sums, int parts, int64_t o, float *dw) {
	int64_t taps = g->kh * g->kw;
	for (int64_t tap = 0; tap < taps; tap++)
		for (int64_t c = 0; c < g->c; c += LANE) {
			const float *from = sums + (tap * g->o + o) * g->c + c;
			__m256 s = LOAD(from);
			for (int i = 1; i < parts; i++) s += LOAD(from + i * weights_size(g));
			STORE(dw + (o * taps + tap) * g->c + c, s);
		}
}

void taps_weights(const geometry *g, const float *x, const float *dy, float *dw, void *scratch) {
	int64_t positions = (int64_t)g->n * g->oh * g->ow;
	float *sums = scratch;
#pragma omp parallel
	{
		int part = omp_get_thread_num(), parts = omp_get_num_threads();
		sum_taps(g, x, dy, positions * part / parts, positions * (part + 1) / parts, sums + part * weights_size(g),
			sums + parts * weights_size(g) + part * rows_size(g));
#pragma omp barrier
		for (int64_t o = (int64_t)g->o * part / parts; o < (int64_t)g->o * (part + 1) / parts; o++) total(g, sums, parts, o, dw);
	}
}

#else

int taps_serve(const geometry *g, int threads) { return (void)g, (void)threads, 0; }
size_t taps_scratch(const geometry *g, int threads) { return (void)g, (void)threads, 0; }
void taps_weights(const geometry *g, const float *x, const float *dy, float *dw, void *scratch) {
	(void)g, (void)x, (void)dy, (void)dw, (void)scratch;
}

#endif
