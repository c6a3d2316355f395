/* Training with AVX-512. Registers, of 32: up to 24 sums (of pixels or of weights), one vector that all use. */
#include "../architecture.h"
#include "train_kernels.h"
#include "../unroll.h"

#include <string.h>

#if defined(STDO_X86)
#include "../x86/begin_avx512vnni.inc"

enum { LANES = 16, PIXELS = 24, RUN = 24 };
#define LIST_CASE(count) count,
#define PIXEL_CASES(CASE) \
    CASE(1) CASE(4) CASE(5) CASE(6) CASE(8) CASE(10) CASE(11) CASE(12) CASE(13) CASE(18) CASE(20) CASE(22) CASE(24)
#define RUN_CASES(CASE) CASE(24) CASE(16) CASE(12) CASE(8) CASE(5) CASE(3)

typedef __m512 VECTOR;
#define LOAD _mm512_loadu_ps
#define STORE _mm512_storeu_ps
#define SET1 _mm512_set1_ps
#define ADD _mm512_add_ps
#define SUB _mm512_sub_ps
#define MUL _mm512_mul_ps
#define DIV _mm512_div_ps
#define SQRT _mm512_sqrt_ps
#define ABS _mm512_abs_ps
#define FMADD _mm512_fmadd_ps

STDO_INLINE VECTOR LOAD_INT16(const int16_t *from)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)from)));
}

STDO_INLINE VECTOR POSITIVE(VECTOR mask, VECTOR value)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(mask, _mm512_setzero_ps(), _CMP_GT_OQ), value);
}

#include "train_body.inc"

const stdo_train_kernels stdo_train_avx512vnni = STDO_TRAIN_KERNELS("avx512vnni");

#include "../end_target.inc"
#endif
