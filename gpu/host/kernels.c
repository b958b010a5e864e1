//go:build cgo && !cuda

// Every kernel is one OpenMP region over rows or elements around a static loop
// that the compiler vectorises, built for several instruction sets on x86. Work is
// cut by thread number, and partial sums are added in that order: results depend
// on the number of threads and on nothing else.

#include "native.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-trapping-math") // lets comparisons become blends
#endif

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__gnu_linux__)
#define LOOP __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default"))) static void
#else
#define LOOP static void
#endif

// SPLIT runs call with lo..hi-1, this thread's part of 0..n-1.
#define SPLIT(n, call) \
	_Pragma("omp parallel") { \
		int64_t part = omp_get_thread_num(), parts = omp_get_num_threads(); \
		int64_t lo = (n) * part / parts, hi = (n) * (part + 1) / parts; \
		(void)part; \
		if (lo < hi) call; \
	}

// Sums over a block of rows are kept in float32 and blocks are added in double:
// exact enough, and as fast as memory.
enum { BLOCK = 128 };

// moments adds up x-shift and its square by channel. Shifting by the first row
// keeps the difference of squares from losing digits when the mean is large.
LOOP moments(const float *restrict x, const float *restrict shift, int64_t lo, int64_t hi, int64_t c, float *restrict s,
	float *restrict q, double *restrict sum, double *restrict squares) {
	memset(sum, 0, c * sizeof *sum);
	memset(squares, 0, c * sizeof *squares);
	for (int64_t r0 = lo; r0 < hi; r0 += BLOCK) {
		int64_t r1 = r0 + BLOCK < hi ? r0 + BLOCK : hi;
		memset(s, 0, c * sizeof *s);
		memset(q, 0, c * sizeof *q);
		for (int64_t r = r0; r < r1; r++) {
			const float *row = x + r * c;
			for (int64_t i = 0; i < c; i++) {
				float d = row[i] - shift[i];
				s[i] += d;
				q[i] += d * d;
			}
		}
		for (int64_t i = 0; i < c; i++) {
			sum[i] += s[i];
			squares[i] += q[i];
		}
	}
}

// affine computes y = x*a + b, plus the residual, through ReLU.
LOOP affine(const float *restrict x, const float *restrict a, const float *restrict b, const float *restrict residual,
	float *restrict y, int64_t lo, int64_t hi, int64_t c, int relu) {
	float floor = relu ? 0 : -INFINITY;
	for (int64_t r = lo; r < hi; r++) {
		const float *xr = x + r * c;
		float *yr = y + r * c;
		if (residual) {
			const float *rr = residual + r * c;
			for (int64_t i = 0; i < c; i++) {
				float v = xr[i] * a[i] + b[i] + rr[i];
				yr[i] = v < floor ? floor : v;
			}
		} else
			for (int64_t i = 0; i < c; i++) {
				float v = xr[i] * a[i] + b[i];
				yr[i] = v < floor ? floor : v;
			}
	}
}

// Scratch: per thread two rows of floats and two of doubles, then two rows for
// the affine form.
static float *floats_of(const norm *k, int part) { return k->scratch + (size_t)part * 6 * k->c; }
static double *sum_of(const norm *k, int part) { return (double *)(floats_of(k, part) + 2 * k->c); }
static float *tail_of(const norm *k) { return k->scratch + (size_t)k->threads * 6 * k->c; }

size_t batch_norm_scratch(int64_t c, int threads) { return (size_t)c * (6 * threads + 3); }

// total adds up the threads' sums in order, into the first's.
static void total(const norm *k) {
	double *first = sum_of(k, 0);
	int64_t parts = k->threads < k->rows ? k->threads : k->rows;
	for (int p = 1; p < parts; p++)
		for (int64_t i = 0; i < 2 * k->c; i++) first[i] += sum_of(k, p)[i];
}

// BY_ROWS is SPLIT over rows with exactly k->threads parts at most, all nonempty.
#define BY_ROWS(k, call) \
	_Pragma("omp parallel num_threads((int)((k)->threads < (k)->rows ? (k)->threads : (k)->rows))") { \
		int64_t part = omp_get_thread_num(), parts = omp_get_num_threads(); \
		int64_t lo = (k)->rows * part / parts, hi = (k)->rows * (part + 1) / parts; \
		(void)part; \
		call; \
	}

