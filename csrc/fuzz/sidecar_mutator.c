/* Mutates as libFuzzer does, then makes the file fit itself again: three times in four all checksums, sometimes the
   sizes too; else they stay wrong, for that has to be tried as well. */
#include "sidecar_mutator.h"
#include <stdo/stdo.h>

#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);

enum { HEADER = 40, SEGMENT_MIN = 32 };

static uint32_t u32_at(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put_u32(uint8_t *p, uint32_t value)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(value >> 8 * i);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    size = LLVMFuzzerMutate(data, size, most);
    if (seed % 4 == 0 || size < HEADER) return size;
    put_u32(data + 36, stdo_crc32(0, data, 36));
    for (size_t at = HEADER; size - at >= SEGMENT_MIN;) {
        size_t segment = u32_at(data + at);
        if (segment < SEGMENT_MIN || segment > size - at) {
            if (seed % 4 == 1) return size;
            segment = size - at;
            put_u32(data + at, (uint32_t)segment);
        }
        put_u32(data + at + segment - 4, stdo_crc32(0, data + at, segment - 4));
        at += segment;
    }
    return size;
}
