/* Surfaces: where their samples lie, and whether a byte between or beside them was written. */
#include "surface.h"

#include <stdlib.h>
#include <string.h>

enum { GUARD = 0xa5, GUARD_BYTES = 64, MOST_PADDING = 40 };

static uint32_t side(uint32_t luma, uint32_t colour, int plane)
{
    return plane > 0 && colour == STDO_COLOUR_YUV420 ? (luma + 1) / 2 : luma;
}

static uint8_t *new_block(size_t bytes)
{
    uint8_t *block = malloc(bytes);
    if (block == NULL) abort();
    return memset(block, GUARD, bytes);
}

surface surface_new(const picture *shape, surface_order order, uint32_t *state)
{
    const int in_turns = order != SURFACE_PLANES;
    surface s = {.image.chroma_step = in_turns ? 2 : draw(state, 2)};
    for (int i = 0; i < (in_turns ? 2 : 3); i++) {
        const size_t samples = (size_t)side(shape->width, shape->colour, i) << (in_turns && i > 0);
        const size_t stride = samples + draw(state, 2) * draw(state, MOST_PADDING);
        const size_t below = stride * (side(shape->height, shape->colour, i) - 1);
        const size_t guard = draw(state, 2) * GUARD_BYTES; /* without, a sanitizer sees the first byte beside it */
        s.bytes[i] = guard + below + samples + guard;
        s.block[i] = new_block(s.bytes[i]);
        const int upwards = (int)draw(state, 2);
        s.image.plane[i] = s.block[i] + guard + (upwards ? below : 0);
        s.image.stride[i] = upwards ? -(ptrdiff_t)stride : (ptrdiff_t)stride;
    }
    if (in_turns) {
        const int u = order == SURFACE_NV12 ? 1 : 2, v = 3 - u;
        uint8_t *both = s.image.plane[1];
        s.image.stride[2] = s.image.stride[1];
        s.image.plane[u] = both;
        s.image.plane[v] = both + 1;
    }
    return s;
}

void surface_free(surface *s)
{
    for (int i = 0; i < 3; i++) free(s->block[i]);
}

void surface_put(const surface *s, const picture *shape, const stdo_image *planes)
{
    for (int i = 0; i < 3; i++) {
        const uint32_t step = i > 0 && s->image.chroma_step == 2 ? 2 : 1;
        for (uint32_t y = 0; y < side(shape->height, shape->colour, i); y++) {
            uint8_t *to = s->image.plane[i] + (ptrdiff_t)y * s->image.stride[i];
            const uint8_t *from = planes->plane[i] + (ptrdiff_t)y * planes->stride[i];
            for (uint32_t x = 0; x < side(shape->width, shape->colour, i); x++) to[(size_t)x * step] = from[x];
        }
    }
}

int surface_holds(const surface *s, const picture *shape, const stdo_image *planes)
{
    surface wanted = *s;
    const int in_turns = s->image.chroma_step == 2;
    for (int i = 0; i < 3; i++) {
        const int block = in_turns && i == 2 ? 1 : i;
        if (block == i) wanted.block[i] = new_block(s->bytes[i]);
        wanted.image.plane[i] = wanted.block[block] + (s->image.plane[i] - s->block[block]);
    }
    surface_put(&wanted, shape, planes);
    int same = 1;
    for (int i = 0; i < (in_turns ? 2 : 3); i++) same &= memcmp(wanted.block[i], s->block[i], s->bytes[i]) == 0;
    surface_free(&wanted);
    return same;
}