void batch_norm_moments(const norm *k, const float *x, double *mean, double *variance) {
	int64_t c = k->c;
	BY_ROWS(k, moments(x, x, lo, hi, c, floats_of(k, part), floats_of(k, part) + c, sum_of(k, part), sum_of(k, part) + c))
	total(k);
	double *sum = sum_of(k, 0), *squares = sum + c, n = k->rows;
	for (int64_t i = 0; i < c; i++) {
		double d = sum[i] / n, s = squares[i] - d * sum[i];
		mean[i] = x[i] + d;
		variance[i] = s < 0 ? 0 : s / n;
	}
}

void batch_norm_apply(const norm *k, const float *x, const double *moment, const double *variance, double rows,
	const float *gamma, const float *beta, const float *residual, float *y, float *mean, float *inv, float *run_mean, float *run_var) {
	int64_t c = k->c;
	float *a = tail_of(k), *b = a + c;
	double keep = k->momentum, unbiased = rows > 1 ? rows / (rows - 1) : 1;
	for (int64_t i = 0; i < c; i++) {
		double m = moment[i], r = 1 / sqrt(variance[i] + k->eps);
		mean[i] = m;
		inv[i] = r;
		run_mean[i] = keep * run_mean[i] + (1 - keep) * m;
		run_var[i] = keep * run_var[i] + (1 - keep) * variance[i] * unbiased;
		a[i] = gamma[i] * r;
		b[i] = beta[i] - m * r * gamma[i];
	}
	BY_ROWS(k, affine(x, a, b, residual, y, lo, hi, c, k->relu))
}

void batch_norm_infer(const norm *k, const float *x, const float *gamma, const float *beta, const float *mean,
	const float *var, const float *residual, float *y) {
	float *a = tail_of(k), *b = a + k->c;
	for (int64_t i = 0; i < k->c; i++) {
		double r = gamma[i] / sqrt((double)var[i] + k->eps);
		a[i] = r;
		b[i] = beta[i] - mean[i] * r;
	}
	BY_ROWS(k, affine(x, a, b, residual, y, lo, hi, k->c, k->relu))
}

// products adds up dy and dy*(x-mean) by channel, dy counting where y > 0 only; it
// writes the masked dy where asked to, so that it need not be masked again.
LOOP products(const float *restrict dy, const float *restrict x, const float *restrict y, const float *restrict mean,
	float *restrict masked, int64_t lo, int64_t hi, int64_t c, float *restrict s, float *restrict q,
	double *restrict sum, double *restrict dot) {
	memset(sum, 0, c * sizeof *sum);
	memset(dot, 0, c * sizeof *dot);
	for (int64_t r0 = lo; r0 < hi; r0 += BLOCK) {
		int64_t r1 = r0 + BLOCK < hi ? r0 + BLOCK : hi;
		memset(s, 0, c * sizeof *s);
		memset(q, 0, c * sizeof *q);
		for (int64_t r = r0; r < r1; r++) {
			const float *dr = dy + r * c, *xr = x + r * c;
			if (y && masked) {
				const float *yr = y + r * c;
				float *mr = masked + r * c;
				for (int64_t i = 0; i < c; i++) {
					float d = yr[i] > 0 ? dr[i] : 0;
					mr[i] = d;
					s[i] += d;
					q[i] += d * (xr[i] - mean[i]);
				}
			} else if (y) {
				const float *yr = y + r * c;
				for (int64_t i = 0; i < c; i++) {
					float d = yr[i] > 0 ? dr[i] : 0;
					s[i] += d;
					q[i] += d * (xr[i] - mean[i]);
				}
			} else
				for (int64_t i = 0; i < c; i++) {
					s[i] += dr[i];
					q[i] += dr[i] * (xr[i] - mean[i]);
				}
		}
		for (int64_t i = 0; i < c; i++) {
			sum[i] += s[i];
			dot[i] += q[i];
		}
	}
}

