/* What stdo_open makes of a sidecar: a copy of the file, where its segments and nets stand, and the nets that are loaded.
   The copy and the tables are one allocation; each loaded net is another. */
#ifndef STDO_SIDECAR_H
#define STDO_SIDECAR_H

#include "net.h"
#include "sizes.h"

#include <stdo/stdo.h>

enum { STDO_MAX_NETS = 63 };

/* A segment in the file. */
typedef struct stdo_segment_place {
    size_t at;                  /* its first byte */
    uint32_t first_frame;
    uint32_t first_net;         /* of its own, in versions 1 and 2 */
    uint32_t loads;             /* how often it was loaded and not dropped */
} stdo_segment_place;

/* A net in the file, and what is loaded of it. Small, as a hostile file has many. */
typedef struct stdo_net_place {
    stdo_net *loaded;           /* or NULL */
    uint32_t at;                /* its first byte, which is that of its size in version 3 */
    uint32_t shape;             /* of version 3: the net that says its shape */
    uint32_t parent;            /* the net that it is coded by its differences to, or itself */
    uint32_t users;             /* loaded segments that have it */
} stdo_net_place;

/* A segment's fields, looked up for one call. */
typedef struct stdo_segment {
    stdo_segment_info info;
    uint32_t place[STDO_MAX_NETS + 1]; /* of its nets, and after them of that for chroma */
    const stdo_net *net[STDO_MAX_NETS]; /* net[0] serves label 1; NULL where it is not loaded */
    const stdo_net *chroma;     /* serves all of U and V, or NULL */
    const uint8_t *map;         /* [info.map_bytes] */
} stdo_segment;

/* Where the parts of a call's scratch begin, after the work list, and the bytes of all. */
typedef struct stdo_scratch {
    size_t v, turns, net, read, bytes;
} stdo_scratch;

struct stdo_sidecar {
    void *memory;               /* the allocation that holds this struct too */
    stdo_options options;       /* how memory is taken */
    uint64_t used;              /* bytes of all allocations */
    stdo_info info;
    uint32_t version;
    const uint8_t *file;        /* [file_size] */
    size_t file_size;
    stdo_segment_place *segment; /* [info.segments_there] */
    stdo_net_place *net;        /* [info.nets] */
    const stdo_segment *alone;  /* of a float net, which has no file */
    stdo_kernels kernels;
    const stdo_conv *conv;      /* of its nets */
    size_t net_room;            /* bytes that the most demanding net needs at the greatest width it is run at */
    uint32_t most_nets;         /* of a segment */
    uint32_t net_planes;
    int has_chroma;             /* whether it has a net for chroma */
    stdo_plane plane[4];        /* all but the pointers and strides, which each call sets; the last, of the size of
                                   chroma, is the mean luma that nets for chroma read, which lies in scratch */
    stdo_scratch scratch;
};

/* Looks up a segment, which must be there. Gives 0 where a net of it is not loaded. */
int stdo_segment_look_up(const stdo_sidecar *sidecar, uint32_t index, stdo_segment *segment);

/* ---- Memory: memory.c ---- */

/* Takes zeros by the options, unless more would then be used than they allow; NULL if there are none. */
void *stdo_take(stdo_sidecar *sidecar, uint64_t bytes);
void stdo_give(stdo_sidecar *sidecar, void *memory, uint64_t bytes);

/* ---- Sizes, which are computed when a sidecar is opened, so that calls for rows divide nothing: layout.c ---- */

/* Whether a net of this sidecar serves chroma. */
static inline int stdo_serves_chroma(const stdo_net *net, uint32_t colour)
{
    return net->layer[0].in != net_planes(colour);
}

/* Sets what a net needs to be run beside its layers. */
void stdo_sidecar_measure(const stdo_sidecar *sidecar, stdo_net *net);

/* The same, and makes net_room cover it. */
void stdo_sidecar_admit(stdo_sidecar *sidecar, stdo_net *net);

/* Sets the fields after most_nets. Called when all nets are admitted. */
void stdo_sidecar_lay_out(stdo_sidecar *sidecar);

#endif
