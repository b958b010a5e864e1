#ifndef BAGPIPE_HUFFMAN_H
#define BAGPIPE_HUFFMAN_H

#include <stddef.h>
#include <stdint.h>

// The Huffman decoding of a sequential JPEG's scan (ITU-T T.81, annex F.2.2), which is
// half of what a picture costs. Whatever is out of order ends it: then libjpeg decides.

enum {
	LOOK_BITS = 11, // of the stream, that one table entry is looked up with
	CHUNK_BYTES = 8192, // of the stream, that are unstuffed at a time
	BLOCK_BYTES = 256, // more than a block can take: 64 codes of 16 bits with 10 of value
};

// bp_huffman is one table. An entry of look whose low 5 bits are not 0 is a symbol with
// its value: bits taken, then from bit 8 on how far it moves in the block, from bit 16 on
// the value. Another that is not 0 is a code alone: its length from bit 8 on, its symbol
// from bit 16 on. 0 is a longer code.
typedef struct {
	uint32_t look[1 << LOOK_BITS];
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

// bp_block decodes a block's 64 coefficients. With coefs, they are stored where place
// says, in zigzag order of the index; coefs must be 0 before. *dc is the predictor.
// Returns the last index that is set, or -1.
int bp_block(bp_stream *s, const bp_huffman *dc, const bp_huffman *ac, int *pred, int16_t *coefs, const uint8_t place[80]);

// bp_skip is bp_block without coefficients: 0, or -1.
int bp_skip(bp_stream *s, const bp_huffman *dc, const bp_huffman *ac, int *pred);

#endif
