/* The tables of the ARM tiers, and the base with NEON. */
#include "kernels_arm.h"

#include "../architecture.h"

#if defined(STDO_NEON)
#include "begin_neon.inc"
#include "finish.h"

#include <string.h>

enum { STEP = 8 }; /* lr pixels at a time: int16 in one vector */

STDO_INLINE void vertical_step(const uint8_t *const *row, const int16_t *tap, size_t taps, int16x8_t offset, int16_t *v)
{
    int16x8_t value = offset;
    STDO_UNROLL
    for (size_t i = 0; i < taps; i++)
        value = vmlaq_n_s16(value, vreinterpretq_s16_u16(vmovl_u8(vld1_u8(row[i]))), tap[i]);
    vst1q_s16(v, value);
}

STDO_INLINE void base_rows(const uint8_t *const *lr, const int32_t *taps, size_t count, size_t width, int16_t *v)
{
    int16_t tap[4];
    int32_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        tap[i] = (int16_t)taps[i];
        sum += taps[i];
    }
    /* The result fits 16 bits, so what lies between may wrap. */
    const int16x8_t offset = vdupq_n_s16((int16_t)(-128 * sum));
    for (size_t x = 0; x + STEP <= width; x += STEP) {
        const uint8_t *row[4];
        for (size_t i = 0; i < count; i++) row[i] = lr[i] + x;
        vertical_step(row, tap, count, offset, v + x);
    }
    const size_t rest = width & (STEP - 1), x = width - rest;
    if (rest == 0) return;
    uint8_t end[4][STEP] = {{0}};
    const uint8_t *row[4];
    for (size_t i = 0; i < count; i++) {
        memcpy(end[i], lr[i] + x, rest);
        row[i] = end[i];
    }
    vertical_step(row, tap, count, offset, v + x);
}

/* A phase that lies on a row reads no other one. */
static void base_vertical(const uint8_t *const lr[4], const stdo_phase *phase, size_t width, int16_t *v)
{
    if (phase->tap[0] == 0 && phase->tap[2] == 0 && phase->tap[3] == 0)
        base_rows(lr + 1, phase->tap + 1, 1, width, v);
    else
        base_rows(lr, phase->tap, 4, width, v);
}

#define ADD_TAP(i) \
    STDO_UNROLL \
    for (size_t r = 0; r < scale; r++) { \
        const int16x8_t value = x[r < early ? i : i + 1]; \
        low[r] = vmlal_lane_s16(low[r], vget_low_s16(value), tap[r], i); \
        high[r] = vmlal_high_lane_s16(high[r], value, tap[r], i); \
    }

/* B of 8 lr pixels for each phase. The first `early` phases have the offset -1, the others 0. All phases go forward
   together, so that none waits for its own sums. */
STDO_INLINE void base_phases(const int16_t *v, const int16x4_t *tap, size_t scale, size_t early, int16x8_t *base)
{
    const int16x8_t a = vld1q_s16(v), b = vld1q_s16(v + STEP);
    const int16x8_t x[5] = {a, vextq_s16(a, b, 1), vextq_s16(a, b, 2), vextq_s16(a, b, 3), vextq_s16(a, b, 4)};
    int32x4_t low[4], high[4];
    STDO_UNROLL
    for (size_t r = 0; r < scale; r++) low[r] = high[r] = vdupq_n_s32((128 << 14) + (32 << 8));
    ADD_TAP(0) ADD_TAP(1) ADD_TAP(2) ADD_TAP(3)
    /* The narrowing shift adds the 128 itself. */
    STDO_UNROLL
    for (size_t r = 0; r < scale; r++) base[r] = vrshrn_high_n_s32(vrshrn_n_s32(low[r], 8), high[r], 8);
}

STDO_INLINE uint8x8_t to_pixels(int16x8_t value) { return vqshrun_n_s16(value, 6); }

STDO_INLINE void hr_row_at_scale(const int16_t *v, const stdo_phase *phase, size_t scale, size_t early,
                                 const int16_t *residual, size_t width, uint8_t *hr)
{
    int16x4_t tap[4];
    for (size_t r = 0; r < scale; r++) tap[r] = vmovn_s32(vld1q_s32(phase[r].tap));
    for (size_t x = 0; x < width; x += STEP * scale, v += STEP) {
        int16x8_t base[4];
        base_phases(v, tap, scale, early, base);
        uint8_t end[4 * STEP], *to = hr + x;
        const size_t count = width - x < STEP * scale ? width - x : STEP * scale;
        if (count < STEP * scale) to = end;
        if (scale == 2) {
            if (residual != NULL) {
                const int16x8x2_t more = vld2q_s16(residual + x);
                base[0] = vqaddq_s16(base[0], more.val[0]);
                base[1] = vqaddq_s16(base[1], more.val[1]);
            }
            const uint8x8x2_t pixel = {{to_pixels(base[0]), to_pixels(base[1])}};
            vst2_u8(to, pixel);
        } else if (scale == 3) {
            if (residual != NULL) {
                const int16x8x3_t more = vld3q_s16(residual + x);
                base[0] = vqaddq_s16(base[0], more.val[0]);
                base[1] = vqaddq_s16(base[1], more.val[1]);
                base[2] = vqaddq_s16(base[2], more.val[2]);
            }
            const uint8x8x3_t pixel = {{to_pixels(base[0]), to_pixels(base[1]), to_pixels(base[2])}};
            vst3_u8(to, pixel);
        } else {
            if (residual != NULL) {
                const int16x8x4_t more = vld4q_s16(residual + x);
                base[0] = vqaddq_s16(base[0], more.val[0]);
                base[1] = vqaddq_s16(base[1], more.val[1]);
                base[2] = vqaddq_s16(base[2], more.val[2]);
                base[3] = vqaddq_s16(base[3], more.val[3]);
            }
            const uint8x8x4_t pixel = {
                {to_pixels(base[0]), to_pixels(base[1]), to_pixels(base[2]), to_pixels(base[3])}};
            vst4_u8(to, pixel);
        }
        if (to == end) memcpy(hr + x, end, count);
    }
}