// combine computes dx = dy*a + x*b + d with dy counting where y > 0 only.
LOOP combine(const float *restrict dy, const float *restrict x, const float *restrict y, const float *restrict a,
	const float *restrict b, const float *restrict mean, const float *restrict d, float *restrict dx, int64_t lo, int64_t hi, int64_t c) {
	for (int64_t r = lo; r < hi; r++) {
		const float *dr = dy + r * c, *xr = x + r * c;
		float *out = dx + r * c;
		if (y) {
			const float *yr = y + r * c;
			for (int64_t i = 0; i < c; i++) out[i] = (yr[i] > 0 ? dr[i] : 0) * a[i] + ((xr[i] - mean[i]) * b[i] + d[i]);
		} else
			for (int64_t i = 0; i < c; i++) out[i] = dr[i] * a[i] + ((xr[i] - mean[i]) * b[i] + d[i]);
	}
}

void batch_norm_grad_sums(const norm *k, const float *dy, const float *x, const float *mean, const float *inv, const float *y,
	float *dresidual, double *sum, double *dot) {
	int64_t c = k->c;
	if (dresidual && !y) memcpy(dresidual, dy, k->rows * c * sizeof *dy);
	BY_ROWS(k, products(dy, x, y, mean, dresidual, lo, hi, c, floats_of(k, part), floats_of(k, part) + c, sum_of(k, part), sum_of(k, part) + c))
	total(k);
	for (int64_t i = 0; i < c; i++) {
		sum[i] = sum_of(k, 0)[i];
		dot[i] = sum_of(k, 0)[c + i] * inv[i];
	}
}

void batch_norm_grad_apply(const norm *k, const double *sum, const double *dot, double rows, const float *dy, const float *x,
	const float *gamma, const float *mean, const float *inv, const float *y, float *dx, float *dresidual) {
	int64_t c = k->c;
	float *a = tail_of(k), *b = a + c, *d = b + c;
	for (int64_t i = 0; i < c; i++) {
		double scale = (double)gamma[i] * inv[i];
		a[i] = scale;
		b[i] = -scale * dot[i] * inv[i] / rows;
		d[i] = -scale * sum[i] / rows;
	}
	// The masked dy is at hand where the residual wanted it.
	const float *g = dresidual ? dresidual : dy, *mask = dresidual ? NULL : y;
	BY_ROWS(k, combine(g, x, mask, a, b, mean, d, dx, lo, hi, c))
}

// A range is the part of a window's axis inside 0..n-1.
typedef struct {
	int lo, hi;
} range;

static inline range inside(const window *w, int o, int n) {
	int lo = o * w->stride - w->pad, hi = lo + w->kernel;
	return (range){lo < 0 ? 0 : lo, hi > n ? n : hi};
}

LOOP max_rows(const window *w, const float *restrict x, float *restrict y, int32_t *restrict where, int64_t lo, int64_t hi) {
	int c = w->c;
	for (int64_t row = lo; row < hi; row++) {
		const float *image = x + row / w->oh * w->h * w->w * c;
		range ys = inside(w, row % w->oh, w->h);
		for (int ox = 0; ox < w->ow; ox++) {
			range xs = inside(w, ox, w->w);
			float *yr = y + (row * w->ow + ox) * c;
			int32_t *wr = where + (row * w->ow + ox) * c;
			for (int i = 0; i < c; i++) {
				yr[i] = -INFINITY;
				wr[i] = ys.lo * w->w + xs.lo;
			}
			for (int iy = ys.lo; iy < ys.hi; iy++)
				for (int ix = xs.lo; ix < xs.hi; ix++) {
					int32_t at = iy * w->w + ix;
					const float *xr = image + (int64_t)at * c;
					for (int i = 0; i < c; i++) {
						// A NaN wins, so that it is seen in the loss.
						int better = (xr[i] > yr[i]) | ((xr[i] != xr[i]) & (yr[i] == yr[i]));
						yr[i] = better ? xr[i] : yr[i];
						wr[i] = better ? at : wr[i];
					}
				}
		}
	}
}

