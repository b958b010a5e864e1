#ifndef BAGPIPE_YCC_H
#define BAGPIPE_YCC_H

#include <stdint.h>

// bp_ycc turns a row of n pixels into RGB, rounded as libjpeg does (ITU-T T.871).
void bp_ycc(int level, uint8_t *r, uint8_t *g, uint8_t *b, const uint8_t *y, const uint8_t *cb, const uint8_t *cr, int n);

// bp_double makes 2n samples of the n at src by libjpeg's triangle filter, which reads
// src[-1] and src[n], too.
void bp_double(int level, uint8_t *dst, const uint8_t *src, int n);

// bp_double_both is bp_double where rows are doubled, too: far is the row above or below
// src, which is the nearer one. sums has room for n + 2 numbers.
void bp_double_both(int level, uint8_t *dst, const uint8_t *src, const uint8_t *far, int n, int16_t *sums);

// bp_join interleaves n pixels.
void bp_join(int level, uint8_t *dst, const uint8_t *r, const uint8_t *g, const uint8_t *b, int n);

#endif
