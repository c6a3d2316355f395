/* Training with AVX2 and FMA. Registers, of 16: up to 6 x 2 sums (of pixels or of weights), 2 vectors that all of them
   use, one input. */
#include "../architecture.h"
#include "train_kernels.h"
#include "../unroll.h"

#include <string.h>

#if defined(STDO_X86)
#include "../x86/begin_avx2.inc"

enum { LANES = 8, PIXELS = 6, RUN = 6 };
#define LIST_CASE(count) count,
#define PIXEL_CASES(CASE) CASE(1) CASE(3) CASE(4) CASE(5) CASE(6)
#define RUN_CASES(CASE) CASE(6) CASE(5) CASE(4) CASE(3) CASE(2)

typedef __m256 VECTOR;
#define LOAD _mm256_loadu_ps
#define STORE _mm256_storeu_ps
#define SET1 _mm256_set1_ps
#define ADD _mm256_add_ps
#define SUB _mm256_sub_ps
#define MUL _mm256_mul_ps
#define DIV _mm256_div_ps
#define SQRT _mm256_sqrt_ps
#define FMADD _mm256_fmadd_ps

STDO_INLINE VECTOR LOAD_INT16(const int16_t *from)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(const void *)from)));
}

STDO_INLINE VECTOR ABS(VECTOR value) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), value); }

STDO_INLINE VECTOR POSITIVE(VECTOR mask, VECTOR value)
{
    return _mm256_and_ps(_mm256_cmp_ps(mask, _mm256_setzero_ps(), _CMP_GT_OQ), value);
}

#include "train_body.inc"

const stdo_train_kernels stdo_train_avx2 = STDO_TRAIN_KERNELS("avx2");

#include "../end_target.inc"
#endif
