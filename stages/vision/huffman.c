//go:build cgo

#include <string.h>
#include "huffman.h"
#include "idct.h"
#include "variants.h"

enum { LONGEST = 10 }; // size of a value that look holds; only first coefficients have longer ones

// single is look's entry for one code of len bits.
static bp_look single(int sym, int len, int dc) {
	int size = dc ? sym : sym & 15, step = dc ? 0 : (sym >> 4) + 1;
	if (!dc && size == 0 && step < 16)
		return (bp_look){.bits = len, .low1 = 64 - len, .kind = ENDS};
	if (size > LONGEST || step > 15)
		return (bp_look){.kind = LONG};
	return (bp_look){.bits = len + size, .step1 = step, .low1 = 64 - len - size, .size1 = size};
}

// look_up makes look of codes, the entries of single codes by their bits.
static void look_up(bp_huffman *t, const bp_look codes[1 << LOOK_BITS]) {
	memcpy(t->look, codes, sizeof t->look);
	for (int i = 0; i < 1 << LOOK_BITS && !t->dc; i++) {
		bp_look *e = &t->look[i];
		int left = LOOK_BITS - e->bits;
		if (e->kind || left <= 0)
			continue;
		const bp_look *next = &codes[i << e->bits & ((1 << LOOK_BITS) - 1)];
		if (next->kind & LONG || 64 - next->low1 - next->size1 > left)
			continue;
		e->step2 = next->step1;
		e->low2 = next->low1 - e->bits;
		e->size2 = next->size1;
		e->kind = next->kind;
		e->bits += next->bits;
	}
}

int bp_huffman_make(bp_huffman *t, const uint8_t bits[17], const uint8_t symbols[256], int dc) {
	if (t->made && t->dc == dc && !memcmp(t->bits, bits, sizeof t->bits) && !memcmp(t->symbols, symbols, sizeof t->symbols))
		return 0;
	t->made = 0;
	bp_look codes[1 << LOOK_BITS];
	uint32_t code = 0; // filled up to 16 bits
	for (int i = 0; i < 1 << LOOK_BITS; i++)
		codes[i] = (bp_look){.kind = LONG};
	for (int len = 1, k = 0; len <= 16; len++) {
		uint32_t step = 1u << (16 - len);
		t->offset[len] = k - (int)(code / step);
		for (int i = 0; i < bits[len]; i++, k++, code += step) {
			// No code may be all ones (C.2), and libjpeg refuses such a table.
			if (k > 255 || code + step >= 1 << 16 || (dc && symbols[k] > 11))
				return -1;
			if (len > LOOK_BITS)
				continue;
			bp_look *at = codes + (code >> (16 - LOOK_BITS));
			for (int rest = 0; rest < 1 << (LOOK_BITS - len); rest++)
				at[rest] = single(symbols[k], len, dc);
		}
		t->limit[len] = code;
	}
	t->dc = dc;
	look_up(t, codes);
	memcpy(t->bits, bits, sizeof t->bits);
	memcpy(t->symbols, symbols, sizeof t->symbols);
	t->made = 1;
	return 0;
}

// fill moves what is left to the front and unstuffs another chunk.
static void fill(bp_stream *s) {
	size_t left = s->stop - s->next;
	memmove(s->bytes, s->next, left);
	s->next = s->bytes;
	s->stop = s->bytes + left;
	for (int room = CHUNK_BYTES; room > 0 && !s->last;) {
		size_t n = s->end - s->src, run = n < (size_t)room ? n : (size_t)room;
		const uint8_t *ff = memchr(s->src, 0xff, run);
		if (ff)
			run = ff - s->src;
		memcpy(s->stop, s->src, run);
		s->stop += run;
		s->src += run;
		room -= run;
		if (s->src == s->end || (ff && (s->src + 1 == s->end || s->src[1] != 0))) {
			s->last = 1;
		} else if (ff) {
			*s->stop++ = 0xff;
			s->src += 2;
			room--;
		}
	}
	memset(s->stop, 0, 2 * BLOCK_BYTES);
}

static void start(bp_stream *s) {
	s->next = s->stop = s->bytes;
	s->window = 0;
	s->filled = s->last = 0;
	fill(s);
}

void bp_stream_open(bp_stream *s, const uint8_t *src, size_t n) {
	s->src = src;
	s->end = src + n;
	start(s);
}

int bp_stream_overrun(const bp_stream *s) { return s->last && (s->next - s->stop) * 8 > s->filled; }

// marker reports whether the marker of this code comes next.
static int marker(bp_stream *s, int code) {
	if (!s->last && s->stop - s->next < BLOCK_BYTES)
		fill(s);
	return s->last && !bp_stream_overrun(s) && s->end - s->src >= 2 && s->src[1] == code;
}

int bp_stream_ended(bp_stream *s) { return marker(s, 0xd9) ? 0 : -1; }

int bp_stream_restart(bp_stream *s, int n) {
	if (!marker(s, 0xd0 + (n & 7)) || (s->stop - s->next) * 8 + s->filled > 7)
		return -1;
	s->src += 2;
	start(s);
	return 0;
}

// reader is the part of a stream that has to be in registers.
typedef struct {
	const uint8_t *next;
	uint64_t window;
	int filled;
} reader;

#define INLINE static inline __attribute__((always_inline))

