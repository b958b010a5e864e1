// What the Go side calls: oneDNN layers (onednn.c) and the kernels around them
// (kernels.c). All pointers are to C memory. Functions that can fail write a
// message to err, of ERR_SIZE bytes, and return NULL or nonzero.
#ifndef BAGPIPE_HOST_NATIVE_H
#define BAGPIPE_HOST_NATIVE_H

#include <stddef.h>
#include <stdint.h>

#define ERR_SIZE 160

// A machine is one thread's oneDNN engine and stream.
typedef struct machine machine;
machine *machine_new(int threads, char *err);
void machine_free(machine *);
void machine_describe(char *text, size_t size);

enum { FORWARD, GRAD_X, GRAD_W };

// A layer's geometry; a linear layer has h = w = kh = kw = 0.
typedef struct {
	int direction;
	int n, h, w, c, o, kh, kw, oh, ow, stride, pad, groups;
	int relu;
} geometry;

// A layer is one prepared primitive with its operands: x, weights, y, or their
// gradients, and optional bias and residual. The weights' layout is oneDNN's
// choice; they are rearranged to and from it in every run, in memory that all
// layers of a program share.
typedef struct layer layer;
layer *layer_new(machine *, const geometry *, float *x, float *w, float *y, float *bias, float *residual, char *err);
size_t layer_packed(const layer *);
size_t layer_scratch(const layer *);
int layer_bind(layer *, void *packed, void *scratch);
int layer_run(layer *);
const char *layer_implementation(const layer *);
void layer_free(layer *);

// winograd.c: convolutions by Winograd's algorithm, for the layers that
// winograd_serves; winograd takes y and gives x where the direction is GRAD_X.
int winograd_serves(const geometry *, int threads);
size_t winograd_scratch(const geometry *, int threads); // bytes
void winograd(const geometry *, const float *x, const float *w, float *y, void *scratch);
void winograd_weights(const geometry *, const float *x, const float *dy, float *dw, void *scratch);

// taps.c: gradients of weights for the layers that taps_serve.
int taps_serve(const geometry *, int threads);
size_t taps_scratch(const geometry *, int threads); // bytes
void taps_weights(const geometry *, const float *x, const float *dy, float *dw, void *scratch);

// kernels.c. rows times c floats unless said otherwise; NULL for absent operands.
typedef struct {
	int64_t rows, c;
	float eps, momentum;
	int relu, threads;
	float *scratch; // batch_norm_scratch(c, threads) floats
} norm;

size_t batch_norm_scratch(int64_t c, int threads);
// A batch norm is two passes, between which the members of a group can pool what
// the first has found. rows counts those of the whole group.
void batch_norm_moments(const norm *, const float *x, double *mean, double *variance);
void batch_norm_apply(const norm *, const float *x, const double *moment, const double *variance, double rows,
	const float *gamma, const float *beta, const float *residual, float *y, float *mean, float *inv, float *run_mean, float *run_var);
void batch_norm_infer(const norm *, const float *x, const float *gamma, const float *beta, const float *mean,
	const float *var, const float *residual, float *y);
void batch_norm_grad_sums(const norm *, const float *dy, const float *x, const float *mean, const float *inv, const float *y,
	float *dresidual, double *sum, double *dot);
void batch_norm_grad_apply(const norm *, const double *sum, const double *dot, double rows, const float *dy, const float *x,
	const float *gamma, const float *mean, const float *inv, const float *y, float *dx, float *dresidual);

typedef struct {
	int n, h, w, c, oh, ow, kernel, stride, pad;
} window;

void max_pool(const window *, const float *x, float *y, int32_t *where);
void max_pool_grad(const window *, const float *dy, const int32_t *where, float *dx);
void avg_pool(const window *, const float *x, float *y);
void avg_pool_grad(const window *, const float *dy, float *dx);

// x is n times area times c; y, n times c.
void global_avg_pool(float *y, const float *x, int64_t n, int64_t area, int64_t c);
void global_avg_pool_grad(float *dx, const float *dy, int64_t n, int64_t area, int64_t c);

void relu(float *y, const float *x, int64_t n);
void relu_grad(float *dx, const float *dy, const float *y, int64_t n);
void add(float *y, const float *a, const float *b, int64_t n, int relu);
void sgd(float *w, float *m, const float *g, const float *lr, float momentum, float decay, int nesterov, int64_t n);
void ema(float *avg, const float *w, const float *decay, int64_t n);
void dropout(float *y, const float *x, const int32_t *counter, uint64_t seed, float p, int64_t n);

#endif
