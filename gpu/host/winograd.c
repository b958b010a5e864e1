//go:build cgo && !cuda

// Convolutions of 3x3 taps at stride 1 by Winograd's minimal filtering, F(2x2,3x3)
// of Lavin and Gray (arXiv:1509.09308 section 4.1): a tile of 2x2 outputs takes 16
// products a pair of channels where the direct sum takes 36, and the transforms
// around them only add and halve, so float32 keeps its accuracy (the larger tiles
// lose digits). oneDNN 2.6 has it for AVX-512 only.
//
//	y  = A' [ (G w G') . (B' x B) ] A          forward; backward to x with w turned
//	dw = G' [ (A dy A') . (B' x B) ] G         summed over the tiles
//
// The dots are 16 independent matrix products, one for each place p of the 4x4
// tile. They run on blocks of tiles that stay in the second-level cache between
// being transformed and multiplied. y depends on nothing but x and w; dw also on
// the number of threads, each of which sums its own tiles.

#include "panels.h"

#if defined(PANELS)
#include <omp.h>
#include <string.h>

enum { PLACES = 16 };

// A tiling is the geometry of one direction: in and out are channels.
typedef struct {
	int64_t n, h, w, in, out, th, tw, block;
} tiling;

// block is how many tiles are transformed at a time: so many that both operands
// fill most of 512 KB, yet enough to amortise reading a large matrix of weights.
static tiling tile(const geometry *g, int64_t in, int64_t out, int64_t least) {
	tiling t = {g->n, g->h, g->w, in, out, (g->h + 1) / 2, (g->w + 1) / 2, 0};
	t.block = (384 << 10) / (4 * PLACES * (in + out));
	if (t.block > 192) t.block = 192;
	if (t.block < least) t.block = least;
	t.block -= t.block % 6;
	return t;
}

static int64_t tiles(const tiling *t) { return t->n * t->th * t->tw; }

// plane is the distance between two places of a block of transformed values. The
// odd cache line keeps 16 streams out of one set of the first-level cache.
static int64_t plane(const tiling *t, int64_t channels) { return t->block * channels + PANEL; }

static tiling forward_tiling(const geometry *g) { return g->direction == GRAD_X ? tile(g, g->o, g->c, 48) : tile(g, g->c, g->o, 48); }
static tiling weights_tiling(const geometry *g) { return tile(g, g->c, g->o, g->c * g->o >= 128 * 128 ? 96 : 48); }

int winograd_serves(const geometry *g, int threads) {
	if (!panels_serve(g) || g->kh != 3 || g->kw != 3 || g->stride != 1 || g->pad != 1) return 0;
	// Each thread sums weights of its own: not at any price.
	return g->direction != GRAD_W || winograd_scratch(g, threads) <= DEAR;
}

static int64_t part_size(const tiling *t) { return PLACES * (plane(t, t->in) + plane(t, t->out)); }

size_t winograd_scratch(const geometry *g, int threads) {
	int64_t weights = PLACES * (int64_t)g->c * g->o;
	if (g->direction == GRAD_W) {
		tiling t = weights_tiling(g);
		return sizeof(float) * threads * (weights + part_size(&t));
	}
	tiling t = forward_tiling(g);
	return sizeof(float) * (weights + threads * part_size(&t));
}

// inputs writes B' d B for one tile of x to v, whose places are plane apart and
// whose groups of PANEL channels are step apart.
FAST void inputs(const tiling *t, const float *x, int64_t tile, float *v, int64_t plane, int64_t step) {
	int64_t tx = tile % t->tw, ty = tile / t->tw % t->th, n = tile / t->tw / t->th;
	const float *d[4][4];
	for (int i = 0; i < 4; i++)
		for (int j = 0; j < 4; j++) {
			int64_t y = 2 * ty + i - 1, k = 2 * tx + j - 1;
			d[i][j] = y < 0 || k < 0 || y >= t->h || k >= t->w ? zeros : x + ((n * t->h + y) * t->w + k) * t->in;
		}
	for (int64_t c = 0; c < t->in; c += LANE) {
		__m256 m[4][4];
#pragma GCC unroll 4
		for (int j = 0; j < 4; j++) {
			__m256 a = LOAD(d[0][j] + c), b = LOAD(d[1][j] + c), e = LOAD(d[2][j] + c), f = LOAD(d[3][j] + c);
			m[0][j] = a - e;
			m[1][j] = b + e;
			m[2][j] = e - b;
			m[3][j] = b - f;
		}
		float *to = v + c / PANEL * step + c % PANEL;
#pragma GCC unroll 4
		for (int i = 0; i < 4; i++) {
			STORE(to + (4 * i + 0) * plane, m[i][0] - m[i][2]);
			STORE(to + (4 * i + 1) * plane, m[i][1] + m[i][2]);
			STORE(to + (4 * i + 2) * plane, m[i][2] - m[i][1]);
			STORE(to + (4 * i + 3) * plane, m[i][1] - m[i][3]);
		}
	}
}