// more fills the window up to at least 56 bits.
INLINE void more(reader *r) {
	uint64_t w;
	memcpy(&w, r->next, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	w = __builtin_bswap64(w);
#endif
	r->window |= w >> r->filled;
	r->next += (63 - r->filled) >> 3;
	r->filled |= 56;
}

INLINE void take(reader *r, int n) {
	r->window <<= n;
	r->filled -= n;
}

// value is that of the size bits above the low ones of the window (F.2.2.1): without a
// branch, since its sign cannot be foreseen.
INLINE int value(const reader *r, int low, int size) {
	static const int16_t bias[16] = {0, -1, -3, -7, -15, -31, -63, -127, -255, -511, -1023, -2047, -4095, -8191, -16383, -32767};
	int v = (int)(r->window >> (low & 63)) & ((1 << size) - 1);
	return v + (((v >> ((size - 1) & 31)) - 1) & bias[size]);
}

// long_code takes a code that is not in look, and returns its symbol or -1.
static int long_code(reader *r, const bp_huffman *t) {
	uint32_t code = r->window >> 48;
	for (int len = 1; len <= 16; len++) {
		if (code < t->limit[len]) {
			take(r, len);
			return t->symbols[(t->offset[len] + (int)(code >> (16 - len))) & 255];
		}
	}
	return -1;
}

// open_block makes sure that the block's bits are there; 0 if some of the last one's were not.
static int open_block(bp_stream *s) {
	if (s->stop - s->next >= BLOCK_BYTES)
		return 1;
	if (!s->last)
		fill(s);
	return !bp_stream_overrun(s);
}

// difference takes a first coefficient; its size is -1 if there is none.
INLINE int difference(reader *r, const bp_huffman *dc, int *size) {
	const bp_look *e = &dc->look[r->window >> (64 - LOOK_BITS)];
	int v, bits = e->bits;
	*size = e->size1;
	if (e->kind & LONG) {
		bits = *size = long_code(r, dc);
		if (bits < 0)
			return 0;
	}
	v = value(r, 64 - bits, *size);
	take(r, bits);
	return v;
}

// block decodes most codes by twos: what takes time is the chain from one look to the
// next, and a code with its value is 6 bits long in the mean. Of a single code, the second
// step is 0 and its store is overwritten by the first's.
INLINE int block(bp_stream *s, const bp_huffman *dc, const bp_huffman *ac, int *pred, int16_t *coefs) {
	if (!open_block(s))
		return -1;
	reader r = {s->next, s->window, s->filled};
	int size, k = 0;
	more(&r);
	*pred = (int)((unsigned)*pred + (unsigned)difference(&r, dc, &size));
	if (size < 0)
		return -1;
	if (coefs)
		coefs[0] = *pred;
	for (;;) {
		more(&r);
		const bp_look *e;
		// An entry of look and a long code, with their values, are at most 51 bits.
		for (int i = 0; i < 2; i++) {
			e = &ac->look[r.window >> (64 - LOOK_BITS)];
			int k1 = k + e->step1, k2 = k1 + e->step2;
			if (e->kind || k2 >= 63)
				goto rare;
			if (coefs) {
				coefs[bp_place[k2]] = value(&r, e->low2, e->size2);
				coefs[bp_place[k1]] = value(&r, e->low1, e->size1);
			}
			take(&r, e->bits);
			k = k2;
		}
		continue;
	rare:;
		int step = e->step1, bits = 64 - e->low1, v; // of the first code
		size = e->size1;
		if (e->kind & LONG) {
			int sym = long_code(&r, ac);
			if (sym < 0)
				return -1;
			bits = size = sym & 15;
			step = (sym >> 4) + 1;
			if (size == 0 && step < 16) // the block's end
				goto end;
		} else if (step == 0) {
			take(&r, bits);
			goto end;
		}
		k += step;
		if (k > 63)
			return -1;
		v = value(&r, 64 - bits, size);
		if (coefs)
			coefs[bp_place[k]] = v;
		take(&r, bits); // the second code comes again, if there is one
		if (k == 63)
			goto end;
		if (e->kind & ENDS) {
			take(&r, e->bits - bits);
			goto end;
		}
	}
end:
	s->next = (uint8_t *)r.next;
	s->window = r.window;
	s->filled = r.filled;
	return k;
}

#ifdef HAS_V3
__attribute__((target("bmi,bmi2"))) static int block_v3(bp_stream *s, const bp_huffman *dc, const bp_huffman *ac, int *pred, int16_t *coefs) {
	return block(s, dc, ac, pred, coefs);
}

__attribute__((target("bmi,bmi2"))) static int skip_v3(bp_stream *s, const bp_huffman *dc, const bp_huffman *ac, int *pred) {
	return block(s, dc, ac, pred, NULL);
}
#endif

int bp_block(int level, bp_stream *s, const bp_huffman *dc, const bp_huffman *ac, int *pred, int16_t *coefs) {
#ifdef HAS_V3
	if (level)
		return block_v3(s, dc, ac, pred, coefs);
#endif
	(void)level;
	return block(s, dc, ac, pred, coefs);
}

int bp_skip(int level, bp_stream *s, const bp_huffman *dc, const bp_huffman *ac, int *pred) {
#ifdef HAS_V3
	if (level)
		return skip_v3(s, dc, ac, pred);
#endif
	(void)level;
	return block(s, dc, ac, pred, NULL);
}
