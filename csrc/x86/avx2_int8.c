/* Integer convolutions with AVX2, which has no exact product of bytes: activations and weights are widened to 16 bits,
   and vpmaddwd adds two products into each of eight int32 sums. avx_layer.inc says how layers are cut. */
#include "../architecture.h"
#include "../sizes.h"
#include "../unroll.h"
#include "kernels_x86.h"

#include <string.h>

#if defined(STDO_X86)
#include "begin_avx2.inc"

typedef int16_t value, value_weight;

STDO_INLINE __m256i dot(__m256i sum, __m256i unit, __m256i weight)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(unit, weight));
}

#include "avx_layer.inc"

#include "avx_last.inc"

STDO_INLINE void store_bytes(int16_t *out, __m128i bytes)
{
    _mm256_storeu_si256((v256 *)(void *)out, _mm256_cvtepu8_epi16(bytes));
}

STDO_INLINE v256 clamp(v256 q)
{
    return _mm256_min_epi16(_mm256_max_epi16(q, _mm256_setzero_si256()), _mm256_set1_epi16(255));
}

/* One or two outputs of eight pixels. */
STDO_INLINE void store_few(v256 q, int16_t *out, size_t out_pixel, size_t outs)
{
    int16_t some[2 * LANES];
    if (out_pixel == 1) {
        store8(out, low_half(q));
        return;
    }
    _mm256_storeu_si256((v256 *)(void *)some, q);
    for (size_t p = 0; p < MANY; p++)
        for (size_t o = 0; o < outs; o++) out[p * out_pixel + o] = some[o * LANES + p];
}

/* Where a pixel is smaller than what is stored, the next one overwrites it. */
STDO_INLINE void store_pixels(const v256 *q, int16_t *out, size_t pixel, size_t outs)
{
    const size_t sixteens = outs == 16 ? PIXELS : 0, eights = outs == 8 ? MANY : 0, fours = outs == 4 ? MANY : 0;
    STDO_UNROLL
    for (size_t p = 0; p < sixteens; p++)
        _mm256_storeu_si256((v256 *)(void *)(out + p * pixel), _mm256_permute4x64_epi64(clamp(q[p]), 0xd8));
    STDO_UNROLL
    for (size_t p = 0; p < eights; p += 2) {
        const v256 two = _mm256_permute4x64_epi64(clamp(q[p / 2]), 0xd8);
        store8(out + p * pixel, low_half(two));
        store8(out + (p + 1) * pixel, high_half(two));
    }
    STDO_UNROLL
    for (size_t p = 0; p < fours; p += 4) {
        const v256 by_pixel = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        const v256 four = _mm256_permutevar8x32_epi32(clamp(q[p / 4]), by_pixel);
        const __m128i low = low_half(four), high = high_half(four);
        store4(out + p * pixel, low);
        store4(out + (p + 1) * pixel, _mm_unpackhi_epi64(low, low));
        store4(out + (p + 2) * pixel, high);
        store4(out + (p + 3) * pixel, _mm_unpackhi_epi64(high, high));
    }
    if (outs <= 2) store_few(clamp(q[0]), out, pixel, outs);
}

#include "avx_rows.inc"

const stdo_conv stdo_int8_avx2 = {.pixel_bytes = pixel_bytes, .packed_bytes = packed_bytes, .pack = pack, .load = load,
                                  .hidden = hidden, .last = last, .waste = 4};

#include "../end_target.inc"
#endif
