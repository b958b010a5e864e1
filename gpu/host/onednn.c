//go:build cgo && !cuda

#include "native.h"

#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

struct machine {
	dnnl_engine_t engine;
	dnnl_stream_t stream;
};

// flush_denormals sets the calling thread's mode; see the package comment.
static void flush_denormals(void) {
#if defined(__SSE__)
	_mm_setcsr(_mm_getcsr() | 0x8040); // FTZ, DAZ
#elif defined(__aarch64__)
	uint64_t fpcr;
	__asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
	__asm__ volatile("msr fpcr, %0" ::"r"(fpcr | (1 << 24)));
#endif
}

// idle is a thread that keeps a sleeping team of one thread more than there are
// cores.
static void *idle(void *unused) {
	(void)unused;
#pragma omp parallel num_threads(omp_get_num_procs() + 1)
	__asm__ volatile("" ::: "memory"); // an empty region would be dropped
	for (;;) pause();
	return NULL;
}

// spin_less makes the ends of parallel regions cheap to wait for where others want
// the cores, the decoders of the input above all. libgomp spins for milliseconds
// there before it sleeps, but for microseconds only when it manages more threads
// than there are cores (GOMP_SPINCOUNT in its manual), and it reads the variables
// that set this before main. So it gets threads to manage. With six busy
// processes on two cores a step took 0.65 s instead of 1.6 s, and a third of the
// CPU time. Whoever sets one of the variables knows better.
static void spin_less(void) {
	pthread_t t;
	if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT")) return;
	if (!pthread_create(&t, NULL, idle, NULL)) pthread_detach(t);
}

machine *machine_new(int threads, char *err) {
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, spin_less);
	machine *m = calloc(1, sizeof *m);
	if (!m) {
		snprintf(err, ERR_SIZE, "out of memory");
		return NULL;
	}
	omp_set_dynamic(0);
	omp_set_num_threads(threads); // the calling thread's setting
#pragma omp parallel
	flush_denormals();
	dnnl_status_t s = dnnl_engine_create(&m->engine, dnnl_cpu, 0);
	if (s == dnnl_success) s = dnnl_stream_create(&m->stream, m->engine, dnnl_stream_default_flags);
	if (s != dnnl_success) {
		snprintf(err, ERR_SIZE, "oneDNN engine: status %d", s);
		machine_free(m);
		return NULL;
	}
	return m;
}

void machine_free(machine *m) {
	if (!m) return;
	if (m->stream) dnnl_stream_destroy(m->stream);
	if (m->engine) dnnl_engine_destroy(m->engine);
	free(m);
}

void machine_describe(char *text, size_t size) {
	const dnnl_version_t *v = dnnl_version();
	const char *isa = "";
	switch ((int)dnnl_get_effective_cpu_isa()) {
	case dnnl_cpu_isa_sse41: isa = " sse41"; break;
	case dnnl_cpu_isa_avx: isa = " avx"; break;
	case dnnl_cpu_isa_avx2: isa = " avx2"; break;
	case dnnl_cpu_isa_avx512_core: isa = " avx512_core"; break;
	case dnnl_cpu_isa_avx512_core_vnni: isa = " avx512_core_vnni"; break;
	case dnnl_cpu_isa_avx512_core_bf16: isa = " avx512_core_bf16"; break;
	case dnnl_cpu_isa_avx512_core_amx: isa = " avx512_core_amx"; break;
	}
	snprintf(text, size, "oneDNN %d.%d.%d%s", v->major, v->minor, v->patch, isa);
}

// The operands of a primitive by role.
enum { X, W, Y, BIAS, ROLES };

struct layer {
	machine *machine;
	geometry g;
	dnnl_primitive_t primitive;
	dnnl_primitive_t reorder; // NULL where the primitive takes the weights as they are
	dnnl_memory_t memory[ROLES], packed, scratch;
	dnnl_exec_arg_t args[ROLES + 1], reorder_args[2];
	int count;
	size_t packed_size, scratch_size, y_size;
	float *y, *residual;
	char implementation[64];
};

