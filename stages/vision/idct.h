#ifndef BAGPIPE_IDCT_H
#define BAGPIPE_IDCT_H

#include <stdint.h>

// The inverse DCT of 8x8 blocks as libjpeg's JDCT_ISLOW, bit for bit, for two blocks at a
// time: coefficients of row y and column x of block b at 16*y + 8*b + x.

enum { PAIR = 128 }; // coefficients of two blocks

// bp_place is where the coefficient of a zigzag index goes, for block 0 of a pair.
extern const uint8_t bp_place[64];

// bp_idct writes two blocks side by side, 16 bytes in 8 rows. It returns a number other
// than 0 for coefficients so large that libjpeg's own variants differ.
int bp_idct(int level, uint8_t *dst, int stride, const int16_t coefs[PAIR], const int16_t quant[PAIR]);

// bp_idct_flat is bp_idct for blocks that have only their first coefficient.
int bp_idct_flat(uint8_t *dst, int stride, const int16_t coefs[PAIR], const int16_t quant[PAIR]);

#endif
