/* The AVX-512 tier: its table, and the base. */
#include "../architecture.h"
#include "../unroll.h"
#include "kernels_x86.h"

#if defined(STDO_X86)
#include "begin_avx512vnni.inc"

enum { STEP = 32 }; /* lr pixels at a time: int16 in one vector */

typedef __m512i v512;

static __mmask32 first(size_t count) { return count >= STEP ? ~(__mmask32)0 : ((__mmask32)1 << count) - 1; }

/* The phase that lies on a row: no other one is read. */
static void base_on_row(const uint8_t *lr, int32_t tap, size_t width, int16_t *v)
{
    const v512 factor = _mm512_set1_epi16((int16_t)tap), middle = _mm512_set1_epi16(128);
    for (size_t x = 0; x < width; x += STEP) {
        const v512 row = _mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(first(width - x), lr + x));
        _mm512_storeu_si512(v + x, _mm512_mullo_epi16(_mm512_sub_epi16(row, middle), factor));
    }
}

static void base_vertical(const uint8_t *const lr[4], const stdo_phase *phase, size_t width, int16_t *v)
{
    if (phase->tap[0] == 0 && phase->tap[2] == 0 && phase->tap[3] == 0) {
        base_on_row(lr[1], phase->tap[1], width, v);
        return;
    }
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

/* Two taps of a phase in each 32 bits. */
STDO_INLINE v512 taps(const stdo_phase *phase, size_t i)
{
    return _mm512_set1_epi32((int32_t)((uint32_t)phase->tap[i + 1] << 16 | (uint16_t)phase->tap[i]));
}

/* B of 32 lr pixels for one phase, from its four vectors of v, each one sample on. Sums of even and odd pixels are made
   apart: they are 32 bits wide. */
STDO_INLINE v512 base_phase(const v512 *f, v512 tap01, v512 tap23)
{
    const v512 rounding = _mm512_set1_epi32((128 << 14) + 128 + (32 << 8));
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

/* Vector i of the three in which three phases of 32 lr pixels lie in turns. */
STDO_INLINE v512 third_of_row(const v512 row[3], unsigned i)
{
    static const int16_t pixel[3 * STEP] = {
        0,  0,  0,  1,  1,  1,  2,  2,  2,  3,  3,  3,  4,  4,  4,  5,  5,  5,  6,  6,  6,  7,  7,  7,
        8,  8,  8,  9,  9,  9,  10, 10, 10, 11, 11, 11, 12, 12, 12, 13, 13, 13, 14, 14, 14, 15, 15, 15,
        16, 16, 16, 17, 17, 17, 18, 18, 18, 19, 19, 19, 20, 20, 20, 21, 21, 21, 22, 22, 22, 23, 23, 23,
        24, 24, 24, 25, 25, 25, 26, 26, 26, 27, 27, 27, 28, 28, 28, 29, 29, 29, 30, 30, 30, 31, 31, 31};
    /* Every third value; value j of vector i is of phase (32 * i + j) % 3. */
    const __mmask32 from0 = 0x49249249u, from1 = 0x92492492u, from2 = 0x24924924u;
    const __mmask32 phase1 = i == 0 ? from1 : i == 1 ? from2 : from0, phase2 = i == 0 ? from2 : i == 1 ? from0 : from1;
    const v512 at = _mm512_loadu_si512(pixel + i * STEP);
    const v512 two = _mm512_mask_permutexvar_epi16(_mm512_permutexvar_epi16(at, row[0]), phase1, at, row[1]);
    return _mm512_mask_permutexvar_epi16(two, phase2, at, row[2]);
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
        const v512 row[3] = {base[0], base[1], base[2]};
        STDO_UNROLL
        for (unsigned i = 0; i < 3; i++) base[i] = third_of_row(row, i);
    }
}

/* The first `early` phases have the offset -1, the others 0: constants, so that all phases share five loads. */
STDO_INLINE void hr_row_at_scale(const int16_t *v, const stdo_phase *phase, size_t scale, size_t early,
                                 const int16_t *residual, size_t width, uint8_t *hr)
{
    v512 tap01[4], tap23[4]; /* read before pixels are written, which might be theirs for all that the compiler knows */
    STDO_UNROLL
    for (size_t r = 0; r < scale; r++) {
        tap01[r] = taps(&phase[r], 0);
        tap23[r] = taps(&phase[r], 2);
    }
    for (size_t x = 0; x < width; x += STEP * scale, v += STEP) {
        v512 f[5], base[4];
        STDO_UNROLL
        for (size_t i = 0; i < 5; i++) f[i] = _mm512_loadu_si512(v + i);
        STDO_UNROLL
        for (size_t r = 0; r < scale; r++) base[r] = base_phase(r < early ? f : f + 1, tap01[r], tap23[r]);
        interleave(base, scale);
        STDO_UNROLL
        for (size_t r = 0; r < scale; r++) {
            const size_t at = x + r * STEP;
            if (at < width) store(base[r], residual == NULL ? NULL : residual + at, width - at, hr + at);
        }
    }
}

/* Scale 1 has the phase that lies on a pixel: 128 * v >> 8, halves rounded up, is (v + 1) >> 1. */
static void hr_row_alike(const int16_t *v, const int16_t *residual, size_t width, uint8_t *hr)
{
    const v512 middle = _mm512_set1_epi16((128 << 6) + 32), one = _mm512_set1_epi16(1);
    for (size_t x = 0; x < width; x += STEP) {
        const v512 pixel = _mm512_loadu_si512(v + x + 2);
        const v512 half = _mm512_add_epi16(_mm512_srai_epi16(pixel, 1), _mm512_and_si512(pixel, one));
        store(_mm512_add_epi16(half, middle), residual == NULL ? NULL : residual + x, width - x, hr + x);
    }
}

static void hr_row(const int16_t *v, const stdo_phase *phase, uint32_t scale, const int16_t *residual, size_t width,
                   uint8_t *hr)
{
    switch (scale) {
    case 1: hr_row_alike(v, residual, width, hr); break;
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

/* 48 hr pixels from 32 lr pixels: their pairs are 32 bits wide, as the sums are, so nothing is sorted before. */
static void hr_row_3_2(const int16_t *v, const stdo_phase phase[3], size_t width, uint8_t *hr)
{
    const v512 in_turns =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11, -1, -1, -1, -1));
    const v512 without_gaps = _mm512_setr_epi32(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 3, 3, 3, 3);
    const v512 rounding = _mm512_set1_epi32((128 << 14) + 128 + (32 << 8));
    v512 tap01[3], tap23[3];
    const int16_t *from[3];
    STDO_UNROLL
    for (size_t r = 0; r < 3; r++) {
        tap01[r] = taps(&phase[r], 0);
        tap23[r] = taps(&phase[r], 2);
        from[r] = v + 1 + phase[r].offset;
    }
    for (size_t x = 0, lr = 0; x < width; x += 3 * STEP / 2, lr += STEP) {
        v512 level[3];
        STDO_UNROLL
        for (size_t r = 0; r < 3; r++) {
            const v512 sum = _mm512_dpwssd_epi32(rounding, _mm512_loadu_si512(from[r] + lr), tap01[r]);
            level[r] = _mm512_srai_epi32(_mm512_dpwssd_epi32(sum, _mm512_loadu_si512(from[r] + lr + 2), tap23[r]), 14);
        }
        const v512 bytes = _mm512_packus_epi16(_mm512_packs_epi32(level[0], level[1]),
                                               _mm512_packs_epi32(level[2], level[2]));
        const v512 pixels = _mm512_permutexvar_epi32(without_gaps, _mm512_shuffle_epi8(bytes, in_turns));
        const size_t count = width - x < 48 ? width - x : 48;
        _mm512_mask_storeu_epi8(hr + x, ((__mmask64)1 << count) - 1, pixels);
    }
}

#include "../end_target.inc"

void stdo_kernels_avx512vnni(stdo_kernels *kernels)
{
    kernels->tier = "avx512vnni";
    kernels->int8 = stdo_int8_avx512vnni;
    kernels->base_vertical = base_vertical;
    kernels->hr_row = hr_row;
    kernels->hr_row_3_2 = hr_row_3_2;
}
#endif
