#ifndef BAGPIPE_KERNELS_H
#define BAGPIPE_KERNELS_H

#include <stdint.h>

// Every kernel takes the level of the instruction set that it may use: 0 is what the
// compiler was told to assume, 1 is x86-64-v3 (AVX2, BMI2, F16C). Results are the same bits.
int bp_level(void);

// bp_mapping is mapping of finish.go.
typedef struct {
	float m[12], lo[3], hi[3];
} bp_mapping;

enum { BP_FLOAT32, BP_FLOAT16, BP_BFLOAT16 };

// bp_finish maps rows of three lines, pitch bytes a line and n pixels wide, to n*3
// interleaved elements a row.
void bp_finish(int level, void *dst, int type, const uint8_t *src, int n, int rows, int pitch, const bp_mapping *f, int flip);

// bp_split takes rows of n RGB pixels, src_pitch bytes a row, apart into three lines of
// pitch bytes a row.
void bp_split(int level, uint8_t *dst, const uint8_t *src, int n, int rows, int pitch, int src_pitch);

#endif