STDO_INLINE uint8x8_t pixels_alike(const int16_t *v, const int16_t *residual, int16x8_t middle)
{
    int16x8_t base = vaddq_s16(vrhaddq_s16(vld1q_s16(v), vdupq_n_s16(0)), middle);
    if (residual != NULL) base = vqaddq_s16(base, vld1q_s16(residual));
    return to_pixels(base);
}

/* Scale 1 has the phase that lies on a pixel: 128 * v is rounded away from the half to v / 2. */
static void hr_row_alike(const int16_t *v, const int16_t *residual, size_t width, uint8_t *hr)
{
    const int16x8_t middle = vdupq_n_s16((128 << 6) + 32);
    size_t x = 0;
    for (; x + STEP <= width; x += STEP)
        vst1_u8(hr + x, pixels_alike(v + x + 2, residual == NULL ? NULL : residual + x, middle));
    if (x == width) return;
    uint8_t end[STEP];
    vst1_u8(end, pixels_alike(v + x + 2, residual == NULL ? NULL : residual + x, middle));
    memcpy(hr + x, end, width - x);
}

/* 24 hr pixels from 16 lr pixels, even and odd apart. */
STDO_INLINE uint8x8_t phase_3_2(const int16_t *first, const int32_t *tap)
{
    const int16x8x2_t x = vld2q_s16(first), next = vld2q_s16(first + 2);
    const int16x8_t from[4] = {x.val[0], x.val[1], next.val[0], next.val[1]};
    int32x4_t low = vdupq_n_s32((128 << 14) + 128 + (32 << 8)), high = low;
    STDO_UNROLL
    for (int i = 0; i < 4; i++) {
        low = vmlal_n_s16(low, vget_low_s16(from[i]), (int16_t)tap[i]);
        high = vmlal_n_s16(high, vget_high_s16(from[i]), (int16_t)tap[i]);
    }
    return vqmovun_s16(vcombine_s16(vshrn_n_s32(low, 14), vshrn_n_s32(high, 14)));
}

static void hr_row_3_2(const int16_t *v, const stdo_phase phase[3], size_t width, uint8_t *hr)
{
    for (size_t x = 0; x < width; x += 24, v += 16) {
        uint8x8x3_t pixels;
        STDO_UNROLL
        for (int r = 0; r < 3; r++) pixels.val[r] = phase_3_2(v + 1 + phase[r].offset, phase[r].tap);
        if (width - x >= 24) {
            vst3_u8(hr + x, pixels);
            continue;
        }
        uint8_t block[24];
        vst3_u8(block, pixels);
        memcpy(hr + x, block, width - x);
    }
}

static void hr_row(const int16_t *v, const stdo_phase *phase, uint32_t scale, const int16_t *residual, size_t width,
                   uint8_t *hr)
{
    switch (scale) {
    case 1: hr_row_alike(v, residual, width, hr); break;
    case 2: hr_row_at_scale(v, phase, 2, 1, residual, width, hr); break;
    case 3: hr_row_at_scale(v, phase, 3, 1, residual, width, hr); break;
    default:
        if (phase[1].offset < 0)
            hr_row_at_scale(v, phase, 4, 2, residual, width, hr);
        else
            hr_row_at_scale(v, phase, 4, 1, residual, width, hr);
        break;
    }
}

void stdo_kernels_neon(stdo_kernels *kernels)
{
    kernels->tier = "neon";
    kernels->int8 = stdo_int8_neon;
    kernels->base_vertical = base_vertical;
    kernels->hr_row = hr_row;
    kernels->hr_row_3_2 = hr_row_3_2;
}

#if defined(STDO_ARM64)
void stdo_kernels_neon_dot(stdo_kernels *kernels)
{
    kernels->tier = "neon_dot";
    kernels->int8 = stdo_int8_neon_dot;
}

void stdo_kernels_neon_i8mm(stdo_kernels *kernels)
{
    kernels->tier = "neon_i8mm";
    kernels->int8 = stdo_int8_neon_i8mm;
}
#endif

#include "end_neon.inc"
#endif
