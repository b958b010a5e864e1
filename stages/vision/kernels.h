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

// Levels of rows of three lines, as jitterLevels of levels.go: a*v+b of n numbers,
// saturation and noise of rows, and the sum of the gray levels of n pixels a row.
void bp_scale_levels(int level, uint8_t *pix, int n, float a, float b);
void bp_saturate_levels(int level, uint8_t *pix, int rows, int pitch, float a);
void bp_noise_levels(int level, uint8_t *pix, int rows, int pitch, float r, float g, float b);
int64_t bp_gray_sum(int level, const uint8_t *pix, int n, int rows, int pitch);

// bp_tap is tap of linear.go.
typedef struct {
	int32_t i, j, wi, wj;
} bp_tap;

// bp_blend resizes RGB pixels to w x h as linear.blend does; two has room for 6w numbers.
void bp_blend(int level, uint8_t *dst, int w, int h, const uint8_t *src, int64_t pitch, const bp_tap *columns, const bp_tap *rows, int32_t *two);

#endif
