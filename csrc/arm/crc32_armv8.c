/* CRC-32 by the instruction that ARMv8 has for it: eight bytes in two or three cycles. */
#include "../crc32.h"

#include "../architecture.h"

#if defined(STDO_ARM64)
#include <string.h>

#include "begin_crc.inc"

/* arm_acle.h has these by name, but in some compilers only if all of the program is made for CPUs that have them. */
static inline uint32_t with_eight(uint32_t crc, uint64_t bytes)
{
    __asm__("crc32x %w0, %w0, %x1" : "+r"(crc) : "r"(bytes));
    return crc;
}

static inline uint32_t with_one(uint32_t crc, uint32_t byte)
{
    __asm__("crc32b %w0, %w0, %w1" : "+r"(crc) : "r"(byte));
    return crc;
}

uint32_t stdo_crc32_armv8(uint32_t crc, const uint8_t *data, size_t size)
{
    for (; size >= 8; data += 8, size -= 8) {
        uint64_t bytes;
        memcpy(&bytes, data, sizeof bytes);
        crc = with_eight(crc, bytes);
    }
    for (; size > 0; data++, size--) crc = with_one(crc, *data);
    return crc;
}
#include "../end_target.inc"
#endif
