/* Where the outputs of a last layer go: output (plane * scale + dy) * scale + dx of pixel x to
   residual[(plane * scale + dy) * stride + x * scale + dx]. */
#ifndef STDO_RESIDUAL_H
#define STDO_RESIDUAL_H

#include "kernels.h"

/* Some outputs of a last layer, here numbered from 0. */
typedef struct stdo_residual {
    int16_t *values;
    size_t stride;
    const size_t *offset;       /* of each output, in the residual of pixel 0 */
    size_t outs;                /* how many outputs */
} stdo_residual;

/* Fills the table of offsets for one row, so that no output number need be divided by the scale. */
static inline stdo_residual stdo_residual_of(const stdo_layer *layer, uint32_t scale, int16_t *values, size_t stride,
                                             size_t offset[STDO_MAX_LAST])
{
    const stdo_residual to = {values, stride, offset, layer->out};
    size_t o = 0;
    for (size_t row = 0; o < layer->out; row += stride)
        for (size_t dx = 0; dx < scale; dx++) offset[o++] = row + dx;
    return to;
}

/* The outputs from `o` on, or none if there are no more. */
static inline stdo_residual stdo_residual_from(const stdo_residual *to, size_t o)
{
    const stdo_residual rest = {to->values, to->stride, to->offset + o, to->outs > o ? to->outs - o : 0};
    return rest;
}

#endif
