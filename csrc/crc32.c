/* The CRC-32 of zlib: in plain C by sixteen tables, or by what the CPU has for it. */
#include "crc32.h"

#include "architecture.h"

#include <stdo/stdo.h>

#if defined(STDO_X86)
#include <cpuid.h>
#elif defined(STDO_ARM64) && defined(__linux__)
#include <sys/auxv.h>
#endif

/* Below, asking which way is fastest takes longer than what it saves. */
enum { ASKING_PAYS = 1 << 14 };

/* Entry b of table n is the CRC of byte b and n zero bytes. A CRC is linear: that of b is the exclusive or of those of
   its bits, which stand in the list below, lowest bit first. Each of these is the next one times x: one step of the
   shift register, from bit 7 of table 0, which is the polynomial itself, down to bit 0 of table 15. */
#define WITH_1(v, a) (v), (v) ^ (a)
#define WITH_2(v, a, b) WITH_1(v, a), WITH_1((v) ^ (b), a)
#define WITH_3(v, a, b, c) WITH_2(v, a, b), WITH_2((v) ^ (c), a, b)
#define WITH_4(v, a, b, c, d) WITH_3(v, a, b, c), WITH_3((v) ^ (d), a, b, c)
#define WITH_5(v, a, b, c, d, e) WITH_4(v, a, b, c, d), WITH_4((v) ^ (e), a, b, c, d)
#define WITH_6(v, a, b, c, d, e, f) WITH_5(v, a, b, c, d, e), WITH_5((v) ^ (f), a, b, c, d, e)
#define WITH_7(v, a, b, c, d, e, f, g) WITH_6(v, a, b, c, d, e, f), WITH_6((v) ^ (g), a, b, c, d, e, f)
#define TABLE(a, b, c, d, e, f, g, h) {WITH_7(0u, a, b, c, d, e, f, g), WITH_7((h), a, b, c, d, e, f, g)}

static const uint32_t table[16][256] = {
    TABLE(0x77073096, 0xee0e612c, 0x076dc419, 0x0edb8832, 0x1db71064, 0x3b6e20c8, 0x76dc4190, 0xedb88320),
    TABLE(0x191b3141, 0x32366282, 0x646cc504, 0xc8d98a08, 0x4ac21251, 0x958424a2, 0xf0794f05, 0x3b83984b),
    TABLE(0x01c26a37, 0x0384d46e, 0x0709a8dc, 0x0e1351b8, 0x1c26a370, 0x384d46e0, 0x709a8dc0, 0xe1351b80),
    TABLE(0xb8bc6765, 0xaa09c88b, 0x8f629757, 0xc5b428ef, 0x5019579f, 0xa032af3e, 0x9b14583d, 0xed59b63b),
    TABLE(0x3d6029b0, 0x7ac05360, 0xf580a6c0, 0x30704bc1, 0x60e09782, 0xc1c12f04, 0x58f35849, 0xb1e6b092),
    TABLE(0xcb5cd3a5, 0x4dc8a10b, 0x9b914216, 0xec53826d, 0x03d6029b, 0x07ac0536, 0x0f580a6c, 0x1eb014d8),
    TABLE(0xa6770bb4, 0x979f1129, 0xf44f2413, 0x33ef4e67, 0x67de9cce, 0xcfbd399c, 0x440b7579, 0x8816eaf2),
    TABLE(0xccaa009e, 0x4225077d, 0x844a0efa, 0xd3e51bb5, 0x7cbb312b, 0xf9766256, 0x299dc2ed, 0x533b85da),
    TABLE(0x177b1443, 0x2ef62886, 0x5dec510c, 0xbbd8a218, 0xacc04271, 0x82f182a3, 0xde920307, 0x6655004f),
    TABLE(0xefc26b3e, 0x04f5d03d, 0x09eba07a, 0x13d740f4, 0x27ae81e8, 0x4f5d03d0, 0x9eba07a0, 0xe6050901),
    TABLE(0xc18edfc0, 0x586cb9c1, 0xb0d97382, 0xbac3e145, 0xaef6c4cb, 0x869c8fd7, 0xd64819ef, 0x77e1359f),
    TABLE(0x9ba54c6f, 0xec3b9e9f, 0x03063b7f, 0x060c76fe, 0x0c18edfc, 0x1831dbf8, 0x3063b7f0, 0x60c76fe0),
    TABLE(0xdd96d985, 0x605cb54b, 0xc0b96a96, 0x5a03d36d, 0xb407a6da, 0xb37e4bf5, 0xbd8d91ab, 0xa06a2517),
    TABLE(0x9d0fe176, 0xe16ec4ad, 0x19ac8f1b, 0x33591e36, 0x66b23c6c, 0xcd6478d8, 0x41b9f7f1, 0x8373efe2),
    TABLE(0xb9fbdbe8, 0xa886b191, 0x8a7c6563, 0xcf89cc87, 0x44629f4f, 0x88c53e9e, 0xcafb7b7d, 0x4e87f0bb),
    TABLE(0xae689191, 0x87a02563, 0xd4314c87, 0x73139f4f, 0xe6273e9e, 0x173f7b7d, 0x2e7ef6fa, 0x5cfdedf4),
};

static uint32_t u32_at(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* The part of four bytes, as one number, that zeros / 4 more fours follow. */
static uint32_t part(uint32_t four, int zeros)
{
    return table[zeros + 3][four & 255] ^ table[zeros + 2][four >> 8 & 255] ^ table[zeros + 1][four >> 16 & 255] ^
           table[zeros][four >> 24];
}

uint32_t stdo_crc32_c(uint32_t crc, const uint8_t *data, size_t size)
{
    for (; size >= 16; data += 16, size -= 16)
        crc = part(crc ^ u32_at(data), 12) ^ part(u32_at(data + 4), 8) ^ part(u32_at(data + 8), 4) ^
              part(u32_at(data + 12), 0);
    for (; size > 0; data++, size--) crc = crc >> 8 ^ table[0][(crc ^ *data) & 255];
    return crc;
}

stdo_crc32_way *stdo_crc32_fastest(void)
{
#if defined(STDO_X86)
    enum { PCLMULQDQ = 1 << 1 };
    uint32_t eax, ebx, ecx, edx;
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & PCLMULQDQ)) return stdo_crc32_pclmul;
#elif defined(STDO_ARM64) && defined(__ARM_FEATURE_CRC32)
    return stdo_crc32_armv8;
#elif defined(STDO_ARM64) && defined(__linux__)
    enum { CRC32 = 1 << 7 }; /* the kernel's HWCAP_CRC32 */
    if (getauxval(AT_HWCAP) & CRC32) return stdo_crc32_armv8;
#endif
    return stdo_crc32_c;
}

uint32_t stdo_crc32(uint32_t crc, const uint8_t *data, size_t size)
{
    stdo_crc32_way *way = size < ASKING_PAYS ? stdo_crc32_c : stdo_crc32_fastest();
    return ~way(~crc, data, size);
}