// descriptors fills the memory descriptors of the operands; plain are the ones as
// the graph stores them, and wanted leaves the weights' layout open.
static dnnl_status_t descriptors(const geometry *g, dnnl_memory_desc_t plain[ROLES], dnnl_memory_desc_t wanted[ROLES], int bias) {
	dnnl_dims_t x4 = {g->n, g->c, g->h, g->w}, y4 = {g->n, g->o, g->oh, g->ow}, b = {g->o};
	dnnl_dims_t w4 = {g->o, g->c, g->kh, g->kw}, x2 = {g->n, g->c}, y2 = {g->n, g->o}, w2 = {g->o, g->c};
	dnnl_dims_t w5 = {g->groups, g->o / g->groups, g->c / g->groups, g->kh, g->kw};
	int conv = g->kh > 0, grouped = conv && g->groups > 1;
	dnnl_format_tag_t xy = conv ? dnnl_nhwc : dnnl_nc;
	dnnl_format_tag_t wt = grouped ? dnnl_gohwi : conv ? dnnl_ohwi : dnnl_oi;
	dnnl_dim_t *wd = grouped ? w5 : conv ? w4 : w2;
	int wn = grouped ? 5 : conv ? 4 : 2;
	dnnl_status_t s;
	if ((s = dnnl_memory_desc_init_by_tag(&plain[X], conv ? 4 : 2, conv ? x4 : x2, dnnl_f32, xy))) return s;
	if ((s = dnnl_memory_desc_init_by_tag(&plain[Y], conv ? 4 : 2, conv ? y4 : y2, dnnl_f32, xy))) return s;
	if ((s = dnnl_memory_desc_init_by_tag(&plain[W], wn, wd, dnnl_f32, wt))) return s;
	memset(&plain[BIAS], 0, sizeof plain[BIAS]);
	if (bias && (s = dnnl_memory_desc_init_by_tag(&plain[BIAS], 1, b, dnnl_f32, dnnl_a))) return s;
	memcpy(wanted, plain, ROLES * sizeof *plain);
	return dnnl_memory_desc_init_by_tag(&wanted[W], wn, wd, dnnl_f32, dnnl_format_tag_any);
}

// describe makes the primitive descriptor of a convolution. The direct algorithm
// keeps float32's accuracy; oneDNN's Winograd needs AVX-512 and layouts of its own.
static dnnl_status_t describe_conv(machine *m, const geometry *g, dnnl_memory_desc_t *d, const_dnnl_primitive_attr_t attr,
	dnnl_primitive_desc_t *out) {
	dnnl_dims_t stride = {g->stride, g->stride}, pad = {g->pad, g->pad}, dense = {0, 0};
	// The right and lower padding that makes the window end inside.
	dnnl_dims_t end = {(g->oh - 1) * g->stride + g->kh - g->h - g->pad, (g->ow - 1) * g->stride + g->kw - g->w - g->pad};
	dnnl_convolution_desc_t fwd, desc;
	dnnl_status_t s = dnnl_dilated_convolution_forward_desc_init(&fwd, dnnl_forward_training, dnnl_convolution_direct,
		&d[X], &d[W], &d[BIAS], &d[Y], stride, dense, pad, end);
	if (s) return s;
	if (g->direction == FORWARD) return dnnl_primitive_desc_create(out, &fwd, attr, m->engine, NULL);
	dnnl_primitive_desc_t hint;
	if ((s = dnnl_primitive_desc_create(&hint, &fwd, NULL, m->engine, NULL))) return s;
	if (g->direction == GRAD_X)
		s = dnnl_dilated_convolution_backward_data_desc_init(&desc, dnnl_convolution_direct, &d[X], &d[W], &d[Y], stride, dense, pad, end);
	else
		s = dnnl_dilated_convolution_backward_weights_desc_init(&desc, dnnl_convolution_direct, &d[X], &d[W], NULL, &d[Y], stride, dense, pad, end);
	if (!s) s = dnnl_primitive_desc_create(out, &desc, attr, m->engine, hint);
	dnnl_primitive_desc_destroy(hint);
	return s;
}

