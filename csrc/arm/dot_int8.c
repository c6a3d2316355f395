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

/* Bytes of a row of the window, in whole units. */
static size_t run_bytes(size_t kernel, size_t pixel) { return (size_t)align_up(kernel * pixel, UNIT); }

static size_t weight_bytes(const stdo_layer *layer, size_t vectors)
{
    return layer->kernel * run_bytes(layer->kernel, stdo_arm_pixel_bytes(layer->in)) * vectors * LANES;
}

/* [row][unit][vector][output][byte] */
static void pack_weights(const stdo_layer *layer, size_t first, size_t vectors, int8_t *out)
{
    const size_t run = run_bytes(layer->kernel, stdo_arm_pixel_bytes(layer->in));
    for (size_t row = 0; row < layer->kernel; row++)
        for (size_t at = 0; at < run; at += UNIT)
            for (size_t o = first * LANES; o < (first + vectors) * LANES; o++)
                for (size_t t = 0; t < UNIT; t++) *out++ = stdo_arm_weight(layer, o, row, at + t);
}

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

/* sum[p * vectors + v]. `rows` point to the first pixel of the window, `offset` bytes on; `finish` begins a block. */
STDO_INLINE void convolve(size_t kernel, size_t pixel, const uint8_t *const rows[], size_t offset,
                          const stdo_finish *finish, size_t pixels, size_t vectors, int32x4_t *sum)
{
    const int8_t *weight = (const int8_t *)(finish + vectors);
    STDO_UNROLL
    for (size_t v = 0; v < vectors; v++) {
        const int32x4_t bias = vld1q_s32(finish[v].bias);
        STDO_UNROLL
        for (size_t p = 0; p < pixels; p++) sum[p * vectors + v] = bias;
    }
    const size_t run = run_bytes(kernel, pixel), whole = run >> 4, rest = run & (WHOLE - 1);
    for (size_t row = 0; row < kernel; row++) {
        const int8_t *in = (const int8_t *)rows[row] + offset;
        int8x16_t a[8];
        for (size_t i = 0; i < whole; i++, in += WHOLE) {
            STDO_UNROLL
            for (size_t p = 0; p < pixels; p++) a[p] = vld1q_s8(in + p * pixel);
            DOT_UNIT(0);
            DOT_UNIT(1);
            DOT_UNIT(2);
            DOT_UNIT(3);
        }
        if (rest == 0) continue;
        STDO_UNROLL
        for (size_t p = 0; p < pixels; p++) a[p] = vld1q_s8(in + p * pixel);
        DOT_UNIT(0);
        if (rest > UNIT) DOT_UNIT(1);
        if (rest > 2 * UNIT) DOT_UNIT(2);
    }
}

#include "blocks.inc"

const stdo_conv stdo_int8_neon_dot = {stdo_arm_pixel_bytes, packed_bytes, pack, stdo_arm_load, hidden, last, 0};

#include "../end_target.inc"
#endif
