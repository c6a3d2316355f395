/* The AVX-512 tier: its table, and the base. */
#include "../architecture.h"
#include "../unroll.h"
#include "kernels_x86.h"

#if defined(STDO_X86)
#include "begin_avx512vnni.inc"

enum { STEP = 32 }; /* lr pixels at a time: int16 in one vector */

typedef __m512i v512;

static __mmask32 first(size_t count) { return count >= STEP ? ~(__mmask32)0 : ((__mmask32)1 << count) - 1; }

static void base_vertical(const uint8_t *const lr[4], const stdo_phase *phase, size_t width, int16_t *v)
{
    v512 tap[4];
    int32_t sum = 0;
    STDO_UNROLL
    for (int i = 0; i < 4; i++) {
        tap[i] = _mm512_set1_epi16((int16_t)phase->tap[i]);
        sum += phase->tap[i];
    }
    /* The result fits 16 bits, so what lies between may wrap. */
    const v512 offset = _mm512_set1_epi16((int16_t)(-128 * sum));
    for (size_t x = 0; x < width; x += STEP) {
        v512 value = offset;
        STDO_UNROLL
        for (int i = 0; i < 4; i++) {
            const __m256i row = _mm256_maskz_loadu_epi8(first(width - x), lr[i] + x);
            value = _mm512_add_epi16(value, _mm512_mullo_epi16(_mm512_cvtepu8_epi16(row), tap[i]));
        }
        _mm512_storeu_si512(v + x, value);
    }
}

/* B of 32 lr pixels for one phase, from its four vectors of v, each one sample on. Sums of even and odd pixels are made
   apart: they are 32 bits wide. */
STDO_INLINE v512 base_phase(const v512 *f, const stdo_phase *phase)
{
    const v512 rounding = _mm512_set1_epi32((128 << 14) + 128 + (32 << 8));
    const v512 tap01 = _mm512_set1_epi32((int32_t)((uint32_t)phase->tap[1] << 16 | (uint16_t)phase->tap[0]));
    const v512 tap23 = _mm512_set1_epi32((int32_t)((uint32_t)phase->tap[3] << 16 | (uint16_t)phase->tap[2]));
    const v512 even = _mm512_dpwssd_epi32(_mm512_dpwssd_epi32(rounding, f[0], tap01), f[2], tap23);
    const v512 odd = _mm512_dpwssd_epi32(_mm512_dpwssd_epi32(rounding, f[1], tap01), f[3], tap23);
    return _mm512_mask_blend_epi16(0xaaaaaaaa, _mm512_srli_epi32(even, 8), _mm512_slli_epi32(odd, 8));
}

/* 32 hr pixels, of which `count` exist. */
STDO_INLINE void store(v512 base, const int16_t *residual, size_t count, uint8_t *hr)
{
    if (residual != NULL) base = _mm512_adds_epi16(base, _mm512_loadu_si512(residual));
    const v512 pixel = _mm512_max_epi16(_mm512_srai_epi16(base, 6), _mm512_setzero_si512());
    const __m256i bytes = _mm512_cvtusepi16_epi8(pixel);
    if (count >= STEP)
        _mm256_storeu_si256((__m256i *)(void *)hr, bytes);
    else
        _mm256_mask_storeu_epi8(hr, first(count), bytes);
}

/* `base` holds the phases of 32 lr pixels one after the other, and then, in the order of hr pixels, `scale` vectors. */
STDO_INLINE void interleave(v512 *base, size_t scale)
{
    if (scale == 4) {
        /* Transposes pairs of pixels so that, after two rounds of unpacking, vector i holds lr pixels 8i..8i+7. */
        const v512 pairs = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        STDO_UNROLL
        for (int r = 0; r < 4; r++) base[r] = _mm512_permutexvar_epi32(pairs, base[r]);
        const v512 low01 = _mm512_unpacklo_epi16(base[0], base[1]), high01 = _mm512_unpackhi_epi16(base[0], base[1]);
        const v512 low23 = _mm512_unpacklo_epi16(base[2], base[3]), high23 = _mm512_unpackhi_epi16(base[2], base[3]);
        base[0] = _mm512_unpacklo_epi32(low01, low23);
        base[1] = _mm512_unpackhi_epi32(low01, low23);
        base[2] = _mm512_unpacklo_epi32(high01, high23);
        base[3] = _mm512_unpackhi_epi32(high01, high23);
    } else if (scale == 2) {
        const v512 pairs = _mm512_setr_epi32(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15);
        const v512 a = _mm512_permutexvar_epi32(pairs, base[0]), b = _mm512_permutexvar_epi32(pairs, base[1]);
        base[0] = _mm512_unpacklo_epi16(a, b);
        base[1] = _mm512_unpackhi_epi16(a, b);
    } else if (scale == 3) {
        int16_t phase[3][STEP], pixel[3 * STEP];
        for (int r = 0; r < 3; r++) _mm512_storeu_si512(phase[r], base[r]);
        for (int x = 0; x < STEP; x++)
            for (int r = 0; r < 3; r++) pixel[3 * x + r] = phase[r][x];
        for (int r = 0; r < 3; r++) base[r] = _mm512_loadu_si512(pixel + r * STEP);
    }
}

/* The first `early` phases have the offset -1, the others 0: constants, so that all phases share five loads. */
STDO_INLINE void hr_row_at_scale(const int16_t *v, const stdo_phase *phase, size_t scale, size_t early,
                                 const int16_t *residual, size_t width, uint8_t *hr)
{
    for (size_t x = 0; x < width; x += STEP * scale, v += STEP) {
        v512 f[5], base[4];
        STDO_UNROLL
        for (size_t i = 0; i < 5; i++) f[i] = _mm512_loadu_si512(v + i);
        STDO_UNROLL
        for (size_t r = 0; r < scale; r++) base[r] = base_phase(r < early ? f : f + 1, &phase[r]);
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
    case 1: hr_row_at_scale(v, phase, 1, 0, residual, width, hr); break;
    case 2: hr_row_at_scale(v, phase, 2, 1, residual, width, hr); break;
    case 3: hr_row_at_scale(v, phase, 3, 1, residual, width, hr); break;
    default:
        if (phase[1].offset < 0)
            hr_row_at_scale(v, phase, 4, 2, residual, width, hr);
        else
            hr_row_at_scale(v, phase, 4, 1, residual, width, hr);
        break;
    }
}

#include "../end_target.inc"

void stdo_kernels_avx512vnni(stdo_kernels *kernels)
{
    kernels->tier = "avx512vnni";
    kernels->int8 = stdo_int8_avx512vnni;
    kernels->base_vertical = base_vertical;
    kernels->hr_row = hr_row;
}
#endif
