/* The fields of a sidecar, which its check and all that read it later must see alike. */
#ifndef STDO_FIELDS_H
#define STDO_FIELDS_H

#include "sidecar.h"
#include "sizes.h"

enum { HEADER_SIZE = 40, CRC_SIZE = 4, LAYER_FIELDS = 4, OUTPUT_FIELDS = 6 };
enum { PLAIN_FIELDS = 28, PLAIN_MIN = PLAIN_FIELDS + CRC_SIZE }; /* a segment of versions 1 and 2 */
/* A segment of version 3, after its size. */
enum { COMPACT_FIELDS = 9, COMPACT_MIN = 1 + COMPACT_FIELDS + CRC_SIZE, CHROMA = 64, COMPUTED = 128 };

static inline uint32_t u16_at(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8; }
static inline uint32_t u32_at(const uint8_t *p) { return u16_at(p) | u16_at(p + 2) << 16; }

/* What is left of the file, or of a part of it. */
typedef struct fields {
    const uint8_t *at, *end;
} fields;

static inline size_t remain(const fields *f) { return (size_t)(f->end - f->at); }

/* Takes a number of seven bits a byte, the lowest first; `ends` and `wrong` are the answers where the bytes end within
   it and where they are not the fewest or have more than 32 bits. */
static inline stdo_status take_varint(fields *f, stdo_status ends, stdo_status wrong, uint32_t *value)
{
    *value = 0;
    for (uint32_t i = 0; i < 5; i++) {
        if (f->at == f->end) return ends;
        const uint32_t byte = *f->at++;
        if (i == 4 && byte > 15) return wrong;
        *value |= (byte & 127) << 7 * i;
        if (byte < 128) return byte > 0 || i == 0 ? STDO_OK : wrong;
    }
    return wrong;
}

/* The same for a number that was checked. */
static inline uint32_t varint(fields *f)
{
    uint32_t value;
    take_varint(f, STDO_OK, STDO_OK, &value);
    return value;
}

static inline size_t weight_count(uint32_t kernel, uint32_t in, uint32_t out)
{
    return (size_t)kernel * kernel * in * out;
}

/* Bytes that an array takes in an allocation. */
static inline uint64_t array_room(uint64_t count, size_t size)
{
    return align_up(count * size, STDO_ALIGNMENT);
}

/* Channels of the last layer of every net but those for chroma. */
static inline uint32_t net_outputs(const stdo_info *info)
{
    return net_planes(info->colour) * net_scale(info) * net_scale(info);
}

/* Checks every field of a file in the order of FORMAT.md, and sets `info`. partial: whether the file may end within its
   segments; info->segments_there and frames_there say how far it goes. */
stdo_status stdo_sidecar_check(const uint8_t *data, size_t size, int partial, stdo_info *info);

#endif
