/* Float nets, which the integer nets are compared with. Only the Python extension has them: libstdo does not. */
#ifndef STDO_FLOAT_NET_H
#define STDO_FLOAT_NET_H

#include <stdo/stdo.h>

/* ---- cffi reads from here: no macros and no includes ---- */

/* One layer of a float net: a square kernel of odd side 1..9, 1..64 channels, `weight` as
   [channels][row][column][in]. */
typedef struct stdo_float_layer {
    uint32_t kernel, channels;
    const float *weight, *bias;
} stdo_float_layer;

/* A float net, and the frames that it is for. Fields are those of stdo_info, except count and layers. */
typedef struct stdo_float_net {
    uint32_t colour, scale, patch, lr_width, lr_height;
    uint32_t count;                 /* of layers, 1..8 */
    const stdo_float_layer *layers;
} stdo_float_net;

/* A float net in place of a sidecar: one segment with one net and no map. The net reads lr samples as 0..255 and gives
   the residual in grey levels, which is rounded to 64ths and clamped to -512..511.98; the rest of the pixel's
   arithmetic is FORMAT.md's. All layers but the last end with ReLU; the last has planes * scale^2 channels. Every tier
   gives the same bytes, if the thread rounds to nearest and keeps denormals, as threads do by default. Copies the
   weights; allocates one block; stdo_close ends it. */
stdo_status stdo_open_float(const stdo_float_net *net, const char *tiers, stdo_sidecar **out);

/* ---- cffi reads to here ---- */

#endif
