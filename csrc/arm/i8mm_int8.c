/* Integer convolutions with SMMLA (ARMv8.6 matrix product, neoverse-v1, cortex-a510, a710, x2 and later).

   SMMLA multiplies 2 pixels x 8 bytes with 8 bytes x 2 outputs: twice the products of SDOT.

   It wants two neighbouring pixels side by side, so rows of more than four channels lie in planes of eight: there one load
   from any pixel on is that.

   Registers, of 32: 16 matrices of sums, the activations of two pixels a matrix, two vectors of weights. */
#include "kernels_arm.h"

#include "../architecture.h"

#if defined(STDO_ARM64)
#include "finish.h"

#include "begin_i8mm.inc"

enum { UNIT = 8, PLANE = 8 }; /* bytes */

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

/* Sums are matrices [pair of pixels][pair of outputs]: pixel a with both outputs, then pixel b. */
STDO_INLINE void begin_sums(const stdo_finish *finish, size_t pixels, size_t vectors, int32x4_t *matrix)
{
    STDO_UNROLL
    for (size_t o = 0; o < 2 * vectors; o++) {
        const int64_t *two = (const int64_t *)(const void *)finish[o >> 1].bias + (o & 1);
        STDO_UNROLL
        for (size_t p = 0; p < pixels >> 1; p++) matrix[p * 2 * vectors + o] = vreinterpretq_s32_s64(vld1q_dup_s64(two));
    }
}

STDO_INLINE void add_unit(const uint8_t *unit, const int8_t *weight, size_t pixels, size_t vectors, int32x4_t *matrix)
{
    int8x16_t pair[4];
    STDO_UNROLL
    for (size_t p = 0; p < pixels >> 1; p++) pair[p] = vld1q_s8((const int8_t *)unit + 2 * p * PLANE);
    group(pair, weight, pixels, vectors, matrix);
}

STDO_INLINE const int8_t *add_row(const uint8_t *row, size_t pixel, size_t run, const int8_t *weight, size_t pixels,
                                  size_t vectors, int32x4_t *matrix)
{
    const int8_t *in = (const int8_t *)row, *const end = in + run;
    const size_t pairs = pixels >> 1;
    int8x16_t pair[4];
    for (; in < end; in += UNIT, weight += 32 * vectors) {
        STDO_UNROLL
        for (size_t p = 0; p < pairs; p++)
            pair[p] = vcombine_s8(vld1_s8(in + 2 * p * pixel), vld1_s8(in + (2 * p + 1) * pixel));
        group(pair, weight, pixels, vectors, matrix);
    }
    return weight;
}

/* Two matrices are requantised together: two outputs of two pixels, then two more. */
static void pack_own(const stdo_layer *layer, size_t o, int16_t own[2 * LANES])
{
    static const size_t output[2 * LANES] = {0, 1, 0, 1, 2, 3, 2, 3};
    for (size_t i = 0; i < 2 * LANES; i++) own[i] = stdo_arm_multiplier(layer, o + output[i]);
}

STDO_INLINE void store_hidden(const int32x4_t *matrix, size_t pixels, size_t vectors, const stdo_finish *finish,
                              int32x4_t shift, uint8_t *out, size_t step, size_t plane)
{
    static const uint8_t by_pixel[16] = {0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15};
    const uint8x16_t sign = vdupq_n_u8(0x80), order = vld1q_u8(by_pixel);
    STDO_UNROLL
    for (size_t v = 0; v < vectors; v += 2, out += plane) {
        const int16x8_t low = vld1q_s16(finish[v].own), high = v + 1 < vectors ? vld1q_s16(finish[v + 1].own) : low;
        STDO_UNROLL
        for (size_t p = 0; p < pixels >> 1; p++) {
            const int32x4_t *m = matrix + 2 * (p * vectors + v);
            uint8_t *to = out + 2 * p * step;
            const uint8x8_t four = vqmovun_s16(requantise(m[0], m[1], shift, low));
            if (v + 1 == vectors) {
                const uint16x4_t twos = vreinterpret_u16_u8(four);
                store_fours(vreinterpret_u8_u16(vext_u16(vuzp1_u16(twos, twos), vuzp2_u16(twos, twos), 2)), to, to + step,
                            step);
                continue;
            }
            const uint8x16_t eight = vqmovun_high_s16(four, requantise(m[2], m[3], shift, high));
            vst1q_u8(to, veorq_u8(vqtbl1q_u8(eight, order), sign));
        }
    }
}

/* q: [pair of pixels][vector], four outputs of one pixel before those of the next. */
STDO_INLINE void requantise_last(const int32x4_t *matrix, size_t pixels, size_t vectors, const stdo_finish *finish,
                                 int32x4_t shift, int16x8_t *q)
{
    static const uint8_t by_pixel[16] = {0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15};
    const uint8x16_t order = vld1q_u8(by_pixel);
    STDO_UNROLL
    for (size_t v = 0; v < vectors; v++) {
        const int16x8_t multiplier = vld1q_s16(finish[v].own);
        STDO_UNROLL
        for (size_t p = 0; p < pixels >> 1; p++) {
            const int32x4_t *m = matrix + 2 * (p * vectors + v);
            const int8x16_t mixed = vreinterpretq_s8_s16(requantise(m[0], m[1], shift, multiplier));
            q[p * vectors + v] = vreinterpretq_s16_s8(vqtbl1q_s8(mixed, order));
        }
    }
}

#include "blocks.inc"

const stdo_conv stdo_int8_neon_i8mm = {pixel_bytes, packed_bytes, pack, stdo_arm_load, hidden, last, PLANE, 4};

#include "../end_target.inc"
#endif
