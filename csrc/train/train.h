/* Training's inner loops, as a table that each tier fills. train_c.c is the specification: every tier gives its floats. */
#ifndef STDO_TRAIN_H
#define STDO_TRAIN_H

#include "../stdo.h"

#include "train_cdef.h"

enum { STDO_TRAIN_BLOCK = 16 }; /* channels side by side */

/* One row of one block of output channels of one patch. Distances are in floats. */
typedef struct stdo_train_row {
    const float *in;            /* the first input row that counts */
    size_t in_pixel, in_row, in_block;
    size_t channels, kernel;    /* of the input; side of the kernel */
    size_t first, rows;         /* the kernel rows that count */
    const float *weight;        /* [channel / 16][row][column][channel % 16][16], without gaps */
    const float *start;         /* [16], where each sum starts */
    size_t width;
    float *out;                 /* [width][16] */
    const float *mask;          /* [width][16]: 0 comes out where it is not above 0; or NULL */
    uint32_t relu;
} stdo_train_row;

/* The weights between one block of input and one of output channels, over one patch. */
typedef struct stdo_train_weights {
    const float *in;
    size_t in_pixel, in_row;
    size_t channels, kernel;    /* at most 16; side of the kernel */
    const float *d_out;         /* [height][width][16] */
    size_t height, width;
    float *sum;                 /* [row][column][channel][16], continued: one chain a sum, pixel by pixel */
} stdo_train_weights;

struct stdo_train_kernels {
    const char *tier;
    void (*row)(const stdo_train_row *row);
    void (*weights)(const stdo_train_weights *weights);
};

extern const stdo_train_kernels stdo_train_c, stdo_train_avx2, stdo_train_avx512vnni, stdo_train_neon;

#endif