// outputs writes A' m A for one tile to y, of which the last row and column may
// lie outside.
FAST void outputs(const tiling *t, const float *m, int64_t plane, int64_t tile, float *y) {
	int64_t tx = tile % t->tw, ty = tile / t->tw % t->th, n = tile / t->tw / t->th, c = t->out;
	float *to = y + ((n * t->h + 2 * ty) * t->w + 2 * tx) * c;
	int right = 2 * tx + 1 < t->w, below = 2 * ty + 1 < t->h;
	for (int64_t k = 0; k < c; k += LANE) {
		__m256 s[2][4];
#pragma GCC unroll 4
		for (int j = 0; j < 4; j++) {
			__m256 b = LOAD(m + (4 + j) * plane + k), e = LOAD(m + (8 + j) * plane + k);
			s[0][j] = LOAD(m + j * plane + k) + (b + e);
			s[1][j] = (b - e) - LOAD(m + (12 + j) * plane + k);
		}
		STORE(to + k, s[0][0] + (s[0][1] + s[0][2]));
		if (right) STORE(to + c + k, (s[0][1] - s[0][2]) - s[0][3]);
		if (!below) continue;
		STORE(to + t->w * c + k, s[1][0] + (s[1][1] + s[1][2]));
		if (right) STORE(to + (t->w + 1) * c + k, (s[1][1] - s[1][2]) - s[1][3]);
	}
}

// gradients writes A dy A' for one tile to z.
FAST void gradients(const tiling *t, const float *dy, int64_t tile, float *z, int64_t plane, int64_t step) {
	int64_t tx = tile % t->tw, ty = tile / t->tw % t->th, n = tile / t->tw / t->th;
	const float *d[2][2];
	for (int i = 0; i < 2; i++)
		for (int j = 0; j < 2; j++) {
			int64_t y = 2 * ty + i, k = 2 * tx + j;
			d[i][j] = y >= t->h || k >= t->w ? zeros : dy + ((n * t->h + y) * t->w + k) * t->out;
		}
	for (int64_t c = 0; c < t->out; c += LANE) {
		__m256 a = LOAD(d[0][0] + c), b = LOAD(d[0][1] + c), e = LOAD(d[1][0] + c), f = LOAD(d[1][1] + c);
		__m256 left[4] = {a, a + e, a - e, -e}, right[4] = {b, b + f, b - f, -f};
		float *to = z + c / PANEL * step + c % PANEL;
#pragma GCC unroll 4
		for (int i = 0; i < 4; i++) {
			STORE(to + (4 * i + 0) * plane, left[i]);
			STORE(to + (4 * i + 1) * plane, left[i] + right[i]);
			STORE(to + (4 * i + 2) * plane, left[i] - right[i]);
			STORE(to + (4 * i + 3) * plane, -right[i]);
		}
	}
}