void max_pool(const window *w, const float *x, float *y, int32_t *where) {
	SPLIT((int64_t)w->n * w->oh, max_rows(w, x, y, where, lo, hi))
}

LOOP max_scatter(const window *w, const float *restrict dy, const int32_t *restrict where, float *restrict dx, int64_t lo, int64_t hi) {
	int64_t c = w->c, in = (int64_t)w->h * w->w * c, places = (int64_t)w->oh * w->ow;
	for (int64_t n = lo; n < hi; n++) {
		float *image = dx + n * in;
		memset(image, 0, in * sizeof *image);
		for (int64_t p = n * places; p < (n + 1) * places; p++)
			for (int64_t i = 0; i < c; i++) image[where[p * c + i] * c + i] += dy[p * c + i];
	}
}

void max_pool_grad(const window *w, const float *dy, const int32_t *where, float *dx) {
	SPLIT((int64_t)w->n, max_scatter(w, dy, where, dx, lo, hi))
}

LOOP avg_rows(const window *w, const float *restrict x, float *restrict y, int64_t lo, int64_t hi) {
	int c = w->c;
	for (int64_t row = lo; row < hi; row++) {
		const float *image = x + row / w->oh * w->h * w->w * c;
		range ys = inside(w, row % w->oh, w->h);
		for (int ox = 0; ox < w->ow; ox++) {
			range xs = inside(w, ox, w->w);
			float *yr = y + (row * w->ow + ox) * c, share = 1.0f / ((ys.hi - ys.lo) * (xs.hi - xs.lo));
			memset(yr, 0, c * sizeof *yr);
			for (int iy = ys.lo; iy < ys.hi; iy++)
				for (int ix = xs.lo; ix < xs.hi; ix++) {
					const float *xr = image + ((int64_t)iy * w->w + ix) * c;
					for (int i = 0; i < c; i++) yr[i] += xr[i];
				}
			for (int i = 0; i < c; i++) yr[i] *= share;
		}
	}
}

void avg_pool(const window *w, const float *x, float *y) {
	SPLIT((int64_t)w->n * w->oh, avg_rows(w, x, y, lo, hi))
}

LOOP avg_scatter(const window *w, const float *restrict dy, float *restrict dx, int64_t lo, int64_t hi) {
	int64_t c = w->c, in = (int64_t)w->h * w->w * c;
	for (int64_t n = lo; n < hi; n++) {
		float *image = dx + n * in;
		memset(image, 0, in * sizeof *image);
		for (int oy = 0; oy < w->oh; oy++) {
			range ys = inside(w, oy, w->h);
			for (int ox = 0; ox < w->ow; ox++) {
				range xs = inside(w, ox, w->w);
				const float *dr = dy + ((n * w->oh + oy) * w->ow + ox) * c;
				float share = 1.0f / ((ys.hi - ys.lo) * (xs.hi - xs.lo));
				for (int iy = ys.lo; iy < ys.hi; iy++)
					for (int ix = xs.lo; ix < xs.hi; ix++) {
						float *out = image + ((int64_t)iy * w->w + ix) * c;
						for (int64_t i = 0; i < c; i++) out[i] += dr[i] * share;
					}
			}
		}
	}
}

void avg_pool_grad(const window *w, const float *dy, float *dx) {
	SPLIT((int64_t)w->n, avg_scatter(w, dy, dx, lo, hi))
}

LOOP global_rows(float *restrict y, const float *restrict x, int64_t area, int64_t c, int64_t lo, int64_t hi) {
	for (int64_t n = lo; n < hi; n++) {
		float *yr = y + n * c;
		memset(yr, 0, c * sizeof *yr);
		for (int64_t r = n * area; r < (n + 1) * area; r++)
			for (int64_t i = 0; i < c; i++) yr[i] += x[r * c + i];
		for (int64_t i = 0; i < c; i++) yr[i] /= area;
	}
}

void global_avg_pool(float *y, const float *x, int64_t n, int64_t area, int64_t c) {
	SPLIT(n, global_rows(y, x, area, c, lo, hi))
}

