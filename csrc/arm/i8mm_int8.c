/* Integer convolutions with SMMLA (ARMv8.6 matrix product, neoverse-v1, cortex-a510, a710, x2 and later).

   SMMLA multiplies 2 pixels x 8 bytes with 8 bytes x 2 outputs: twice the products of SDOT.

   Registers, of 32: 16 matrices of sums, the activations of two pixels a matrix, two vectors of weights. */
#include "kernels_arm.h"

#include "../architecture.h"

#if defined(STDO_ARM64)
#include "finish.h"

#include "begin_i8mm.inc"

enum { UNIT = 8, TWO_UNITS = 16 }; /* bytes */

/* Written out because clang 14 hides the intrinsic from builds for plain ARMv8. */
STDO_INLINE int32x4_t multiply(int32x4_t sum, int8x16_t pixels, int8x16_t weights)
{
    __asm__("smmla %0.4s, %1.16b, %2.16b" : "+w"(sum) : "w"(pixels), "w"(weights));
    return sum;
}

/* Eight bytes of each pixel, two pixels side by side, with all outputs. */
STDO_INLINE void group(const int8x16_t *pair, const int8_t *weight, size_t pixels, size_t vectors, int32x4_t *matrix)
{
    STDO_UNROLL
    for (size_t o = 0; o < 2 * vectors; o++) {
        const int8x16_t w = vld1q_s8(weight + 16 * o);
        STDO_UNROLL
        for (size_t p = 0; p < pixels >> 1; p++)
            matrix[p * 2 * vectors + o] = multiply(matrix[p * 2 * vectors + o], pair[p], w);
    }
}

STDO_INLINE int8x16_t zip1(int8x16_t a, int8x16_t b)
{
    return vreinterpretq_s8_s64(vzip1q_s64(vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b)));
}

STDO_INLINE int8x16_t zip2(int8x16_t a, int8x16_t b)
{
    return vreinterpretq_s8_s64(vzip2q_s64(vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b)));
}

/* Until the end, sums are matrices [pair of pixels][pair of outputs]: pixel a with both outputs, then pixel b. */
STDO_INLINE void begin_sums(const stdo_finish *finish, size_t pixels, size_t vectors, int32x4_t *matrix)
{
    STDO_UNROLL
    for (size_t o = 0; o < 2 * vectors; o++) {
        const int32x2_t two = vld1_s32(finish[o >> 1].bias + (o & 1) * 2);
        STDO_UNROLL
        for (size_t p = 0; p < pixels >> 1; p++) matrix[p * 2 * vectors + o] = vcombine_s32(two, two);
    }
}

STDO_INLINE const int8_t *add_row(const uint8_t *row, size_t pixel, size_t run, const int8_t *weight, size_t pixels,
                                  size_t vectors, int32x4_t *matrix)
{
    const int8_t *in = (const int8_t *)row;
    const size_t pairs = pixels >> 1, whole = run / TWO_UNITS;
    int8x16_t low[4], high[4];
    for (size_t i = 0; i < whole; i++, in += TWO_UNITS) {
        STDO_UNROLL
        for (size_t p = 0; p < pairs; p++) {
            const int8x16_t a = vld1q_s8(in + 2 * p * pixel), b = vld1q_s8(in + (2 * p + 1) * pixel);
            low[p] = zip1(a, b);
            high[p] = zip2(a, b);
        }
        group(low, weight, pixels, vectors, matrix);
        group(high, weight + 32 * vectors, pixels, vectors, matrix);
        weight += 64 * vectors;
    }
    if (run % TWO_UNITS == 0) return weight;
    STDO_UNROLL
    for (size_t p = 0; p < pairs; p++)
        low[p] = vcombine_s8(vld1_s8(in + 2 * p * pixel), vld1_s8(in + (2 * p + 1) * pixel));
    group(low, weight, pixels, vectors, matrix);
    return weight + 32 * vectors;
}

STDO_INLINE void end_sums(size_t pixels, size_t vectors, int32x4_t *sum)
{
    int64x2_t matrix[16];
    STDO_UNROLL
    for (size_t i = 0; i < pixels * vectors; i++) matrix[i] = vreinterpretq_s64_s32(sum[i]);
    STDO_UNROLL
    for (size_t p = 0; p < pixels >> 1; p++) {
        STDO_UNROLL
        for (size_t v = 0; v < vectors; v++) {
            const int64x2_t *two = matrix + p * 2 * vectors + 2 * v;
            sum[2 * p * vectors + v] = vreinterpretq_s32_s64(vzip1q_s64(two[0], two[1]));
            sum[(2 * p + 1) * vectors + v] = vreinterpretq_s32_s64(vzip2q_s64(two[0], two[1]));
        }
    }
}

#include "blocks.inc"

const stdo_conv stdo_int8_neon_i8mm = {stdo_arm_pixel_bytes, packed_bytes, pack, stdo_arm_load, hidden, last, 0};

#include "../end_target.inc"
#endif