static dnnl_status_t describe_linear(machine *m, const geometry *g, dnnl_memory_desc_t *d, const_dnnl_primitive_attr_t attr,
	dnnl_primitive_desc_t *out) {
	dnnl_inner_product_desc_t fwd, desc;
	dnnl_status_t s = dnnl_inner_product_forward_desc_init(&fwd, dnnl_forward_training, &d[X], &d[W], &d[BIAS], &d[Y]);
	if (s) return s;
	if (g->direction == FORWARD) return dnnl_primitive_desc_create(out, &fwd, attr, m->engine, NULL);
	dnnl_primitive_desc_t hint;
	if ((s = dnnl_primitive_desc_create(&hint, &fwd, NULL, m->engine, NULL))) return s;
	if (g->direction == GRAD_X)
		s = dnnl_inner_product_backward_data_desc_init(&desc, &d[X], &d[W], &d[Y]);
	else
		s = dnnl_inner_product_backward_weights_desc_init(&desc, &d[X], &d[W], NULL, &d[Y]);
	if (!s) s = dnnl_primitive_desc_create(out, &desc, attr, m->engine, hint);
	dnnl_primitive_desc_destroy(hint);
	return s;
}

// attributes asks for shared scratch memory and for what follows a convolution:
// the residual, found in y, and ReLU.
static dnnl_status_t attributes(const geometry *g, int residual, dnnl_primitive_attr_t *attr) {
	dnnl_status_t s = dnnl_primitive_attr_create(attr);
	if (s) return s;
	if ((s = dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user))) return s;
	if (!residual && !g->relu) return s;
	dnnl_post_ops_t ops;
	if ((s = dnnl_post_ops_create(&ops))) return s;
	if (residual) s = dnnl_post_ops_append_sum(ops, 1);
	if (!s && g->relu) s = dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_relu, 0, 0);
	if (!s) s = dnnl_primitive_attr_set_post_ops(*attr, ops);
	dnnl_post_ops_destroy(ops);
	return s;
}

// pack prepares the rearrangement of weights between the plain layout and the
// primitive's, if they differ.
static dnnl_status_t pack(layer *l, const dnnl_memory_desc_t *plain, const dnnl_memory_desc_t *wanted) {
	if (dnnl_memory_desc_equal(plain, wanted)) return dnnl_success;
	dnnl_engine_t e = l->machine->engine;
	l->packed_size = dnnl_memory_desc_get_size(wanted);
	dnnl_status_t s = dnnl_memory_create(&l->packed, wanted, e, DNNL_MEMORY_NONE);
	if (s) return s;
	int out = l->g.direction == GRAD_W;
	dnnl_primitive_desc_t pd;
	if ((s = dnnl_reorder_primitive_desc_create(&pd, out ? wanted : plain, e, out ? plain : wanted, e, NULL))) return s;
	s = dnnl_primitive_create(&l->reorder, pd);
	dnnl_primitive_desc_destroy(pd);
	l->reorder_args[0] = (dnnl_exec_arg_t){DNNL_ARG_FROM, out ? l->packed : l->memory[W]};
	l->reorder_args[1] = (dnnl_exec_arg_t){DNNL_ARG_TO, out ? l->memory[W] : l->packed};
	return s;
}

