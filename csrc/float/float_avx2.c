/* Float convolutions with AVX2 and FMA. */
#include "../architecture.h"
#include "../residual.h"
#include "../unroll.h"
#include "float_conv.h"

#if defined(STDO_X86)
#include "../x86/begin_avx2.inc"

enum { LANES = 8, PIXELS = 6, PIXELS_TAIL = 2 };

typedef __m256 VECTOR;
#define SET1 _mm256_set1_ps
#define FMADD _mm256_fmadd_ps
#define MUL _mm256_mul_ps
#define MIN _mm256_min_ps
#define MAX _mm256_max_ps

STDO_INLINE void store_first(float *to, VECTOR value, size_t count)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_maskstore_ps(to, _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), lane), value);
}

STDO_INLINE void store_rounded(int16_t *to, VECTOR value)
{
    const __m256i whole = _mm256_cvtps_epi32(value);
    const __m128i low = _mm256_castsi256_si128(whole), high = _mm256_extracti128_si256(whole, 1);
    _mm_storeu_si128((__m128i *)(void *)to, _mm_packs_epi32(low, high));
}

#include "float_body.inc"

const stdo_conv stdo_float_avx2 = {pixel_bytes, packed_bytes, pack, load, hidden, last, 0, 0};

#include "../end_target.inc"
#endif
