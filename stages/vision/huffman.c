//go:build cgo

#include <string.h>
#include "huffman.h"

// extend is the value that the s bits v stand for (F.2.2.1).
static inline int extend(int v, int s) { return v < 1 << (s - 1) ? v - (1 << s) + 1 : v; }

// entry is look's entry for a code of len bits, followed by rest, the bits of the index
// that the code leaves.
static uint32_t entry(int sym, int len, int rest, int dc) {
	int s = sym & 15, left = LOOK_BITS - len - s;
	int run = dc ? 0 : sym >> 4;
	if (left < 0 || (s == 0 && !dc && run != 15))
		return (uint32_t)sym << 16 | (uint32_t)len << 8;
	int v = s ? extend(rest >> left, s) : 0;
	return (uint32_t)v << 16 | (uint32_t)(run + 1) << 8 | (uint32_t)(len + s);
}

int bp_huffman_make(bp_huffman *t, const uint8_t bits[17], const uint8_t symbols[256], int dc) {
	if (t->made && t->dc == dc && !memcmp(t->bits, bits, sizeof t->bits) && !memcmp(t->symbols, symbols, sizeof t->symbols))
		return 0;
	t->made = 0;
	uint32_t code = 0; // filled up to 16 bits
	int k = 0;
	memset(t->look, 0, sizeof t->look);
	for (int len = 1; len <= 16; len++) {
		uint32_t step = 1u << (16 - len);
		t->offset[len] = k - (int)(code / step);
		for (int i = 0; i < bits[len]; i++, k++, code += step) {
			if (k > 255 || code + step > 1 << 16 || (dc && symbols[k] > 11))
				return -1;
			if (len > LOOK_BITS)
				continue;
			uint32_t *at = t->look + (code >> (16 - LOOK_BITS));
			for (int rest = 0; rest < 1 << (LOOK_BITS - len); rest++)
				at[rest] = entry(symbols[k], len, rest, dc);
		}
		t->limit[len] = code;
	}
	memcpy(t->bits, bits, sizeof t->bits);
	memcpy(t->symbols, symbols, sizeof t->symbols);
	t->dc = dc;
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

// symbol takes the code that look's entry e does not contain with its value.
INLINE int symbol(reader *r, const bp_huffman *t, uint32_t e) {
	if (e) {
		take(r, e >> 8 & 31);
		return e >> 16 & 255;
	}
	uint32_t code = r->window >> 48;
	for (int len = LOOK_BITS + 1; len <= 16; len++) {
		if (code < t->limit[len]) {
			take(r, len);
			return t->symbols[(t->offset[len] + (int)(code >> (16 - len))) & 255];
		}
	}
	return -1;
}

// value takes s bits, 1 to 15.
INLINE int value(reader *r, int s) {
	int v = r->window >> (64 - s);
	take(r, s);
	return extend(v, s);
}

INLINE int block(bp_stream *s, const bp_huffman *dc, const bp_huffman *ac, int *pred, int16_t *coefs, const uint8_t *place) {
	if (s->stop - s->next < BLOCK_BYTES) {
		if (!s->last)
			fill(s);
		if (bp_stream_overrun(s))
			return -1;
	}
	reader r = {s->next, s->window, s->filled};
	more(&r);
	uint32_t e = dc->look[r.window >> (64 - LOOK_BITS)];
	if (e & 31) {
		take(&r, e & 31);
		*pred = (int)((unsigned)*pred + (unsigned)((int32_t)e >> 16));
	} else {
		int sym = symbol(&r, dc, e);
		if (sym < 0)
			return -1;
		if (sym)
			*pred = (int)((unsigned)*pred + (unsigned)value(&r, sym));
	}
	if (coefs)
		coefs[place[0]] = *pred;
	int k = 0;
	for (;;) {
		more(&r);
		// Two short codes and a long one are at most 53 bits.
		for (int i = 0; i < 2; i++) {
			e = ac->look[r.window >> (64 - LOOK_BITS)];
			if (!(e & 31))
				goto rare;
			take(&r, e & 31);
			k += e >> 8 & 255;
			if (coefs)
				coefs[place[k]] = (int32_t)e >> 16;
			if (k >= 63)
				goto end;
		}
		e = ac->look[r.window >> (64 - LOOK_BITS)];
		if (e & 31) {
			take(&r, e & 31);
			k += e >> 8 & 255;
			if (coefs)
				coefs[place[k]] = (int32_t)e >> 16;
			if (k >= 63)
				goto end;
			continue;
		}
	rare:;
		int sym = symbol(&r, ac, e);
		if (sym < 0)
			return -1;
		if ((sym & 15) == 0) {
			if (sym >> 4 != 15)
				goto end;
			k += 16;
		} else {
			k += (sym >> 4) + 1;
			int v = value(&r, sym & 15);
			if (coefs)
				coefs[place[k]] = v;
		}
		if (k >= 63)
			goto end;
	}
end:
	s->next = (uint8_t *)r.next;
	s->window = r.window;
	s->filled = r.filled;
	return k > 63 ? -1 : k;
}

int bp_block(bp_stream *s, const bp_huffman *dc, const bp_huffman *ac, int *pred, int16_t *coefs, const uint8_t place[80]) {
	return block(s, dc, ac, pred, coefs, place);
}

int bp_skip(bp_stream *s, const bp_huffman *dc, const bp_huffman *ac, int *pred) {
	return block(s, dc, ac, pred, NULL, NULL) < 0 ? -1 : 0;
}
