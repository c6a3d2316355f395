/* Instructions of 64-bit ARM that 32-bit ARM has none of, by two or three of its own. */
#ifndef STDO_NEON32_H
#define STDO_NEON32_H

#include "../architecture.h"
#include "../unroll.h"

#if defined(STDO_ARM32)
#include <arm_neon.h>

STDO_INLINE int16x8_t vmull_high_s8(int8x16_t a, int8x16_t b) { return vmull_s8(vget_high_s8(a), vget_high_s8(b)); }

STDO_INLINE int32x4_t vpaddq_s32(int32x4_t a, int32x4_t b)
{
    return vcombine_s32(vpadd_s32(vget_low_s32(a), vget_high_s32(a)), vpadd_s32(vget_low_s32(b), vget_high_s32(b)));
}

STDO_INLINE uint8x16_t vqmovun_high_s16(uint8x8_t low, int16x8_t high) { return vcombine_u8(low, vqmovun_s16(high)); }

STDO_INLINE int16x8_t vuzp2q_s16(int16x8_t a, int16x8_t b) { return vuzpq_s16(a, b).val[1]; }
STDO_INLINE int32x4_t vuzp1q_s32(int32x4_t a, int32x4_t b) { return vuzpq_s32(a, b).val[0]; }
STDO_INLINE int32x4_t vuzp2q_s32(int32x4_t a, int32x4_t b) { return vuzpq_s32(a, b).val[1]; }
STDO_INLINE uint32x4_t vuzp1q_u32(uint32x4_t a, uint32x4_t b) { return vuzpq_u32(a, b).val[0]; }
STDO_INLINE uint32x4_t vuzp2q_u32(uint32x4_t a, uint32x4_t b) { return vuzpq_u32(a, b).val[1]; }

#define vrshrn_high_n_s32(low, high, bits) vcombine_s16(low, vrshrn_n_s32(high, bits))
#define vmlal_high_lane_s16(sum, a, b, lane) vmlal_lane_s16(sum, vget_high_s16(a), b, lane)
#endif

#endif
