/* Integer convolutions with AVX-VNNI: activations and weights are bytes, and vpdpbusd adds four products into each of
   eight int32 sums. avx_layer.inc says how layers are cut. The base is that of avx2. */
#include "../architecture.h"
#include "../sizes.h"
#include "../unroll.h"
#include "kernels_x86.h"

#include <string.h>

#if defined(STDO_AVXVNNI)
#include "begin_avx2.inc"

typedef uint8_t value;
typedef int8_t value_weight;

/* The instruction is written out: compilers that are not told of AVX-VNNI have no intrinsic, and GCC 12 copies the sums
   from register to register around its own. */
STDO_INLINE __m256i dot(__m256i sum, __m256i unit, __m256i weight)
{
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(unit), "x"(weight));
    return sum;
}

#include "avx_layer.inc"

#include "avx_last.inc"

STDO_INLINE void store_bytes(uint8_t *out, __m128i bytes) { _mm_storeu_si128((__m128i *)(void *)out, bytes); }

/* The `bytes` lowest of each 32-bit, 64-bit or whole half of a vector, one half after the other, for pixels of any size:
   where one is smaller, the next overwrites the excess. */
STDO_INLINE void store_parts(v256 a, uint8_t *out, size_t pixel, size_t bytes)
{
    if (pixel == bytes) {
        _mm256_storeu_si256((v256 *)(void *)out, a);
        return;
    }
    const __m128i half[2] = {low_half(a), high_half(a)};
    const size_t in_half = bytes == 16 ? 1 : bytes == 8 ? 2 : 4;
    STDO_UNROLL
    for (size_t i = 0; i < 2; i++, out += in_half * pixel) {
        if (bytes == 16) {
            store_bytes(out, half[i]);
        } else if (bytes == 8) {
            _mm_storel_epi64((__m128i *)(void *)out, half[i]);
            _mm_storel_epi64((__m128i *)(void *)(out + pixel), _mm_unpackhi_epi64(half[i], half[i]));
        } else {
            int32_t four[4];
            _mm_storeu_si128((__m128i *)(void *)four, half[i]);
            STDO_UNROLL
            for (size_t p = 0; p < 4; p++) memcpy(out + p * pixel, &four[p], sizeof four[p]);
        }
    }
}

STDO_INLINE void store_pixels(const v256 *q, uint8_t *out, size_t pixel, size_t outs)
{
    /* From the order of packed vectors, in parts of four outputs. */
    const v256 by_pixel = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const size_t vectors = outs == 16 ? PIXELS : outs == 8 ? MANY / 2 : 0, in_vector = outs == 16 ? 1 : 2;
    STDO_UNROLL
    for (size_t i = 0; i < vectors; i += 2)
        store_parts(_mm256_permutevar8x32_epi32(_mm256_packus_epi16(q[i], q[i + 1]), by_pixel),
                    out + i * in_vector * pixel, pixel, outs);
    if (outs == 4) {
        const v256 eight = _mm256_packus_epi16(q[0], q[1]);
        const __m128i first = _mm_unpacklo_epi16(low_half(eight), high_half(eight));
        const __m128i second = _mm_unpackhi_epi16(low_half(eight), high_half(eight));
        store_parts(_mm256_inserti128_si256(_mm256_castsi128_si256(first), second, 1), out, pixel, 4);
    } else if (outs <= 2) {
        uint8_t some[4 * LANES];
        const v256 eight = _mm256_packus_epi16(q[0], q[0]);
        if (pixel == 1) {
            _mm_storel_epi64((__m128i *)(void *)out, low_half(eight));
            return;
        }
        _mm256_storeu_si256((v256 *)(void *)some, eight);
        for (size_t p = 0; p < MANY; p++)
            for (size_t o = 0; o < outs; o++) out[p * pixel + o] = some[o * 2 * LANES + p];
    }
}

#include "avx_rows.inc"

const stdo_conv stdo_int8_avxvnni = {.pixel_bytes = pixel_bytes, .packed_bytes = packed_bytes, .pack = pack,
                                     .load = load, .hidden = hidden, .last = last, .waste = 4};

#include "../end_target.inc"

void stdo_kernels_avxvnni(stdo_kernels *kernels)
{
    kernels->tier = "avxvnni";
    kernels->int8 = stdo_int8_avxvnni;
}
#endif
