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

enum { UNIT = 4, WHOLE = 16 }; /* bytes: of a unit, and of a register of four */

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

STDO_INLINE void end_sums(size_t pixels, size_t vectors, int32x4_t *sum) { (void)pixels, (void)vectors, (void)sum; }

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

#include "blocks.inc"

const stdo_conv stdo_int8_neon_dot = {stdo_arm_pixel_bytes, packed_bytes, pack, stdo_arm_load, hidden, last, 0};

#include "../end_target.inc"
#endif
