/* The code of a net in the table of a sidecar of version 3: plain bytes for its shape, a range code for its numbers. */
#ifndef STDO_NETCODE_H
#define STDO_NETCODE_H

#include "fields.h"
#include "net.h"
#include "range_decoder.h"

enum { STDO_MAX_SHIFT = 24, STDO_MAX_CODE = 1 << 24 };

/* What a code may begin with in place of the number of layers. */
enum { STDO_NET_DIFFERS = 0, STDO_NET_AGAIN = 9 };

typedef struct stdo_net_shape {
    uint32_t layers;            /* 0: no net yet */
    uint32_t head;              /* bytes of the code before its range code */
    stdo_layer layer[STDO_MAX_LAYERS]; /* kernel, in, out and shift */
} stdo_net_shape;

/* Reads the shape of a net with so many planes in and channels out, or of one for chroma. `shape` is that of the net
   before in the table, which the net may keep. Returns 0 for a code that breaks a rule of FORMAT.md. */
int stdo_net_shape_read(const uint8_t *code, uint32_t size, uint32_t planes, uint32_t outputs, stdo_net_shape *shape);

/* Moves over a net of versions 1 and 2 that was checked. Fills kernel, in, out, shift and weight of its layers, and
   gives their number. */
uint32_t stdo_plain_net_read(fields *f, uint32_t planes, stdo_layer *layer);

/* Whether the net of a code is coded by its differences to the last one before that is not. */
static inline int stdo_net_differs(const uint8_t *code) { return code[0] == STDO_NET_DIFFERS; }

/* A context of the range decoder that adapts the slower the more it has seen. */
typedef struct stdo_context {
    uint16_t chance;
    uint8_t seen;
} stdo_context;

/* Contexts of a length that is coded by its difference to the one before, and of the bit below the first. */
typedef struct stdo_near {
    stdo_context differs, down, further[2][4], first;
} stdo_near;

/* Decodes the numbers of a net: for each layer its multipliers, unless the net is coded by its differences, its biases
   and its weights. Every range code is valid. */
typedef struct stdo_net_decoder {
    stdo_range_decoder coder;
    stdo_context digits[15], zeros[15];
    stdo_near multiplier, bias;
    stdo_context size[8][8], first[7]; /* of weights */
    uint32_t multiplier_length, bias_length; /* of those before */
    uint32_t mean;              /* 256 times that of the sizes of the latest weights */
} stdo_net_decoder;

/* Begins at the range code of a net. */
void stdo_net_decoder_start(stdo_net_decoder *d, const uint8_t *code, size_t size);

void stdo_decode_multipliers(stdo_net_decoder *d, uint32_t out, int32_t *multiplier);

/* base: the biases or weights that these are differences to, or NULL. */
void stdo_decode_biases(stdo_net_decoder *d, uint32_t out, uint32_t shift, const int32_t *base, int32_t *bias);
void stdo_decode_weights(stdo_net_decoder *d, const stdo_layer *layer, const int8_t *base, int8_t *weight);

#endif
