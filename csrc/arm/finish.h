/* What the integer convolutions of all ARM tiers share: the form of activations, and the way from int32 sums to bytes.

   An activation u is kept as the signed byte u - 128 (u ^ 0x80), so that products of signed bytes serve. The 128 times
   the sum of the weights that this takes off is added to the bias when a layer is packed: there is no padding, so every
   sum has all its weights. Together they stay far within 32 bits: 2^30 + 128 * 128 * 5184 < 2^31.

   Sums are vectors of four outputs of one pixel. */
#ifndef STDO_FINISH_H
#define STDO_FINISH_H

#include "../architecture.h"
#include "../residual.h"
#include "../sizes.h"
#include "../unroll.h"

#if defined(STDO_NEON)
#include <arm_neon.h>
#include <string.h>

#include "neon32.h"

enum { LANES = 4 };

/* What the end of a layer needs, for one vector of outputs after the other. */
typedef struct stdo_finish {
    int32_t bias[LANES];
    int16_t multiplier[2 * LANES]; /* twice: for two pixels */
    int16_t own[2 * LANES];     /* as the tier's sums of a hidden layer lie; unused by `neon` */
} stdo_finish;

static inline int16_t stdo_arm_multiplier(const stdo_layer *layer, size_t o)
{
    return o < layer->out ? (int16_t)layer->multiplier[o] : 0;
}

static inline size_t stdo_arm_pixel_bytes(uint32_t channels)
{
    if (channels == 1) return 1;
    return (size_t)align_up(channels, channels <= 16 ? 4 : 16);
}

/* A weight, or 0 where the layer has none. */
static inline int8_t stdo_arm_weight(const stdo_layer *layer, size_t o, size_t row, size_t column, size_t channel)
{
    if (o >= layer->out || column >= layer->kernel || channel >= layer->in) return 0;
    return ((const int8_t *)layer->weight)[((o * layer->kernel + row) * layer->kernel + column) * layer->in + channel];
}

static inline void stdo_arm_pack_finish(const stdo_layer *layer, size_t vector, stdo_finish *finish)
{
    const size_t count = (size_t)layer->kernel * layer->kernel * layer->in;
    memset(finish, 0, sizeof *finish);
    for (size_t i = 0; i < LANES; i++) {
        const size_t o = vector * LANES + i;
        if (o >= layer->out) break;
        int32_t sum = 0;
        for (size_t t = 0; t < count; t++) sum += ((const int8_t *)layer->weight)[o * count + t];
        finish->bias[i] = ((const int32_t *)layer->bias)[o] + 128 * sum;
        finish->multiplier[i] = finish->multiplier[LANES + i] = stdo_arm_multiplier(layer, o);
    }
}

static inline void stdo_arm_load(const uint8_t *const lr[], uint32_t planes, size_t width, void *row)
{
    uint8_t *out = row;
    if (planes == 1) {
        const uint8_t *in = lr[0];
        for (size_t x = 0; x < width; x++) out[x] = in[x] ^ 0x80;
        return;
    }
    for (size_t x = 0; x < width; x++, out += 4) {
        for (size_t p = 0; p < planes; p++) out[p] = lr[p][x] ^ 0x80;
        out[3] = 0;
    }
}

/* The shift of a layer for `requantise`: it leaves what FORMAT.md's shift gives in the upper half of 32 bits, so that
   the clamp to 32 bits, which the instruction has, is the clamp to 16. */
STDO_INLINE int32x4_t shift_of(int32_t shift) { return vdupq_n_s32(16 - shift); }

/* q of two vectors of sums: FORMAT.md's shift, clamp to 16 bits, and multiplication, which is sqrdmulh. */
STDO_INLINE int16x8_t requantise(int32x4_t a, int32x4_t b, int32x4_t shift, int16x8_t multiplier)
{
    const int16x8_t low = vreinterpretq_s16_s32(vqshlq_s32(a, shift));
    const int16x8_t high = vreinterpretq_s16_s32(vqshlq_s32(b, shift));
    return vqrdmulhq_s16(vuzp2q_s16(low, high), multiplier);
}

