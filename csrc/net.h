/* A net, and how it runs over a rectangle. */
#ifndef STDO_NET_H
#define STDO_NET_H

#include "base.h"

enum { STDO_MAX_LAYERS = 8 };
/* The planes that a net for chroma reads, those that it writes, and its rows at a time where these lie in turns. */
enum { STDO_CHROMA_INPUTS = 3, STDO_CHROMA_PLANES = 2, STDO_TURN_ROWS = 16 };

typedef struct stdo_net {
    uint32_t layers;
    uint32_t halo;              /* net pixels read around a patch */
    uint32_t strip;             /* most patches side by side in a rectangle, so that its rows stay in the cache */
    uint32_t beside;            /* rows that a rectangle more costs: what its layers compute around it, on the average */
    uint32_t waste;             /* columns that it costs: these, and what rows of its tier waste */
    const stdo_layer *layer;    /* [layers] */
    size_t pixel[STDO_MAX_LAYERS]; /* bytes of a pixel that goes into each layer */
    void *memory;               /* the allocation that holds it */
} stdo_net;

/* Patches of a net within a rectangle that is computed as a whole: of `todo`, which begins with its upper left patch, those
   that are STDO_TAKEN. All of the rectangle where todo is NULL. */
typedef struct stdo_region {
    stdo_rect rect;
    const uint8_t *todo;
    size_t columns;             /* of todo: from one row of patches to the next */
    uint32_t side;              /* of a patch, in net pixels */
    uint32_t across, down;      /* patches */
} stdo_region;

enum { STDO_TAKEN = 254 };      /* in the work list: labels are 0..63 */

/* Sets halo, strip, pixel, beside and waste from the layers; patch: its side in net pixels; strip: that of
   stdo_options. */
void stdo_net_measure(stdo_net *net, const stdo_conv *conv, uint32_t patch, uint64_t strip);

/* The planes that a net reads. */
static inline uint32_t stdo_net_inputs(const stdo_net *net) { return net->layer[0].in; }

/* Bytes of `memory` that stdo_net_run needs for rectangles `width` wide of `planes` planes like this one. */
size_t stdo_net_room(const stdo_net *net, const stdo_plane *plane, uint32_t planes, uint32_t width);

/* Writes the hr pixels of a region of `planes` planes of equal size. `plane` may have others after them that the net only
   reads. `memory` is aligned to STDO_ALIGNMENT; `v` has stdo_base_room values. */
void stdo_net_run(const stdo_net *net, const stdo_kernels *kernels, const stdo_conv *conv, const stdo_plane *plane,
                  uint32_t planes, const stdo_region *region, int16_t *v, uint8_t *memory);

#endif
