/* Arithmetic on sizes that several files need. */
#ifndef STDO_SIZES_H
#define STDO_SIZES_H

#include <stdo/stdo.h>

/* Bytes of a struct up to its field `last`: what callers had when that was the last one. */
#define STDO_SIZE_TO(type, last) (offsetof(type, last) + sizeof ((type *)0)->last)

static inline uint32_t min_u32(uint32_t a, uint32_t b) { return a < b ? a : b; }
static inline uint32_t max_u32(uint32_t a, uint32_t b) { return a > b ? a : b; }

/* The next multiple of `to`, a power of two. */
static inline uint64_t align_up(uint64_t size, uint32_t to) { return (size + to - 1) & ~(uint64_t)(to - 1); }

/* The first aligned byte of memory that has `to` - 1 bytes to spare. */
static inline void *align_pointer(void *memory, uint32_t to)
{
    return (uint8_t *)memory + ((0 - (uintptr_t)memory) & (to - 1));
}

/* hr pixels per pixel that nets read, each way: at 3/2 they read the base, which has full size. */
static inline uint32_t net_scale(const stdo_info *info) { return info->divisor == 1 ? info->scale : 1; }

/* Side of a patch in pixels that nets read. */
static inline uint32_t net_side(const stdo_info *info)
{
    return info->divisor == 1 ? info->patch : info->patch / 2 * 3;
}

/* How many planes of a frame nets serve. */
static inline uint32_t net_planes(uint32_t colour) { return colour == STDO_COLOUR_RGB ? 3 : 1; }

#endif
