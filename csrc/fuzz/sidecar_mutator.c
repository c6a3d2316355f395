/* Mutates as libFuzzer does, then makes the file fit itself again: three times in four all checksums as far as the
   sizes lead, in versions 1 and 2 sometimes the sizes too; else they stay wrong, for that has to be tried as well. */
#include "sidecar_mutator.h"
#include <stdo/stdo.h>

#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);

enum { HEADER = 40, SEGMENT_MIN = 32, CRC = 4 };

static uint32_t u32_at(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put_u32(uint8_t *p, uint32_t value)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(value >> 8 * i);
}

/* A size of seven bits a byte; moves *at behind it. 0 where the file ends within it, or behind fewer bytes. */
static size_t take_size(const uint8_t *data, size_t size, size_t *at)
{
    size_t value = 0;
    for (unsigned shift = 0; *at < size && shift < 32; shift += 7) {
        const uint8_t byte = data[(*at)++];
        value |= (size_t)(byte & 127) << shift;
        if (byte < 128) return value <= size - *at ? value : 0;
    }
    return 0;
}

/* Mends the net table and the segments of version 3. */
static void mend_compact(uint8_t *data, size_t size)
{
    size_t at = HEADER;
    const uint32_t nets = data[33] | (uint32_t)data[34] << 8;
    for (uint32_t n = 0; n < nets; n++) {
        const size_t code = take_size(data, size, &at);
        if (code == 0) return;
        at += code;
    }
    if (nets > 0) {
        if (size - at < CRC) return;
        put_u32(data + at, stdo_crc32(0, data + HEADER, at - HEADER));
        at += CRC;
    }
    while (at < size) {
        const size_t start = at, segment = take_size(data, size, &at);
        if (segment < CRC) return;
        at += segment;
        put_u32(data + at - CRC, stdo_crc32(0, data + start, at - CRC - start));
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    size = LLVMFuzzerMutate(data, size, most);
    if (seed % 4 == 0 || size < HEADER) return size;
    put_u32(data + 36, stdo_crc32(0, data, 36));
    if (data[8] == 3) {
        mend_compact(data, size);
        return size;
    }
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
