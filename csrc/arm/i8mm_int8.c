/* Integer convolutions with SMMLA (ARMv8.6 matrix product, neoverse-v1, cortex-a510, a710, x2 and later).

   SMMLA multiplies 2 pixels x 8 bytes with 8 bytes x 2 outputs: twice the products of SDOT.

   Registers, of 32: 16 matrices of sums, the activations of two pixels a matrix, two vectors of weights. */
#include "kernels_arm.h"

#include "../architecture.h"

#if defined(STDO_ARM64)
#include "finish.h"

#include "begin_i8mm.inc"

enum { GROUP = 8, TWO_GROUPS = 16 }; /* bytes */

/* Written out because clang 14 hides the intrinsic from builds for plain ARMv8. */
STDO_INLINE int32x4_t multiply(int32x4_t sum, int8x16_t pixels, int8x16_t weights)
{
    __asm__("smmla %0.4s, %1.16b, %2.16b" : "+w"(sum) : "w"(pixels), "w"(weights));
    return sum;
}

/* Bytes of a row of the window, in whole groups. */
static size_t run_bytes(size_t kernel, size_t pixel) { return (size_t)align_up(kernel * pixel, GROUP); }

static size_t weight_bytes(const stdo_layer *layer, size_t vectors)
{
    return layer->kernel * run_bytes(layer->kernel, stdo_arm_pixel_bytes(layer->in)) * vectors * LANES;
}

/* [row][group][output][byte]: two outputs to a register */
static void pack_weights(const stdo_layer *layer, size_t first, size_t vectors, int8_t *out)
{
    const size_t run = run_bytes(layer->kernel, stdo_arm_pixel_bytes(layer->in));
    for (size_t row = 0; row < layer->kernel; row++)
        for (size_t at = 0; at < run; at += GROUP)
            for (size_t o = first * LANES; o < (first + vectors) * LANES; o++)
                for (size_t t = 0; t < GROUP; t++) *out++ = stdo_arm_weight(layer, o, row, at + t);
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

/* sum[p * vectors + v]. `rows` point to the first pixel of the window, `offset` bytes on; `finish` begins a block. */
STDO_INLINE void convolve(size_t kernel, size_t pixel, const uint8_t *const rows[], size_t offset,
                          const stdo_finish *finish, size_t pixels, size_t vectors, int32x4_t *sum)
{
    const int8_t *weight = (const int8_t *)(finish + vectors);
    const size_t pairs = pixels >> 1;
    int32x4_t matrix[16]; /* [pair of pixels][pair of outputs]: pixel a with both outputs, then pixel b */
    STDO_UNROLL
    for (size_t o = 0; o < 2 * vectors; o++) {
        const int32x2_t two = vld1_s32(finish[o >> 1].bias + (o & 1) * 2);
        STDO_UNROLL
        for (size_t p = 0; p < pairs; p++) matrix[p * 2 * vectors + o] = vcombine_s32(two, two);
    }
    const size_t run = run_bytes(kernel, pixel), whole = run >> 4, rest = run & (TWO_GROUPS - 1);
    for (size_t row = 0; row < kernel; row++) {
        const int8_t *in = (const int8_t *)rows[row] + offset;
        int8x16_t low[4], high[4];
        for (size_t i = 0; i < whole; i++, in += TWO_GROUPS) {
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
        if (rest == 0) continue;
        STDO_UNROLL
        for (size_t p = 0; p < pairs; p++)
            low[p] = vcombine_s8(vld1_s8(in + 2 * p * pixel), vld1_s8(in + (2 * p + 1) * pixel));
        group(low, weight, pixels, vectors, matrix);
        weight += 32 * vectors;
    }
    STDO_UNROLL
    for (size_t p = 0; p < pairs; p++) {
        STDO_UNROLL
        for (size_t v = 0; v < vectors; v++) {
            const int64x2_t a = vreinterpretq_s64_s32(matrix[p * 2 * vectors + 2 * v]);
            const int64x2_t b = vreinterpretq_s64_s32(matrix[p * 2 * vectors + 2 * v + 1]);
            sum[2 * p * vectors + v] = vreinterpretq_s32_s64(vzip1q_s64(a, b));
            sum[(2 * p + 1) * vectors + v] = vreinterpretq_s32_s64(vzip2q_s64(a, b));
        }
    }
}

#include "blocks.inc"

const stdo_conv stdo_int8_neon_i8mm = {stdo_arm_pixel_bytes, packed_bytes, pack, stdo_arm_load, hidden, last, 0};

#include "../end_target.inc"
#endif
