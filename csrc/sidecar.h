/* What stdo_open_memory makes of a sidecar; everything lies in one allocation. */
#ifndef STDO_SIDECAR_H
#define STDO_SIDECAR_H

#include "kernels.h"
#include "stdo.h"

enum { STDO_MAX_NETS = 63, STDO_MAX_LAYERS = 8, STDO_MAX_CHANNELS = 64 };

typedef struct stdo_net {
    uint32_t layers;
    uint32_t halo;              /* lr pixels read around a patch */
    const stdo_layer *layer;    /* [layers] */
} stdo_net;

typedef struct stdo_segment {
    stdo_segment_info info;
    const stdo_net *net;        /* [info.nets]: net[0] serves label 1 */
    const uint8_t *map;         /* [info.map_bytes] */
} stdo_segment;

struct stdo_sidecar {
    stdo_info info;
    stdo_segment *segment;      /* [info.segments] */
    stdo_kernels kernels;
    size_t max_taps;            /* of all layers of all nets */
    size_t max_tile;            /* values in the largest tile of all nets */
};

#endif
