/* The AVX2 tier: its table, and the base. */
#include "../architecture.h"
#include "../unroll.h"
#include "kernels_x86.h"

#include <string.h>

#if defined(STDO_X86)
#include "begin_avx2.inc"

enum { STEP = 16 }; /* lr pixels at a time: int16 in one vector */

typedef __m256i v256;

/* 16 lr pixels, of which `count` exist. */
STDO_INLINE v256 load_row(const uint8_t *row, size_t count)
{
    uint8_t end[STEP] = {0};
    if (count < STEP) row = memcpy(end, row, count);
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)row));
}

static void base_vertical(const uint8_t *const lr[4], const stdo_phase *phase, size_t width, int16_t *v)
{
    v256 tap[4];
    int32_t sum = 0;
    STDO_UNROLL
    for (int i = 0; i < 4; i++) {
        tap[i] = _mm256_set1_epi16((int16_t)phase->tap[i]);
        sum += phase->tap[i];
    }
    const int alone = phase->tap[1] == sum && phase->tap[0] == 0 && phase->tap[2] == 0; /* the one tap of its phase */
    /* The result fits 16 bits, so what lies between may wrap. */
    const v256 offset = _mm256_set1_epi16((int16_t)(-128 * sum));
    for (size_t x = 0; x < width; x += STEP) {
        v256 value = _mm256_add_epi16(offset, _mm256_mullo_epi16(load_row(lr[1] + x, width - x), tap[1]));
        STDO_UNROLL
        for (int i = 0; i < 4; i++)
            if (i != 1 && !alone)
                value = _mm256_add_epi16(value, _mm256_mullo_epi16(load_row(lr[i] + x, width - x), tap[i]));
        _mm256_storeu_si256((v256 *)(void *)(v + x), value);
    }
}

STDO_INLINE v256 sums(const int16_t *f, v256 tap01, v256 tap23)
{
    const v256 rounding = _mm256_set1_epi32((128 << 14) + 128 + (32 << 8));
    const v256 a = _mm256_madd_epi16(_mm256_loadu_si256((const v256 *)(const void *)f), tap01);
    const v256 b = _mm256_madd_epi16(_mm256_loadu_si256((const v256 *)(const void *)(f + 2)), tap23);
    return _mm256_add_epi32(_mm256_add_epi32(a, rounding), b);
}

/* B of 16 lr pixels for one phase. Sums of even and odd pixels are made apart: they are 32 bits wide. */
STDO_INLINE v256 base_phase(const int16_t *v, const stdo_phase *phase)
{
    const int16_t *f = v + 1 + phase->offset;
    const v256 tap01 = _mm256_set1_epi32((int32_t)((uint32_t)phase->tap[1] << 16 | (uint16_t)phase->tap[0]));
    const v256 tap23 = _mm256_set1_epi32((int32_t)((uint32_t)phase->tap[3] << 16 | (uint16_t)phase->tap[2]));
    const v256 even = sums(f, tap01, tap23), odd = sums(f + 1, tap01, tap23);
    return _mm256_blend_epi16(_mm256_srli_epi32(even, 8), _mm256_slli_epi32(odd, 8), 0xaa);
}

/* The same at scale 1, whose one phase is a tap of 128 at v[2]: (128 v + rounding) >> 8. */
STDO_INLINE v256 base_alone(const int16_t *v)
{
    const v256 tap = _mm256_loadu_si256((const v256 *)(const void *)(v + 2));
    const v256 half = _mm256_srai_epi16(_mm256_add_epi16(tap, _mm256_set1_epi16(1)), 1);
    return _mm256_add_epi16(half, _mm256_set1_epi16((128 << 6) + 32));
}

/* 16 hr pixels, of which `count` exist. */
STDO_INLINE void store(v256 base, const int16_t *residual, size_t count, uint8_t *hr)
{
    if (residual != NULL)
        base = _mm256_adds_epi16(base, _mm256_loadu_si256((const v256 *)(const void *)residual));
    const v256 pixel = _mm256_srai_epi16(base, 6);
    const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(pixel), _mm256_extracti128_si256(pixel, 1));
    if (count >= STEP) {
        _mm_storeu_si128((__m128i *)(void *)hr, bytes);
    } else {
        uint8_t end[STEP];
        _mm_storeu_si128((__m128i *)(void *)end, bytes);
        memcpy(hr, end, count);
    }
}

