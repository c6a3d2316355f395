/* A layer's three passes by tiles of F(4, 3), for kernels of 3x3 on input that is not dense. Arguments are those of the
   functions in train.h, already checked, and aligned scratch of stdo_winograd_floats. */
#ifndef STDO_WINOGRAD_H
#define STDO_WINOGRAD_H

#include "train_kernels.h"

void stdo_winograd_forward(const stdo_train_kernels *kernels, const stdo_train_layer *l, const float *x,
                           const float *weight, const float *bias, float *out, float *scratch);
void stdo_winograd_input_gradient(const stdo_train_kernels *kernels, const stdo_train_layer *l, const float *x,
                                  const float *weight, const float *d_out, float *d_x, float *scratch);
void stdo_winograd_weight_gradient(const stdo_train_kernels *kernels, const stdo_train_layer *l, const float *x,
                                   const float *d_out, float *d_weight, float *d_bias, float *scratch);
size_t stdo_winograd_floats(const stdo_train_layer *l);

#endif
