/* Training's inner loops, as a table that each tier fills. train_c.c is the specification: every tier gives the
   same floats. */
#ifndef STDO_TRAIN_KERNELS_H
#define STDO_TRAIN_KERNELS_H

#include "train.h"

enum { STDO_TRAIN_BLOCK = 16 }; /* channels side by side */

/* One row of one block of output channels of one patch. Distances are in floats. */
typedef struct stdo_train_row {
    const float *in;            /* the first input row that counts */
    size_t in_pixel, in_row, in_block;
    size_t channels;            /* of the input */
    size_t kernel, columns;     /* rows and columns of the kernel */
    size_t first, rows;         /* the kernel rows that count */
    const float *weight;        /* [channel / 16][row][column][channel % 16][16], without gaps */
    const float *start;         /* [16], where each sum starts */
    size_t width;
    float *out;                 /* [width][16] */
    const float *mask;          /* [width][16]: where it is not above 0, out is 0; or NULL */
    uint32_t relu;
} stdo_train_row;

/* The weights between one block of input and one of output channels, over one patch. */
typedef struct stdo_train_weights {
    const float *in;
    size_t in_pixel, in_row;
    size_t channels;            /* at most 16 */
    size_t kernel, columns;     /* rows and columns of the kernel */
    const float *d_out;         /* [height][width][16] */
    size_t height, width;
    float *sum;                 /* [row][column][channel][16], added to: each is one chain over the pixels */
} stdo_train_weights;

/* Winograd's minimal filtering F(4, 3) along rows: a tile is four outputs beside each other, from six inputs and three
   weights, by six products at six points in place of twelve (winograd.c). */
enum { STDO_TRAIN_TILE = 4, STDO_TRAIN_POINTS = 6 };

/* One row of one block of channels, as pixels [width][16] and as points [tile][16], one plane for each point. */
typedef struct stdo_train_tiles {
    const float *in;
    float *out;
    size_t width, tiles;        /* pixels and tiles of the row */
    size_t margin;              /* pixels before an input row that are taken for 0, as are all after it */
    size_t plane;               /* floats from a point to the next */
    const float *start, *mask;  /* of the output: as in stdo_train_row */
    uint32_t relu;
} stdo_train_tiles;

/* The loss of one block of output channels of one patch, and its gradient. */
typedef struct stdo_train_errors {
    stdo_train_loss loss;
    float epsilon, unit, slope; /* as in stdo_train_targets and stdo_train_loss_gradient */
    const float *y;             /* [pixel][16] */
    const int16_t *target;      /* [pixel][out], from the block's first channel on */
    size_t out, channels;       /* outputs of the pool, channels of the block */
    size_t pixels;
    float sum[STDO_TRAIN_BLOCK]; /* the result: the loss of each channel, one chain over the pixels */
    float *d_y;                 /* [pixel][16], 0 past the last channel; or NULL */
} stdo_train_errors;

struct stdo_train_kernels {
    const char *tier;
    void (*row)(const stdo_train_row *row);
    void (*weights)(const stdo_train_weights *weights);
    void (*input_tiles)(const stdo_train_tiles *tiles);     /* tile t: its points from pixels 4 t - margin + 0..5 */
    void (*gradient_tiles)(const stdo_train_tiles *tiles);  /* its points from gradients of outputs 4 t + 0..3 */
    void (*output_tiles)(const stdo_train_tiles *tiles);    /* outputs 4 t + 0..3 from its points */
    void (*errors)(stdo_train_errors *errors);
};

extern const stdo_train_kernels stdo_train_c, stdo_train_avx2, stdo_train_avx512vnni, stdo_train_neon;

#endif
