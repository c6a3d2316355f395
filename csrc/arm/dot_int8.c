/* Integer convolutions with SDOT (ARMv8.2 dot product, cortex-a55, a75 and later).

   A unit is four bytes of a row of activations. SDOT by element multiplies one unit out of a register that holds four
   of them with 4 outputs x 4 weights, so activations are loaded 16 bytes at a time and never spread.

   Registers, of 32: 16 sums (4 pixels x 4 vectors of outputs, or 8 x 2, or 8 x 1), the activations of each pixel, and
   the weights of a unit. */
#include "kernels_arm.h"

#include "../architecture.h"

#if defined(STDO_ARM64)
#include "finish.h"

#include "begin_dot.inc"

enum { UNIT = 4, PLANE = 0, WHOLE = 16 }; /* bytes: of a unit, of a plane, and of a register of four units */

/* Written out because clang 14 hides the intrinsic from builds for plain ARMv8. `lane` is a constant. */
#define DOT(sum, weight, unit, lane) \
    __asm__("sdot %0.4s, %1.16b, %2.4b[" #lane "]" : "+w"(sum) : "w"(weight), "w"(unit))

/* One unit of every pixel with every vector of outputs. */
#define DOT_UNIT(lane) \
    do { \
        int8x16_t w[4]; \
        STDO_UNROLL \
        for (size_t v = 0; v < vectors; v++, weight += 16) w[v] = vld1q_s8(weight); \
        STDO_UNROLL \
        for (size_t v = 0; v < vectors; v++) { \
            STDO_UNROLL \
            for (size_t p = 0; p < pixels; p++) DOT(sum[p * vectors + v], w[v], a[p], lane); \
        } \
    } while (0)

STDO_INLINE void begin_sums(const stdo_finish *finish, size_t pixels, size_t vectors, int32x4_t *sum)
{
    STDO_UNROLL
    for (size_t v = 0; v < vectors; v++) {
        const int32x4_t bias = vld1q_s32(finish[v].bias);
        STDO_UNROLL
        for (size_t p = 0; p < pixels; p++) sum[p * vectors + v] = bias;
    }
}

STDO_INLINE const int8_t *add_row(const uint8_t *row, size_t pixel, size_t run, const int8_t *weight, size_t pixels,
                                  size_t vectors, int32x4_t *sum)
{
    const int8_t *in = (const int8_t *)row;
    const size_t whole = run / WHOLE, rest = run % WHOLE;
    int8x16_t a[8];
    for (size_t i = 0; i < whole; i++, in += WHOLE) {
        STDO_UNROLL
        for (size_t p = 0; p < pixels; p++) a[p] = vld1q_s8(in + p * pixel);
        DOT_UNIT(0);
        DOT_UNIT(1);
        DOT_UNIT(2);
        DOT_UNIT(3);
    }
    if (rest == 0) return weight;
    STDO_UNROLL
    for (size_t p = 0; p < pixels; p++) a[p] = vld1q_s8(in + p * pixel);
    DOT_UNIT(0);
    if (rest > UNIT) DOT_UNIT(1);
    if (rest > 2 * UNIT) DOT_UNIT(2);
    return weight;
}

/* Sums are vectors of four outputs of one pixel: sum[p * vectors + v]. Two vectors of a pixel are requantised together, so
   that their bytes come out side by side. */
static void pack_own(const stdo_layer *layer, size_t o, int16_t own[2 * LANES])
{
    for (size_t i = 0; i < 2 * LANES; i++) own[i] = stdo_arm_multiplier(layer, o + i);
}

/* Where a pixel is smaller than what is stored, the next one overwrites what is too much. */
STDO_INLINE void store_hidden(const int32x4_t *sum, size_t pixels, size_t vectors, const stdo_finish *finish,
                              int32x4_t shift, uint8_t *out, size_t step, size_t plane)
{
    (void)plane;
    const uint8x16_t sign = vdupq_n_u8(0x80);
    const int16x8_t twice = vld1q_s16(finish->multiplier), low = vld1q_s16(finish->own);
    const int16x8_t high = vectors > 2 ? vld1q_s16(finish[2].own) : low;
    STDO_UNROLL
    for (size_t p = 0; p < pixels; p += 2) {
        const int32x4_t *a = sum + p * vectors, *b = a + vectors;
        uint8_t *to = out + p * step, *next = to + step;
        if (vectors == 1) {
            store_fours(vqmovun_s16(requantise(a[0], b[0], shift, twice)), to, next, step);
            continue;
        }
        const uint8x8_t first = vqmovun_s16(requantise(a[0], a[1], shift, low));
        const int16x8_t second = requantise(b[0], b[1], shift, low);
        if (vectors == 2) {
            const uint64x2_t both = vreinterpretq_u64_u8(veorq_u8(vqmovun_high_s16(first, second), sign));
            vst1q_lane_u64((uint64_t *)(void *)to, both, 0);
            vst1q_lane_u64((uint64_t *)(void *)next, both, 1);
            continue;
        }
        const size_t l = vectors - 1; /* the fourth vector, or the third twice */
        vst1q_u8(to, veorq_u8(vqmovun_high_s16(first, requantise(a[2], a[l], shift, high)), sign));
        vst1q_u8(next, veorq_u8(vqmovun_high_s16(vqmovun_s16(second), requantise(b[2], b[l], shift, high)), sign));
    }
}

/* q: [pair of pixels][vector]. */
STDO_INLINE void requantise_last(const int32x4_t *sum, size_t pixels, size_t vectors, const stdo_finish *finish,
                                 int32x4_t shift, int16x8_t *q)
{
    STDO_UNROLL
    for (size_t v = 0; v < vectors; v++) {
        const int16x8_t multiplier = vld1q_s16(finish[v].multiplier);
        STDO_UNROLL
        for (size_t p = 0; p < pixels; p += 2)
            q[p / 2 * vectors + v] = requantise(sum[p * vectors + v], sum[(p + 1) * vectors + v], shift, multiplier);
    }
}

/* Rows lie whole. */
STDO_INLINE void add_unit(const uint8_t *unit, const int8_t *weight, size_t pixels, size_t vectors, int32x4_t *sum)
{
    (void)unit, (void)weight, (void)pixels, (void)vectors, (void)sum;
}

#include "blocks.inc"

const stdo_conv stdo_int8_neon_dot = {pixel_bytes, packed_bytes, pack, stdo_arm_load, hidden, last, PLANE, 4};

#include "../end_target.inc"
#endif