// filter computes u = G w G' of 3x3 vectors that are stride apart; turned rotates
// w by half a turn.
INLINE void filter(const float *w, int64_t stride, int turned, __m256 u[PLACES]) {
	const __m256 half = _mm256_set1_ps(0.5f);
	__m256 r[4][3];
#pragma GCC unroll 3
	for (int j = 0; j < 3; j++) {
		const float *at = w + (turned ? 2 - j : j) * stride;
		__m256 a = LOAD(at + (turned ? 6 : 0) * stride), b = LOAD(at + 3 * stride), c = LOAD(at + (turned ? 0 : 6) * stride);
		r[0][j] = a;
		r[1][j] = half * ((a + c) + b);
		r[2][j] = half * ((a + c) - b);
		r[3][j] = c;
	}
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++) {
		u[4 * i + 0] = r[i][0];
		u[4 * i + 1] = half * ((r[i][0] + r[i][2]) + r[i][1]);
		u[4 * i + 2] = half * ((r[i][0] + r[i][2]) - r[i][1]);
		u[4 * i + 3] = r[i][2];
	}
}

// transpose turns 8 rows of 8 floats, with rows of dst ldd apart.
INLINE void transpose(const __m256 s[LANE], float *dst, int64_t ldd) {
	__m256 a[8], b[8];
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++) {
		a[2 * i] = _mm256_unpacklo_ps(s[2 * i], s[2 * i + 1]);
		a[2 * i + 1] = _mm256_unpackhi_ps(s[2 * i], s[2 * i + 1]);
	}
#pragma GCC unroll 2
	for (int i = 0; i < 8; i += 4) {
		b[i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
		b[i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xee);
		b[i + 2] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0x44);
		b[i + 3] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0xee);
	}
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++) {
		STORE(dst + i * ldd, _mm256_permute2f128_ps(b[i], b[i + 4], 0x20));
		STORE(dst + (i + 4) * ldd, _mm256_permute2f128_ps(b[i], b[i + 4], 0x31));
	}
}

// filters transforms the weights of LANE output channels of the layer from o on, to
// u[place][out/PANEL][in][PANEL].
FAST void filters(const geometry *g, const float *w, int64_t o, float *u) {
	int64_t size = (int64_t)g->c * g->o;
	for (int64_t c = 0; c < g->c; c += LANE) {
		__m256 all[PLACES][LANE];
		for (int i = 0; i < LANE; i++) {
			__m256 one[PLACES];
			filter(w + (o + i) * 9 * g->c + c, g->c, g->direction == GRAD_X, one);
			if (g->direction == GRAD_X) // in is o, and out is c: the vectors lie as they should
				for (int p = 0; p < PLACES; p++) STORE(u + p * size + (c / PANEL * g->o + o + i) * PANEL + c % PANEL, one[p]);
			else
				for (int p = 0; p < PLACES; p++) all[p][i] = one[p];
		}
		if (g->direction != GRAD_X)
			for (int p = 0; p < PLACES; p++) transpose(all[p], u + p * size + (o / PANEL * g->c + c) * PANEL + o % PANEL, PANEL);
	}
}

// convolve does tiles lo..hi-1; scratch holds part_size floats.
FAST void convolve(const tiling *t, const float *x, const float *u, float *y, int64_t lo, int64_t hi, float *scratch) {
	int64_t vp = plane(t, t->in), mp = plane(t, t->out);
	float *v = scratch, *m = v + PLACES * vp;
	for (int64_t first = lo; first < hi; first += t->block) {
		int64_t count = hi - first < t->block ? hi - first : t->block;
		for (int64_t i = 0; i < count; i++) inputs(t, x, first + i, v + i * t->in, vp, PANEL);
		for (int p = 0; p < PLACES; p++)
			for (int64_t o = 0; o < t->out; o += PANEL)
				for (int64_t i = 0; i < count; i += 6) // up to five rows of old values too many
					set6(v + p * vp + i * t->in, t->in, 1, u + (p * t->out + o) * t->in, t->in, m + p * mp + i * t->out + o, t->out);
		for (int64_t i = 0; i < count; i++) outputs(t, m + i * t->out, mp, first + i, y);
	}
}

