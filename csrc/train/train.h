/* Convolutions for training, on batches of patches, in float. Only the Python extension has them: libstdo does not.

   Nothing here allocates, keeps state or starts threads: threads share a batch by calling for parts of it. Every sum is
   one chain of fused multiply-adds in a stated order, so every tier gives the same floats, if the thread rounds to
   nearest and keeps denormals.

   Activations and their gradients are [patch][channel / 16][row][column][channel % 16]: whole vectors of channels.
   Those past the last channel may hold anything finite. The input of a net alone is dense:
   [patch][row][column][channel]. */
#ifndef STDO_TRAIN_H
#define STDO_TRAIN_H

#include <stdo/stdo.h>

/* ---- cffi reads from here: no macros and no includes ---- */

enum { STDO_TRAIN_MAX_CHANNELS = 256 };

/* The inner loops of one tier. */
typedef struct stdo_train_kernels stdo_train_kernels;

/* One layer and one batch: a convolution, `height` x `width` being the size of its output. It is valid, so that its
   input is larger; or zeros lie around its input, which is as large as its output. */
typedef struct stdo_train_layer {
    uint32_t patches, height, width;    /* 1..65535, 1..4096, 1..4096 */
    uint32_t kernel;                    /* side of the square kernel: odd, 1..9 */
    uint32_t in, out;                   /* channels, 1..STDO_TRAIN_MAX_CHANNELS */
    uint32_t dense;                     /* 1: the input is dense, of at most 16 channels */
    uint32_t relu;                      /* 1: the layer ends with ReLU */
    uint32_t padded;                    /* 1: zeros lie around the input */
} stdo_train_layer;

/* The arrays of one layer in a net. Only stdo_train_net_backward writes the gradients, d_*. */
typedef struct stdo_train_arrays {
    const float *x, *weight, *bias;
    float *out;
    float *d_x;                         /* NULL in the first layer */
    float *d_weight, *d_bias;
} stdo_train_arrays;

typedef enum stdo_train_loss { STDO_TRAIN_L1 = 0, STDO_TRAIN_CHARBONNIER = 1, STDO_TRAIN_L2 = 2 } stdo_train_loss;

/* The best of the tiers named (as for stdo_open_memory) that this CPU has; constant storage; NULL for an unknown
   word. */
const stdo_train_kernels *stdo_train_best(const char *tiers);
const char *stdo_train_tier(const stdo_train_kernels *kernels);

/* Bytes of scratch that any of the five functions below needs for a layer; 0 for a layer beyond the limits. */
size_t stdo_train_scratch_size(const stdo_train_layer *layer);

/* out = weight * x + bias, then ReLU where the layer has it. weight is [out][in][row][column]; scratch may have any
   content. As in the two below, a layer beyond the limits is STDO_ERROR_ARGUMENT. */
stdo_status stdo_train_forward(const stdo_train_kernels *kernels, const stdo_train_layer *layer, const float *x,
                               const float *weight, const float *bias, float *out, void *scratch);

/* The gradient of x, which is not dense, from that of the output (before its ReLU): the same convolution with the
   weights turned round. It becomes 0 where x is not above 0: then it is the gradient of what went into the ReLU that
   made x. Where no ReLU made it, x is NULL. */
stdo_status stdo_train_input_gradient(const stdo_train_kernels *kernels, const stdo_train_layer *layer, const float *x,
                                      const float *weight, const float *d_out, float *d_x, void *scratch);

/* The gradients of weight and bias from that of the output (before its ReLU). */
stdo_status stdo_train_weight_gradient(const stdo_train_kernels *kernels, const stdo_train_layer *layer, const float *x,
                                       const float *d_out, float *d_weight, float *d_bias, void *scratch);

/* All layers of a net: each but the first reads what the one before wrote. Scratch is what the largest layer needs. */
stdo_status stdo_train_net_forward(const stdo_train_kernels *kernels, const stdo_train_layer *layers,
                                   const stdo_train_arrays *arrays, uint32_t count, void *scratch);

/* The gradients of all layers, from that of the output of the last, after stdo_train_net_forward with the same
   arrays. */
stdo_status stdo_train_net_backward(const stdo_train_kernels *kernels, const stdo_train_layer *layers,
                                    const stdo_train_arrays *arrays, uint32_t count, const float *d_out, void *scratch);

/* The pixel shuffle: from [patch][channels * factor^2 / 16][height][width][16] to [patch][channels / 16][height *
   factor][width * factor][16], channel (c * factor + dy) * factor + dx to pixel (dy, dx) of channel c; or `back`, which
   reads `to` and writes `from`. Lanes past the last channel become 0. */
void stdo_train_shuffle(uint32_t patches, uint32_t height, uint32_t width, uint32_t channels, uint32_t factor,
                        uint32_t back, float *from, float *to);

/* x[i] = (patch - centre) * factor for `count` patches of `size` samples each, taken from a pool at the indices
   given. */
void stdo_train_gather(const uint8_t *pool, const int64_t *index, size_t count, size_t size, float centre, float factor,
                       float *x);

/* What outputs are to be: unit * pool[index[n]] for patch n, where the pool is [patch][row][column][out]. With
   d = output - target the loss is |d|, sqrt(d^2 + epsilon^2) or d^2. */
typedef struct stdo_train_targets {
    stdo_train_loss loss;
    float epsilon, unit;
    const int16_t *pool;
    const int64_t *index;
} stdo_train_targets;

/* The loss of each patch, summed over the outputs y of a layer (without ReLU); and in d_y, unless it is NULL, slope
   times the gradient. */
stdo_status stdo_train_loss_gradient(const stdo_train_kernels *kernels, const stdo_train_layer *layer,
                                     const stdo_train_targets *targets, const float *y, float slope, double *losses,
                                     float *d_y);

/* ---- cffi reads to here ---- */

#endif