static dnnl_status_t prepare(layer *l, dnnl_primitive_desc_t pd, dnnl_memory_desc_t *plain, void *const data[ROLES]) {
	static const int names[3][ROLES] = {
		{DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_BIAS},
		{DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST, 0},
		{DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST, 0},
	};
	const char *name = "";
	dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name);
	snprintf(l->implementation, sizeof l->implementation, "%s", name);
	dnnl_status_t s = dnnl_primitive_create(&l->primitive, pd);
	if (s) return s;
	for (int i = 0; i < ROLES; i++)
		if (data[i] && (s = dnnl_memory_create(&l->memory[i], &plain[i], l->machine->engine, data[i]))) return s;
	dnnl_query_t q = l->g.direction == GRAD_W ? dnnl_query_diff_weights_md : dnnl_query_weights_md;
	if ((s = pack(l, &plain[W], dnnl_primitive_desc_query_md(pd, q, 0)))) return s;
	const dnnl_memory_desc_t *scratch = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
	l->scratch_size = scratch ? dnnl_memory_desc_get_size(scratch) : 0;
	l->y_size = dnnl_memory_desc_get_size(&plain[Y]);
	for (int i = 0; i < ROLES; i++)
		if (data[i]) l->args[l->count++] = (dnnl_exec_arg_t){names[l->g.direction][i], i == W && l->packed ? l->packed : l->memory[i]};
	if (!l->scratch_size) return s;
	s = dnnl_memory_create(&l->scratch, scratch, l->machine->engine, DNNL_MEMORY_NONE);
	l->args[l->count++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, l->scratch};
	return s;
}

layer *layer_new(machine *m, const geometry *g, float *x, float *w, float *y, float *bias, float *residual, char *err) {
	layer *l = calloc(1, sizeof *l);
	if (!l) {
		snprintf(err, ERR_SIZE, "out of memory");
		return NULL;
	}
	*l = (layer){.machine = m, .g = *g, .y = y, .residual = residual};
	dnnl_memory_desc_t plain[ROLES], wanted[ROLES];
	dnnl_primitive_attr_t attr = NULL;
	dnnl_primitive_desc_t pd = NULL;
	dnnl_status_t s = descriptors(g, plain, wanted, bias != NULL);
	if (!s) s = attributes(g, residual != NULL, &attr);
	if (!s) s = (g->kh ? describe_conv : describe_linear)(m, g, wanted, attr, &pd);
	if (!s) s = prepare(l, pd, plain, (void *[ROLES]){x, w, y, bias});
	if (pd) dnnl_primitive_desc_destroy(pd);
	if (attr) dnnl_primitive_attr_destroy(attr);
	if (!s) return l;
	snprintf(err, ERR_SIZE, "oneDNN refuses the layer: status %d", s);
	layer_free(l);
	return NULL;
}

size_t layer_packed(const layer *l) { return l->packed_size; }
size_t layer_scratch(const layer *l) { return l->scratch_size; }
const char *layer_implementation(const layer *l) { return l->implementation; }

int layer_bind(layer *l, void *packed, void *scratch) {
	if (l->packed && dnnl_memory_set_data_handle(l->packed, packed)) return 1;
	return l->scratch && dnnl_memory_set_data_handle(l->scratch, scratch);
}

int layer_run(layer *l) {
	dnnl_stream_t st = l->machine->stream;
	int s = 0;
	if (l->residual) memcpy(l->y, l->residual, l->y_size);
	if (l->reorder && l->g.direction != GRAD_W) s = dnnl_primitive_execute(l->reorder, st, 2, l->reorder_args);
	if (!s) s = dnnl_primitive_execute(l->primitive, st, l->count, l->args);
	if (!s && l->reorder && l->g.direction == GRAD_W) s = dnnl_primitive_execute(l->reorder, st, 2, l->reorder_args);
	if (!s) s = dnnl_stream_wait(st);
	return s;
}

void layer_free(layer *l) {
	if (!l) return;
	if (l->primitive) dnnl_primitive_destroy(l->primitive);
	if (l->reorder) dnnl_primitive_destroy(l->reorder);
	for (int i = 0; i < ROLES; i++)
		if (l->memory[i]) dnnl_memory_destroy(l->memory[i]);
	if (l->packed) dnnl_memory_destroy(l->packed);
	if (l->scratch) dnnl_memory_destroy(l->scratch);
	free(l);
}