// correlate sums tiles lo..hi-1 into du[place][out][in]; scratch holds part_size
// floats. Channels lie in panels, so that each product reads two streams.
FAST void correlate(const tiling *t, const float *x, const float *dy, float *du, int64_t lo, int64_t hi, float *scratch) {
	int64_t vp = plane(t, t->in), zp = plane(t, t->out), panel = t->block * PANEL;
	float *v = scratch, *z = v + PLACES * vp;
	memset(du, 0, PLACES * t->in * t->out * sizeof *du);
	for (int64_t first = lo; first < hi; first += t->block) {
		int64_t count = hi - first < t->block ? hi - first : t->block;
		for (int64_t i = 0; i < count; i++) {
			inputs(t, x, first + i, v + i * PANEL, vp, panel);
			gradients(t, dy, first + i, z + i * PANEL, zp, panel);
		}
		for (int p = 0; p < PLACES; p++)
			for (int64_t c = 0; c < t->in; c += PANEL) {
				const float *b = v + p * vp + c / PANEL * panel;
				for (int64_t o = 0; o < t->out; o += PANEL)
					outer(z + p * zp + o / PANEL * panel, b, count, du + (p * t->out + o) * t->in + c, t->in);
			}
	}
}

// unfilter adds up the threads' sums of one output channel and writes G' u G.
FAST void unfilter(const geometry *g, const float *du, int64_t parts, int64_t o, float *dw) {
	int64_t size = (int64_t)g->c * g->o;
	const __m256 half = _mm256_set1_ps(0.5f);
	for (int64_t c = 0; c < g->c; c += LANE) {
		__m256 u[4][4], r[3][4];
		for (int p = 0; p < PLACES; p++) {
			const float *from = du + p * size + o * g->c + c;
			__m256 s = LOAD(from);
			for (int64_t i = 1; i < parts; i++) s += LOAD(from + i * PLACES * size);
			u[p / 4][p % 4] = s;
		}
		for (int j = 0; j < 4; j++) {
			__m256 a = half * (u[1][j] + u[2][j]);
			r[0][j] = u[0][j] + a;
			r[1][j] = half * (u[1][j] - u[2][j]);
			r[2][j] = a + u[3][j];
		}
		for (int i = 0; i < 3; i++) {
			float *to = dw + (o * 9 + 3 * i) * g->c + c;
			__m256 a = half * (r[i][1] + r[i][2]);
			STORE(to, r[i][0] + a);
			STORE(to + g->c, half * (r[i][1] - r[i][2]));
			STORE(to + 2 * g->c, a + r[i][3]);
		}
	}
}

void winograd(const geometry *g, const float *x, const float *w, float *y, void *scratch) {
	tiling t = forward_tiling(g);
	float *u = scratch, *rest = u + PLACES * (int64_t)g->c * g->o;
#pragma omp parallel
	{
		int64_t part = omp_get_thread_num(), parts = omp_get_num_threads(), groups = (tiles(&t) + 5) / 6;
		for (int64_t i = part; i < g->o / LANE; i += parts) filters(g, w, i * LANE, u);
#pragma omp barrier
		int64_t lo = groups * part / parts * 6, hi = groups * (part + 1) / parts * 6;
		if (hi > tiles(&t)) hi = tiles(&t);
		convolve(&t, x, u, y, lo, hi, rest + part * part_size(&t));
	}
}

void winograd_weights(const geometry *g, const float *x, const float *dy, float *dw, void *scratch) {
	tiling t = weights_tiling(g);
	int64_t weights = PLACES * (int64_t)g->c * g->o;
	float *du = scratch;
#pragma omp parallel
	{
		int64_t part = omp_get_thread_num(), parts = omp_get_num_threads();
		correlate(&t, x, dy, du + part * weights, tiles(&t) * part / parts, tiles(&t) * (part + 1) / parts,
			du + parts * weights + part * part_size(&t));
#pragma omp barrier
		for (int64_t o = g->o * part / parts; o < g->o * (part + 1) / parts; o++) unfilter(g, du, parts, o, dw);
	}
}

#else

int winograd_serves(const geometry *g, int threads) { return (void)g, (void)threads, 0; }
size_t winograd_scratch(const geometry *g, int threads) { return (void)g, (void)threads, 0; }
void winograd(const geometry *g, const float *x, const float *w, float *y, void *scratch) {
	(void)g, (void)x, (void)w, (void)y, (void)scratch;
}
void winograd_weights(const geometry *g, const float *x, const float *dy, float *dw, void *scratch) {
	(void)g, (void)x, (void)dy, (void)dw, (void)scratch;
}

#endif
