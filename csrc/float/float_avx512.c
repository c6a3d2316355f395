/* Float convolutions with AVX-512. */
#include "../architecture.h"
#include "../residual.h"
#include "../unroll.h"
#include "float_conv.h"

#if defined(STDO_X86)
#include "../x86/begin_avx512vnni.inc"

enum { LANES = 16, PIXELS = 12, PIXELS_TAIL = 4 };

typedef __m512 VECTOR;
#define SET1 _mm512_set1_ps
#define FMADD _mm512_fmadd_ps
#define MUL _mm512_mul_ps
#define MIN _mm512_min_ps
#define MAX _mm512_max_ps

STDO_INLINE void store_first(float *to, VECTOR value, size_t count)
{
    _mm512_mask_storeu_ps(to, (__mmask16)((1u << count) - 1), value);
}

STDO_INLINE void store_rounded(int16_t *to, VECTOR value)
{
    _mm256_storeu_si256((__m256i *)(void *)to, _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(value)));
}

#include "float_body.inc"

const stdo_conv stdo_float_avx512vnni = {pixel_bytes, packed_bytes, pack, load, hidden, last, 0, 0};

#include "../end_target.inc"
#endif
