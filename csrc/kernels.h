/* The inner loops of the upscaler, as a table that faster tiers may overwrite. kernels_c.c is the specification: every
   tier gives its bytes.

   All buffers here are scratch of the upscaler, except `hr` and the lr rows of base_vertical, which are the caller's own
   planes. Kernels write exactly the values they are asked for and read nothing beyond what FORMAT.md's arithmetic
   names. */
#ifndef STDO_KERNELS_H
#define STDO_KERNELS_H

#include <stddef.h>
#include <stdint.h>

enum {
    STDO_MAX_SCALE = 4,
    STDO_TAPS_MULTIPLE = 16 /* the weights of one output are padded with zeros to a multiple of this: no loop tails */
};

typedef struct stdo_layer {
    uint32_t kernel;            /* side of the square kernel */
    uint32_t in, out;           /* channels */
    uint32_t shift;
    uint32_t taps;              /* kernel * kernel * in, rounded up to STDO_TAPS_MULTIPLE */
    const int32_t *multiplier;  /* [out] */
    const int32_t *bias;        /* [out] */
    const int16_t *weight;      /* [out][taps]: [row][column][in], then zeros */
} stdo_layer;

/* One row of FORMAT.md's table of taps. */
typedef struct stdo_phase {
    int32_t offset;
    int32_t tap[4];
} stdo_phase;

/* A tile holds interleaved channels, [y][x][channel], values 0..255; width and height count the layer's output pixels,
   the input tile has kernel - 1 more of each. `window` has room for the layer's taps. */
typedef struct stdo_kernels {
    /* Writes an output tile. */
    void (*hidden)(const stdo_layer *layer, const int16_t *in, size_t width, size_t height, int16_t *window,
                   int16_t *out);
    /* Writes the residual in 64ths as hr pixels: height * scale rows of width * scale. */
    void (*last)(const stdo_layer *layer, const int16_t *in, size_t width, size_t height, int16_t *window,
                 size_t scale, int16_t *residual);
    /* V of FORMAT.md for one hr row, from its four lr rows. */
    void (*base_vertical)(const uint8_t *const row[4], const stdo_phase *phase, size_t width, int16_t *v);
    /* B of FORMAT.md for one hr row of width * scale pixels. `v` begins two lr pixels to the left and ends two to the
       right; `phase` has `scale` entries. */
    void (*base_horizontal)(const int16_t *v, const stdo_phase *phase, size_t scale, size_t width, int16_t *base);
    /* The pixels of one hr row, from the base alone or with a residual. */
    void (*store_base)(const int16_t *base, size_t width, uint8_t *hr);
    void (*store_sum)(const int16_t *base, const int16_t *residual, size_t width, uint8_t *hr);
} stdo_kernels;

void stdo_kernels_init(stdo_kernels *kernels);

#endif
