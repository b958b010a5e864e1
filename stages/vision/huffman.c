//go:build cgo

#include <string.h>
#include "huffman.h"
#include "idct.h"
#include "variants.h"

enum { LONGEST = 10 }; // size of a value that look holds; only first coefficients have longer ones

// The fields of look.
static inline int total_bits(uint32_t e) { return e & 63; } // a shift by it needs no mask
static inline int first_step(uint32_t e) { return e >> 6 & 15; }
static inline int first_length(uint32_t e) { return e >> 10 & 15; }
static inline int first_size(uint32_t e) { return e >> 14 & 15; }
static inline int second_step(uint32_t e) { return e >> 18 & 15; }
static inline int second_length(uint32_t e) { return e >> 22 & 15; }
static inline int second_size(uint32_t e) { return e >> 26 & 15; }

#define ENDS (1u << 30)
#define LONG (1u << 31)

// single is look's entry for one code of len bits.
static uint32_t single(int sym, int len, int dc) {
	int size = dc ? sym : sym & 15, step = dc ? 0 : (sym >> 4) + 1;
	if (!dc && size == 0 && step < 16)
		return ENDS | (uint32_t)len | (uint32_t)len << 10;
	if (size > LONGEST || step > 15)
		return LONG;
	return (uint32_t)(len + size) | (uint32_t)step << 6 | (uint32_t)len << 10 | (uint32_t)size << 14;
}

// both adds to the entry of one code that of the next.
static uint32_t both(uint32_t e, uint32_t next) {
	uint32_t sum = e + total_bits(next); // the first field
	if (next & ENDS)
		return sum | ENDS;
	return sum | (uint32_t)first_step(next) << 18 | (uint32_t)first_length(next) << 22 | (uint32_t)first_size(next) << 26;
}

// look_up makes look of codes, the entries of single codes by their bits.
static void look_up(bp_huffman *t, const uint32_t codes[1 << LOOK_BITS]) {
	for (uint32_t i = 0; i < 1 << LOOK_BITS; i++) {
		uint32_t e = codes[i], next = LONG;
		int left = LOOK_BITS - total_bits(e);
		if (!t->dc && !(e & (LONG | ENDS)) && left > 0)
			next = codes[i << total_bits(e) & ((1 << LOOK_BITS) - 1)];
		t->look[i] = next & LONG || first_length(next) > left ? e : both(e, next);
	}
}

int bp_huffman_make(bp_huffman *t, const uint8_t bits[17], const uint8_t symbols[256], int dc) {
	if (t->made && t->dc == dc && !memcmp(t->bits, bits, sizeof t->bits) && !memcmp(t->symbols, symbols, sizeof t->symbols))
		return 0;
	t->made = 0;
	uint32_t codes[1 << LOOK_BITS], code = 0; // filled up to 16 bits
	for (int i = 0; i < 1 << LOOK_BITS; i++)
		codes[i] = LONG;
	for (int len = 1, k = 0; len <= 16; len++) {
		uint32_t step = 1u << (16 - len);
		t->offset[len] = k - (int)(code / step);
		for (int i = 0; i < bits[len]; i++, k++, code += step) {
			if (k > 255 || code + step > 1 << 16 || (dc && symbols[k] > 11))
				return -1;
			if (len > LOOK_BITS)
				continue;
			uint32_t *at = codes + (code >> (16 - LOOK_BITS));
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

// value is that of the size bits from bit len of the window on (F.2.2.1): without a
// branch, since its sign cannot be foreseen.
INLINE int value(const reader *r, int len, int size) {
	uint32_t top = r->window << len >> 32;
	return (int)(top >> 1 >> (31 - size)) + (~((int32_t)top >> 31) & (1 - (1 << size)));
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

INLINE int difference(reader *r, const bp_huffman *dc, int *size) {
	uint32_t e = dc->look[r->window >> (64 - LOOK_BITS)];
	int v, len = first_length(e);
	*size = first_size(e);
	if (e & LONG) {
		*size = long_code(r, dc);
		len = 0;
		if (*size < 0)
			return 0;
	}
	v = value(r, len, *size);
	take(r, len + *size);
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
		uint32_t e;
		// An entry of look and a long code, with their values, are at most 52 bits.
		for (int i = 0; i < 2; i++) {
			e = ac->look[r.window >> (64 - LOOK_BITS)];
			int k1 = k + first_step(e), k2 = k1 + second_step(e);
			if (e >= ENDS || k2 >= 63)
				goto rare;
			if (coefs) {
				int bits = first_length(e) + first_size(e);
				coefs[bp_place[k2]] = value(&r, bits + second_length(e), second_size(e));
				coefs[bp_place[k1]] = value(&r, first_length(e), first_size(e));
			}
			take(&r, total_bits(e));
			k = k2;
		}
		continue;
	rare:;
		int ends = e & ENDS, len = first_length(e), step = first_step(e), v;
		size = first_size(e);
		if (e & LONG) {
			int sym = long_code(&r, ac);
			if (sym < 0)
				return -1;
			len = ends = 0;
			size = sym & 15;
			step = (sym >> 4) + 1;
			if (size == 0 && step < 16) // the same as ENDS, in a long code
				goto end;
		} else if (ends && step == 0) {
			take(&r, len);
			goto end;
		}
		k += step;
		if (k > 63)
			return -1;
		v = value(&r, len, size);
		if (coefs)
			coefs[bp_place[k]] = v;
		take(&r, len + size); // the second code comes again, if there is one
		if (k == 63)
			goto end;
		if (ends) {
			take(&r, total_bits(e) - len - size);
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
