#ifndef BAGPIPE_BASELINE_H
#define BAGPIPE_BASELINE_H

#include <stdint.h>
#include <stdio.h>
#include <jpeglib.h>
#include "huffman.h"
#include "idct.h"

// The decoder for what nearly all JPEGs are: baseline, Huffman-coded, gray or YCbCr in
// one scan, chroma whole or halved. It gives libjpeg's pixels, bit for bit, for half the
// time: it finds coefficients with fewer steps, transforms blocks of the wanted part
// alone, and writes colours as the resizer reads them. What is rarer or damaged it leaves
// to libjpeg, which then finds the words for it.

typedef struct {
	int across, down; // blocks of an MCU
	int width, height; // samples of the whole picture
	uint8_t *pix; // the window's sample 0, 0; there is one more on every side
	int stride, rows;
	int16_t *coefs; // of a row of MCUs in the window, in pairs of blocks
	uint8_t *full; // by block: more than the first coefficient is set
	int pairs; // of a row of blocks
	int16_t quant[PAIR];
	const bp_huffman *dc, *ac;
	int pred;
} bp_component;

typedef struct {
	bp_stream stream;
	bp_huffman dc[4], ac[4];
	bp_component of[3];
	int components;
	int mcu_width, mcu_height; // pixels
	int left, top, right, bottom; // MCUs of the window; right and bottom are the first ones outside
	uint8_t *memory; // of planes and coefficients
	size_t size;
	uint8_t *row; // a row of two chromas and of RGB
	int16_t *sums;
} bp_baseline;

enum { BASELINE_DONE, BASELINE_LEFT };

// bp_baseline_decode decodes the part w x h at x, y of the picture whose header c has just
// read. Rows of dst are of three lines of pitch bytes, as lines of pixels.go; of pixels of
// three bytes if pitch is 0.
int bp_baseline_decode(bp_baseline *b, j_decompress_ptr c, int level, uint8_t *dst, int pitch, int x, int y, int w, int h);

void bp_baseline_free(bp_baseline *b);

#endif
