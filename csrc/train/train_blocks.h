/* Blocks of 16 channels: what direct convolution (train.c) and Winograd's (winograd.c) share. */
#ifndef STDO_TRAIN_BLOCKS_H
#define STDO_TRAIN_BLOCKS_H

#include "train_kernels.h"

static inline size_t stdo_train_blocks(size_t channels)
{
    return (channels + STDO_TRAIN_BLOCK - 1) / STDO_TRAIN_BLOCK;
}

/* Channels of one of the blocks: 16, or what is left for the last. */
static inline size_t stdo_train_in_block(size_t channels, size_t block)
{
    const size_t left = channels - block * STDO_TRAIN_BLOCK;
    return left < STDO_TRAIN_BLOCK ? left : STDO_TRAIN_BLOCK;
}

/* Adds [count][16] gradients to those of 16 biases, in four chains: number i goes into chain i % 4. */
static inline void stdo_train_add_bias_gradient(const float *d_out, size_t count, float *sum)
{
    enum { BLOCK = STDO_TRAIN_BLOCK };
    float chain[4][BLOCK] = {{0}};
    for (size_t i = 0; i < count; i++)
        for (size_t o = 0; o < BLOCK; o++) chain[i % 4][o] += d_out[i * BLOCK + o];
    for (size_t o = 0; o < BLOCK; o++) sum[o] += (chain[0][o] + chain[1][o]) + (chain[2][o] + chain[3][o]);
}

#endif
