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

/* 16 pixels at a time: a row of activations has slack, one of the caller's has not. */
static void load(const uint8_t *const lr[], uint32_t planes, size_t width, void *row)
{
    enum { STEP = 16 };
    int16_t *out = row;
    for (size_t x = 0; x < width; x += STEP, out += STEP * pixel_values(planes)) {
        __m128i plane[STDO_MAX_PLANES];
        for (size_t p = 0; p < planes; p++) {
            uint8_t end[STEP] = {0};
            const uint8_t *from = lr[p] + x;
            if (width - x < STEP) from = memcpy(end, from, width - x);
            plane[p] = _mm_loadu_si128((const __m128i *)(const void *)from);
        }
        if (planes == 1) {
            _mm256_storeu_si256((v256 *)(void *)out, _mm256_cvtepu8_epi16(plane[0]));
            continue;
        }
        const __m128i zero = _mm_setzero_si128();
        const __m128i low01 = _mm_unpacklo_epi8(plane[0], plane[1]), low2 = _mm_unpacklo_epi8(plane[2], zero);
        const __m128i high01 = _mm_unpackhi_epi8(plane[0], plane[1]), high2 = _mm_unpackhi_epi8(plane[2], zero);
        const __m128i four[4] = {_mm_unpacklo_epi16(low01, low2), _mm_unpackhi_epi16(low01, low2),
                                 _mm_unpacklo_epi16(high01, high2), _mm_unpackhi_epi16(high01, high2)};
        STDO_UNROLL
        for (size_t i = 0; i < 4; i++)
            _mm256_storeu_si256((v256 *)(void *)(out + i * STEP), _mm256_cvtepu8_epi16(four[i]));
    }
}

/* ---- Hidden layers ---- */

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
    STDO_UNROLL
    for (size_t p = 0; p < PIXELS && outs == 16; p++)
        _mm256_storeu_si256((v256 *)(void *)(out + p * pixel), _mm256_permute4x64_epi64(clamp(q[p]), 0xd8));
    STDO_UNROLL
    for (size_t p = 0; p < MANY && outs == 8; p += 2) {
        const v256 two = _mm256_permute4x64_epi64(clamp(q[p / 2]), 0xd8);
        store8(out + p * pixel, low_half(two));
        store8(out + (p + 1) * pixel, high_half(two));
    }
    STDO_UNROLL
    for (size_t p = 0; p < MANY && outs == 4; p += 4) {
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

STDO_INLINE void hidden_block(const shape *s, const uint8_t *const rows[], size_t width, const block *b, size_t outs,
                              int16_t *out)
{
    const size_t out_pixel = s->out_pixel;
    for (size_t x = 0; x < width; x += outs == 16 ? PIXELS : MANY) {
        v256 q[PIXELS];
        outputs(s, rows, x, b, outs, q);
        store_pixels(q, out + x * out_pixel, out_pixel, outs);
    }
}

#include "avx_hidden.inc"

const stdo_conv stdo_int8_avx2 = {.pixel_bytes = pixel_bytes, .packed_bytes = packed_bytes, .pack = pack, .load = load,
                                  .hidden = hidden, .last = last};

#include "../end_target.inc"
#endif
