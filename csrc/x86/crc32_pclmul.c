/* CRC-32 by products of polynomials over bits, as in Gopal and others, "Fast CRC Computation for Generic Polynomials
   Using PCLMULQDQ Instruction", Intel, 2009.

   CRC-32 counts bits from the lowest: bit i of 128 stands for x^(127-i), and the low 64 bits are the upper half of the
   polynomial. So for X = L x^64 + H, of which D bits more follow,

       X x^D = L x^(D+64) + H x^D,

   and x^(D+64) and x^D may be replaced by what they leave when divided by P, which has 32 bits. A product of two numbers
   of 64 bits comes out one bit too low for this order of bits, that is, times x; so the constants are x^(D+63) and
   x^(D-1). tests/check_crc32.c works them out. */
#include "../crc32.h"

#include "../architecture.h"

#if defined(STDO_X86)
#include "begin_pclmul.inc"

/* x^n mod P in 64 bits, lowest power in the highest bit. */
#define X_127 0x9ba54c6f00000000
#define X_191 0x65673b4600000000
#define X_511 0xcad38e8f00000000
#define X_575 0x653d982200000000

static inline __m128i load(const uint8_t *data) { return _mm_loadu_si128((const __m128i *)(const void *)data); }

/* `sum` moved on to where `next` stands. */
static inline __m128i fold(__m128i sum, __m128i powers, __m128i next)
{
    const __m128i upper = _mm_clmulepi64_si128(sum, powers, 0x00), lower = _mm_clmulepi64_si128(sum, powers, 0x11);
    return _mm_xor_si128(_mm_xor_si128(upper, lower), next);
}

uint32_t stdo_crc32_pclmul(uint32_t crc, const uint8_t *data, size_t size)
{
    if (size < 64) return stdo_crc32_c(crc, data, size);
    /* Four sums, because a product takes several cycles and one can begin in each. */
    const __m128i by_512 = _mm_set_epi64x((long long)X_511, (long long)X_575);
    const __m128i by_128 = _mm_set_epi64x((long long)X_127, (long long)X_191);
    __m128i a = _mm_xor_si128(load(data), _mm_cvtsi32_si128((int)crc));
    __m128i b = load(data + 16), c = load(data + 32), d = load(data + 48);
    for (data += 64, size -= 64; size >= 64; data += 64, size -= 64) {
        a = fold(a, by_512, load(data));
        b = fold(b, by_512, load(data + 16));
        c = fold(c, by_512, load(data + 32));
        d = fold(d, by_512, load(data + 48));
    }
    a = fold(fold(fold(a, by_128, b), by_128, c), by_128, d);
    for (; size >= 16; data += 16, size -= 16) a = fold(a, by_128, load(data));

    /* The CRC of these 16 bytes is that of all the bytes that they stand for. */
    uint8_t sum[16];
    _mm_storeu_si128((__m128i *)(void *)sum, a);
    return stdo_crc32_c(stdo_crc32_c(0, sum, sizeof sum), data, size);
}
#include "../end_target.inc"
#endif