LOOP global_spread(float *restrict dx, const float *restrict dy, int64_t area, int64_t c, int64_t lo, int64_t hi) {
	float share = 1.0f / area;
	for (int64_t r = lo; r < hi; r++)
		for (int64_t i = 0; i < c; i++) dx[r * c + i] = dy[r / area * c + i] * share;
}

void global_avg_pool_grad(float *dx, const float *dy, int64_t n, int64_t area, int64_t c) {
	SPLIT(n * area, global_spread(dx, dy, area, c, lo, hi))
}

LOOP relu_part(float *restrict y, const float *restrict x, int64_t lo, int64_t hi) {
	for (int64_t i = lo; i < hi; i++) y[i] = x[i] < 0 ? 0 : x[i];
}

void relu(float *y, const float *x, int64_t n) { SPLIT(n, relu_part(y, x, lo, hi)) }

LOOP relu_grad_part(float *restrict dx, const float *restrict dy, const float *restrict y, int64_t lo, int64_t hi) {
	for (int64_t i = lo; i < hi; i++) dx[i] = y[i] > 0 ? dy[i] : 0;
}

void relu_grad(float *dx, const float *dy, const float *y, int64_t n) { SPLIT(n, relu_grad_part(dx, dy, y, lo, hi)) }

LOOP add_part(float *restrict y, const float *a, const float *b, int64_t lo, int64_t hi, int relu) {
	float floor = relu ? 0 : -INFINITY;
	for (int64_t i = lo; i < hi; i++) {
		float v = a[i] + b[i];
		y[i] = v < floor ? floor : v;
	}
}

// Accumulate adds in place, so y may be a.
LOOP accumulate_part(float *y, const float *restrict b, int64_t lo, int64_t hi) {
	for (int64_t i = lo; i < hi; i++) y[i] += b[i];
}

void add(float *y, const float *a, const float *b, int64_t n, int relu) {
	if (y == a)
		SPLIT(n, accumulate_part(y, b, lo, hi))
	else
		SPLIT(n, add_part(y, a, b, lo, hi, relu))
}

LOOP sgd_part(float *restrict w, float *restrict m, const float *restrict g, float lr, float momentum, float decay,
	int nesterov, int64_t lo, int64_t hi) {
	if (nesterov)
		for (int64_t i = lo; i < hi; i++) {
			float d = g[i] + decay * w[i];
			m[i] = momentum * m[i] + d;
			w[i] -= lr * (d + momentum * m[i]);
		}
	else
		for (int64_t i = lo; i < hi; i++) {
			m[i] = momentum * m[i] + (g[i] + decay * w[i]);
			w[i] -= lr * m[i];
		}
}

void sgd(float *w, float *m, const float *g, const float *lr, float momentum, float decay, int nesterov, int64_t n) {
	SPLIT(n, sgd_part(w, m, g, *lr, momentum, decay, nesterov, lo, hi))
}

LOOP ema_part(float *restrict avg, const float *restrict w, float decay, int64_t lo, int64_t hi) {
	for (int64_t i = lo; i < hi; i++) avg[i] = decay * avg[i] + (1 - decay) * w[i];
}

void ema(float *avg, const float *w, const float *decay, int64_t n) { SPLIT(n, ema_part(avg, w, *decay, lo, hi)) }

// dropout_part is graph.DropoutMask over consecutive elements.
LOOP dropout_part(float *restrict y, const float *restrict x, uint64_t start, float p, int64_t lo, int64_t hi) {
	float scale = 1 / (1 - p);
	for (int64_t i = lo; i < hi; i++) {
		uint64_t z = start + (uint64_t)i * 0xd1342543de82ef95;
		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
		z = (z ^ z >> 27) * 0x94d049bb133111eb;
		z ^= z >> 31;
		y[i] = (float)(z >> 40) * (1.0f / (1 << 24)) >= p ? x[i] * scale : 0;
	}
}

void dropout(float *y, const float *x, const int32_t *counter, uint64_t seed, float p, int64_t n) {
	uint64_t start = seed + (uint64_t)(uint32_t)*counter * 0x9e3779b97f4a7c15;
	SPLIT(n, dropout_part(y, x, start, p, lo, hi))
}
