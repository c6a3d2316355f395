/* Training with NEON. Registers, of 32: up to 6 x 4 sums (of pixels or of weights), 4 vectors that all use, one
   input. */
#include "../architecture.h"
#include "train_kernels.h"

#if defined(STDO_ARM64)
#include "../unroll.h"

#include <arm_neon.h>
#include <string.h>

enum { LANES = 4, PIXELS = 6, RUN = 6 };
#define LIST_CASE(count) count,
#define PIXEL_CASES(CASE) CASE(1) CASE(3) CASE(4) CASE(5) CASE(6)
#define RUN_CASES(CASE) CASE(6) CASE(5) CASE(4) CASE(3) CASE(2)

typedef float32x4_t VECTOR;
#define LOAD vld1q_f32
#define STORE vst1q_f32
#define SET1 vdupq_n_f32
#define ADD vaddq_f32
#define SUB vsubq_f32
#define MUL vmulq_f32
#define DIV vdivq_f32
#define ABS vabsq_f32
#define SQRT vsqrtq_f32
#define LOAD_INT16(from) vcvtq_f32_s32(vmovl_s16(vld1_s16(from)))

STDO_INLINE VECTOR FMADD(VECTOR a, VECTOR b, VECTOR c) { return vfmaq_f32(c, a, b); }

STDO_INLINE VECTOR POSITIVE(VECTOR mask, VECTOR value)
{
    return vreinterpretq_f32_u32(vandq_u32(vcgtq_f32(mask, vdupq_n_f32(0)), vreinterpretq_u32_f32(value)));
}

#include "train_body.inc"

const stdo_train_kernels stdo_train_neon = STDO_TRAIN_KERNELS("neon");

#endif
