/* Pictures in memory as programs may have it: U and V in turns, rows from the bottom up, rows with bytes between them. */
#ifndef STDO_FUZZ_SURFACE_H
#define STDO_FUZZ_SURFACE_H

#include <stdo/stdo.h>

/* A number below `below` that `state`, which is not 0, determines. */
static inline uint32_t draw(uint32_t *state, uint32_t below)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return (*state >> 8) % below;
}

typedef struct picture {
    uint32_t width, height, colour;
} picture;

typedef enum surface_order { SURFACE_PLANES, SURFACE_NV12, SURFACE_NV21, SURFACE_ORDERS } surface_order;

/* Each plane, or U and V in turns, in a block of its own, full of one guard value where no sample is. */
typedef struct surface {
    stdo_image image;
    uint8_t *block[3];
    size_t bytes[3];
} surface;

/* These abort without memory: that is a finding. */
surface surface_new(const picture *shape, surface_order order, uint32_t *state);
void surface_free(surface *s);

/* Writes planes of shape into it. */
void surface_put(const surface *s, const picture *shape, const stdo_image *planes);

/* Whether it holds these planes, and the guard value wherever no sample is. */
int surface_holds(const surface *s, const picture *shape, const stdo_image *planes);

#endif
