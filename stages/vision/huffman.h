#ifndef BAGPIPE_HUFFMAN_H
#define BAGPIPE_HUFFMAN_H

#include <stddef.h>
#include <stdint.h>

// The Huffman decoding of a sequential JPEG's scan (ITU-T T.81, annex F.2.2), which is
// half of what a picture costs. Whatever is out of order ends it: then libjpeg decides.

enum {
	LOOK_BITS = 10, // of the stream, that one table entry is looked up with
	CHUNK_BYTES = 8192, // of the stream, that are unstuffed at a time
	BLOCK_BYTES = 256, // more than a block can take: 64 codes of 16 bits with 15 of value at most
};

// bp_look is the code that the next bits begin with, and a second one where they contain
// it; without one, the second step and size are 0. Fields are bytes since a load of one
// costs less than to cut it out.
typedef struct {
	uint8_t bits; // that the codes and their values take
	uint8_t step1, step2; // how far they move in the block
	uint8_t low1, low2; // bits of the window below their values
	uint8_t size1, size2; // bits of their values
	uint8_t kind;
} bp_look;

enum { ENDS = 1, LONG = 2 }; // kinds: the last code ends the block; a code that is longer

// bp_huffman is one table.
typedef struct {
	bp_look look[1 << LOOK_BITS];
	uint32_t limit[18]; // first code, filled up to 16 bits, that is longer than the index
	int offset[17]; // of a code of this length to its symbol
	uint8_t bits[17], symbols[256]; // what the table was made of
	int dc, made;
} bp_huffman;

// bp_huffman_make makes the table of the counts by length and the symbols of a DHT
// segment, unless it is that already; 0 on success.
int bp_huffman_make(bp_huffman *t, const uint8_t bits[17], const uint8_t symbols[256], int dc);

// bp_stream is the scan's data, taken out of their stuffing chunk by chunk.
typedef struct {
	const uint8_t *src, *end; // not unstuffed yet
	uint8_t *next, *stop; // unstuffed, not in window yet
	uint64_t window; // the next bits, from the highest on
	int filled; // bits of window
	int last; // src is at a marker or the end: zeros follow stop
	uint8_t bytes[CHUNK_BYTES + 3 * BLOCK_BYTES];
} bp_stream;

void bp_stream_open(bp_stream *s, const uint8_t *src, size_t n);

// bp_stream_restart goes on behind the restart marker that must follow now, with the
// number n; 0 on success.
int bp_stream_restart(bp_stream *s, int n);

// bp_stream_ended is 0 if the marker of the picture's end comes next.
int bp_stream_ended(bp_stream *s);

// bp_stream_overrun reports whether more bits were taken than there are.
int bp_stream_overrun(const bp_stream *s);

// bp_block decodes a block's coefficients to where bp_place says; they must be 0 before.
// *pred is the predictor of the first. Returns the index in zigzag order of the last one
// before the block's end, or -1.
int bp_block(int level, bp_stream *s, const bp_huffman *dc, const bp_huffman *ac, int *pred, int16_t *coefs);

// bp_skip is bp_block without coefficients.
int bp_skip(int level, bp_stream *s, const bp_huffman *dc, const bp_huffman *ac, int *pred);

#endif
