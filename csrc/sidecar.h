/* What stdo_open_memory makes of a sidecar; everything lies in one allocation. */
#ifndef STDO_SIDECAR_H
#define STDO_SIDECAR_H

#include "net.h"
#include "stdo.h"

enum { STDO_MAX_NETS = 63 };

typedef struct stdo_segment {
    stdo_segment_info info;
    const stdo_net *net;        /* [info.nets]: net[0] serves label 1 */
    const uint8_t *map;         /* [info.map_bytes] */
} stdo_segment;

struct stdo_sidecar {
    void *memory;               /* the allocation that this, too, lies in */
    stdo_info info;
    stdo_segment *segment;      /* [info.segments] */
    stdo_kernels kernels;
    const stdo_conv *conv;      /* one of the kernels' two */
    size_t net_room;            /* bytes that the most demanding net needs at the greatest width it is run at */
};

/* Sets the net's halo and strip, and makes net_room cover it. */
void stdo_sidecar_admit(stdo_sidecar *sidecar, stdo_net *net);

#endif
