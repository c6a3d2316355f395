/* The tables of the ARM tiers, and the base with NEON. */
#include "kernels_arm.h"

#if defined(__aarch64__)
#include "../unroll.h"

#include <arm_neon.h>
#include <string.h>

enum { STEP = 8 }; /* lr pixels at a time: int16 in one vector */

static void base_vertical(const uint8_t *const lr[4], const stdo_phase *phase, size_t width, int16_t *v)
{
    int16_t tap[4];
    int32_t sum = 0;
    for (int i = 0; i < 4; i++) {
        tap[i] = (int16_t)phase->tap[i];
        sum += phase->tap[i];
    }
    /* The result fits 16 bits, so what lies between may wrap. */
    const int16x8_t offset = vdupq_n_s16((int16_t)(-128 * sum));
    for (size_t x = 0; x < width; x += STEP) {
        int16x8_t value = offset;
        STDO_UNROLL
        for (int i = 0; i < 4; i++) {
            uint8_t end[STEP] = {0};
            const uint8_t *row = lr[i] + x;
            if (width - x < STEP) row = memcpy(end, row, width - x);
            value = vmlaq_n_s16(value, vreinterpretq_s16_u16(vmovl_u8(vld1_u8(row))), tap[i]);
        }
        vst1q_s16(v + x, value);
    }
}

/* B of 8 lr pixels for one phase, from 11 values of v. */
STDO_INLINE int16x8_t base_phase(int16x8_t a, int16x8_t b, const stdo_phase *phase, int16x4_t tap)
{
    /* The rounding of B that the narrowing shift does not do: it adds 128 itself. */
    int32x4_t low = vdupq_n_s32((128 << 14) + (32 << 8)), high = low;
    const int32_t begin = 1 + phase->offset;
    const int16x8_t x0 = begin == 0 ? a : vextq_s16(a, b, 1), x1 = begin == 0 ? vextq_s16(a, b, 1) : vextq_s16(a, b, 2);
    const int16x8_t x2 = begin == 0 ? vextq_s16(a, b, 2) : vextq_s16(a, b, 3);
    const int16x8_t x3 = begin == 0 ? vextq_s16(a, b, 3) : vextq_s16(a, b, 4);
    low = vmlal_lane_s16(low, vget_low_s16(x0), tap, 0);
    high = vmlal_high_lane_s16(high, x0, tap, 0);
    low = vmlal_lane_s16(low, vget_low_s16(x1), tap, 1);
    high = vmlal_high_lane_s16(high, x1, tap, 1);
    low = vmlal_lane_s16(low, vget_low_s16(x2), tap, 2);
    high = vmlal_high_lane_s16(high, x2, tap, 2);
    low = vmlal_lane_s16(low, vget_low_s16(x3), tap, 3);
    high = vmlal_high_lane_s16(high, x3, tap, 3);
    return vrshrn_high_n_s32(vrshrn_n_s32(low, 8), high, 8);
}

STDO_INLINE uint8x8_t to_pixels(int16x8_t value) { return vqmovun_s16(vshrq_n_s16(value, 6)); }

STDO_INLINE void hr_row_at_scale(const int16_t *v, const stdo_phase *phase, size_t scale, const int16_t *residual,
                                 size_t width, uint8_t *hr)
{
    int16x4_t tap[4];
    for (size_t r = 0; r < scale; r++) {
        const int32x4_t wide = vld1q_s32(phase[r].tap);
        tap[r] = vmovn_s32(wide);
    }
    for (size_t x = 0; x < width; x += STEP * scale, v += STEP) {
        const int16x8_t a = vld1q_s16(v), b = vld1q_s16(v + STEP);
        int16x8_t base[4];
        STDO_UNROLL
        for (size_t r = 0; r < scale; r++) base[r] = base_phase(a, b, &phase[r], tap[r]);
        uint8_t end[4 * STEP], *to = hr + x;
        const size_t count = width - x < STEP * scale ? width - x : STEP * scale;
        if (count < STEP * scale) to = end;
        if (scale == 1) {
            if (residual != NULL) base[0] = vqaddq_s16(base[0], vld1q_s16(residual + x));
            vst1_u8(to, to_pixels(base[0]));
        } else if (scale == 2) {
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
            const uint8x8x4_t pixel = {{to_pixels(base[0]), to_pixels(base[1]), to_pixels(base[2]), to_pixels(base[3])}};
            vst4_u8(to, pixel);
        }
        if (to == end) memcpy(hr + x, end, count);
    }
}

static void hr_row(const int16_t *v, const stdo_phase *phase, uint32_t scale, const int16_t *residual, size_t width,
                   uint8_t *hr)
{
    switch (scale) {
    case 1: hr_row_at_scale(v, phase, 1, residual, width, hr); break;
    case 2: hr_row_at_scale(v, phase, 2, residual, width, hr); break;
    case 3: hr_row_at_scale(v, phase, 3, residual, width, hr); break;
    default: hr_row_at_scale(v, phase, 4, residual, width, hr); break;
    }
}

void stdo_kernels_neon(stdo_kernels *kernels)
{
    kernels->tier = "neon";
    kernels->int8 = stdo_int8_neon;
    kernels->float32 = stdo_float32_neon;
    kernels->base_vertical = base_vertical;
    kernels->hr_row = hr_row;
}

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
