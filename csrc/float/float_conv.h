/* The convolutions of float nets, one set a tier; float_c.c is the specification: every tier gives the same
   bytes. */
#ifndef STDO_FLOAT_CONV_H
#define STDO_FLOAT_CONV_H

#include "../kernels.h"

extern const stdo_conv stdo_float_c, stdo_float_avx2, stdo_float_avx512vnni, stdo_float_neon;

/* Those of the best of these tiers that this CPU runs. */
const stdo_conv *stdo_float_conv(uint32_t tiers);

#endif
