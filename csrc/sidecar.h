/* What stdo_open_memory makes of a sidecar; everything lies in one allocation. */
#ifndef STDO_SIDECAR_H
#define STDO_SIDECAR_H

#include "net.h"
#include "sizes.h"

#include <stdo/stdo.h>

enum { STDO_MAX_NETS = 63 };

typedef struct stdo_segment {
    stdo_segment_info info;
    const stdo_net *net;        /* [info.nets]: net[0] serves label 1 */
    const stdo_net *chroma;     /* serves all of U and V, or NULL */
    const uint8_t *map;         /* [info.map_bytes] */
} stdo_segment;

/* Where the parts of a call's scratch begin, after the work list, and the bytes of all. */
typedef struct stdo_scratch {
    size_t v, turns, net, read, bytes;
} stdo_scratch;

struct stdo_sidecar {
    void *memory;               /* the allocation that holds this struct too */
    stdo_info info;
    stdo_segment *segment;      /* [info.segments] */
    stdo_kernels kernels;
    const stdo_conv *conv;      /* of its nets */
    size_t net_room;            /* bytes that the most demanding net needs at the greatest width it is run at */
    uint32_t net_planes;
    int has_chroma;             /* whether it has a net for chroma */
    stdo_plane plane[4];        /* all but the pointers and strides, which each call sets; the last, of the size of
                                   chroma, is the mean luma that nets for chroma read, which lies in scratch */
    stdo_scratch scratch;
};

/* ---- Sizes, which are computed when a sidecar is opened, so that calls for rows divide nothing: layout.c ---- */

/* Whether a net of this sidecar serves chroma. */
static inline int stdo_serves_chroma(const stdo_net *net, uint32_t colour)
{
    return net->layer[0].in != net_planes(colour);
}

/* Measures a net, and makes net_room cover it. */
void stdo_sidecar_admit(stdo_sidecar *sidecar, stdo_net *net);

/* Sets the fields after net_room. Called when all nets are admitted. */
void stdo_sidecar_lay_out(stdo_sidecar *sidecar);

#endif