/* Stores two pixels of four channels, clamped to 0..255, or of one: `a` and `b` say where. */
STDO_INLINE void store_fours(uint8x8_t channels, uint8_t *a, uint8_t *b, size_t pixel)
{
    const uint32x2_t x = vreinterpret_u32_u8(veor_u8(channels, vdup_n_u8(0x80)));
    if (pixel == 1) {
        *a = (uint8_t)vget_lane_u32(x, 0);
        *b = (uint8_t)vget_lane_u32(x, 1);
    } else {
        vst1_lane_u32((uint32_t *)(void *)a, x, 0);
        vst1_lane_u32((uint32_t *)(void *)b, x, 1);
    }
}

/* Two pixels of one vector of outputs, wherever these go: lane by lane. Rare, and so not repeated in every
   loop. */
static __attribute__((noinline)) void store_lanes(int16x8_t q, size_t v, size_t scale, int16_t *pixel,
                                                  const stdo_residual *to)
{
    const size_t first = v * LANES;
    const size_t *offset = to->offset + first;
    const size_t outs = to->outs > first ? to->outs - first : 0;
#define STORE_OUTPUT(i) \
    if (i < outs) { \
        vst1q_lane_s16(pixel + offset[i], q, i); \
        vst1q_lane_s16(pixel + offset[i] + scale, q, LANES + i); \
    }
    STORE_OUTPUT(0) STORE_OUTPUT(1) STORE_OUTPUT(2) STORE_OUTPUT(3)
#undef STORE_OUTPUT
}

/* Scale 2, four pixels: a vector is two rows of two hr pixels of one plane. */
STDO_INLINE void store_twos(int16x8_t ab, int16x8_t cd, int16_t *row, size_t stride)
{
    const int32x4_t x = vreinterpretq_s32_s16(ab), y = vreinterpretq_s32_s16(cd);
    vst1q_s16(row, vreinterpretq_s16_s32(vuzp1q_s32(x, y)));
    vst1q_s16(row + stride, vreinterpretq_s16_s32(vuzp2q_s32(x, y)));
}

/* Scale 3, one pixel: nine outputs in a row are three rows of three. Each store writes a value too many, which that of
   the next pixel overwrites. */
STDO_INLINE void store_threes(int16x4_t a, int16x4_t b, int16x4_t c, int16_t *row, size_t stride)
{
    vst1_s16(row, a);
    vst1_s16(row + stride, vext_s16(a, b, 3));
    vst1_s16(row + 2 * stride, vext_s16(b, c, 2));
}

/* Scale 1, eight pixels and output `o`, whose sums lack the bias. */
STDO_INLINE void store_narrow(int32x4_t a, int32x4_t b, const stdo_finish *finish, size_t o, int32x4_t shift,
                              int16_t *out)
{
    const int32x4_t bias = vdupq_n_s32(finish->bias[o]);
    const int16x8_t multiplier = vdupq_n_s16(finish->multiplier[o]);
    vst1q_s16(out, requantise(vaddq_s32(a, bias), vaddq_s32(b, bias), shift, multiplier));
}

/* Stores the residuals of pixels from x on. `q` is [pair of pixels][vector]: four outputs of a pixel, then those of the
   next one. */
STDO_INLINE void store_last(const int16x8_t *q, size_t pixels, size_t vectors, size_t scale, size_t x,
                            const stdo_residual *to)
{
    int16_t *const first = to->values + x * scale;
    STDO_UNROLL
    for (size_t p = 0; p < pixels / 2; p++) {
        int16_t *pixel = first + 2 * p * scale;
        if (scale == 3 && vectors == 3 && to->outs == 9) {
            const int16x8_t *a = q + p * vectors;
            int16_t *row = pixel + to->offset[0];
            store_threes(vget_low_s16(a[0]), vget_low_s16(a[1]), vget_low_s16(a[2]), row, to->stride);
            store_threes(vget_high_s16(a[0]), vget_high_s16(a[1]), vget_high_s16(a[2]), row + 3, to->stride);
            continue;
        }
        STDO_UNROLL
        for (size_t v = 0; v < vectors; v++) {
            const int16x8_t *a = q + p * vectors + v;
            if (scale == 4) /* a vector is one row of a pixel's hr pixels */
                vst1q_s16(pixel + to->offset[0] + v * to->stride, *a);
            else if (scale != 2)
                store_lanes(*a, v, scale, pixel, to);
            else if (p % 2 == 0 && v * LANES < to->outs)
                store_twos(a[0], a[vectors], pixel + to->offset[v * LANES], to->stride);
        }
    }
}
#endif

#endif