/* `base` holds the phases of 16 lr pixels one after the other, and then, in the order of hr pixels, `scale` vectors. */
STDO_INLINE void interleave(v256 *base, size_t scale)
{
    if (scale == 4) {
        const v256 low01 = _mm256_unpacklo_epi16(base[0], base[1]), high01 = _mm256_unpackhi_epi16(base[0], base[1]);
        const v256 low23 = _mm256_unpacklo_epi16(base[2], base[3]), high23 = _mm256_unpackhi_epi16(base[2], base[3]);
        const v256 a = _mm256_unpacklo_epi32(low01, low23), b = _mm256_unpackhi_epi32(low01, low23);
        const v256 c = _mm256_unpacklo_epi32(high01, high23), d = _mm256_unpackhi_epi32(high01, high23);
        base[0] = _mm256_permute2x128_si256(a, b, 0x20);
        base[1] = _mm256_permute2x128_si256(c, d, 0x20);
        base[2] = _mm256_permute2x128_si256(a, b, 0x31);
        base[3] = _mm256_permute2x128_si256(c, d, 0x31);
    } else if (scale == 2) {
        const v256 low = _mm256_unpacklo_epi16(base[0], base[1]), high = _mm256_unpackhi_epi16(base[0], base[1]);
        base[0] = _mm256_permute2x128_si256(low, high, 0x20);
        base[1] = _mm256_permute2x128_si256(low, high, 0x31);
    } else if (scale == 3) {
        /* Each phase goes, within 128 bits, where it is in all three of their vectors: no two of its pixels meet. */
        const v256 a = _mm256_shuffle_epi8(base[0], _mm256_broadcastsi128_si256(_mm_setr_epi8(
            0, 1, 6, 7, 12, 13, 2, 3, 8, 9, 14, 15, 4, 5, 10, 11)));
        const v256 b = _mm256_shuffle_epi8(base[1], _mm256_broadcastsi128_si256(_mm_setr_epi8(
            10, 11, 0, 1, 6, 7, 12, 13, 2, 3, 8, 9, 14, 15, 4, 5)));
        const v256 c = _mm256_shuffle_epi8(base[2], _mm256_broadcastsi128_si256(_mm_setr_epi8(
            4, 5, 10, 11, 0, 1, 6, 7, 12, 13, 2, 3, 8, 9, 14, 15)));
        const v256 first = _mm256_blend_epi16(_mm256_blend_epi16(a, b, 0x92), c, 0x24);
        const v256 second = _mm256_blend_epi16(_mm256_blend_epi16(a, b, 0x24), c, 0x49);
        const v256 third = _mm256_blend_epi16(_mm256_blend_epi16(a, b, 0x49), c, 0x92);
        base[0] = _mm256_permute2x128_si256(first, second, 0x20);
        base[1] = _mm256_permute2x128_si256(third, first, 0x30);
        base[2] = _mm256_permute2x128_si256(second, third, 0x31);
    }
}

STDO_INLINE void hr_row_at_scale(const int16_t *v, const stdo_phase *phase, size_t scale, const int16_t *residual,
                                 size_t width, uint8_t *hr)
{
    for (size_t x = 0; x < width; x += STEP * scale, v += STEP) {
        v256 base[4];
        STDO_UNROLL
        for (size_t r = 0; r < scale; r++) base[r] = scale == 1 ? base_alone(v) : base_phase(v, &phase[r]);
        interleave(base, scale);
        STDO_UNROLL
        for (size_t r = 0; r < scale; r++) {
            const size_t at = x + r * STEP;
            if (at < width) store(base[r], residual == NULL ? NULL : residual + at, width - at, hr + at);
        }
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

/* 24 hr pixels from 16 lr pixels: their pairs are 32 bits wide, as the sums are, so nothing is sorted before. */
static void hr_row_3_2(const int16_t *v, const stdo_phase phase[3], size_t width, uint8_t *hr)
{
    const __m128i from01_low = _mm_setr_epi8(0, 8, -1, 1, 9, -1, 2, 10, -1, 3, 11, -1, 4, 12, -1, 5);
    const __m128i from2_low = _mm_setr_epi8(-1, -1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1);
    const __m128i from01_high = _mm_setr_epi8(13, -1, 6, 14, -1, 7, 15, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    const __m128i from2_high = _mm_setr_epi8(-1, 5, -1, -1, 6, -1, -1, 7, -1, -1, -1, -1, -1, -1, -1, -1);
    for (size_t x = 0; x < width; x += 24, v += 16) {
        __m128i pixel[3];
        STDO_UNROLL
        for (int r = 0; r < 3; r++) {
            const int32_t *tap = phase[r].tap;
            const v256 tap01 = _mm256_set1_epi32((int32_t)((uint32_t)tap[1] << 16 | (uint16_t)tap[0]));
            const v256 tap23 = _mm256_set1_epi32((int32_t)((uint32_t)tap[3] << 16 | (uint16_t)tap[2]));
            const v256 level = _mm256_srai_epi32(sums(v + 1 + phase[r].offset, tap01, tap23), 14);
            pixel[r] = _mm_packs_epi32(_mm256_castsi256_si128(level), _mm256_extracti128_si256(level, 1));
        }
        const __m128i both = _mm_packus_epi16(pixel[0], pixel[1]), third = _mm_packus_epi16(pixel[2], pixel[2]);
        uint8_t block[32];
        uint8_t *to = width - x >= 24 ? hr + x : block;
        _mm_storeu_si128((__m128i *)(void *)to,
                         _mm_or_si128(_mm_shuffle_epi8(both, from01_low), _mm_shuffle_epi8(third, from2_low)));
        _mm_storel_epi64((__m128i *)(void *)(to + 16),
                         _mm_or_si128(_mm_shuffle_epi8(both, from01_high), _mm_shuffle_epi8(third, from2_high)));
        if (to == block) memcpy(hr + x, block, width - x);
    }
}

#include "../end_target.inc"

void stdo_kernels_avx2(stdo_kernels *kernels)
{
    kernels->tier = "avx2";
    kernels->int8 = stdo_int8_avx2;
    kernels->base_vertical = base_vertical;
    kernels->hr_row = hr_row;
    kernels->hr_row_3_2 = hr_row_3_2;
}
#endif
