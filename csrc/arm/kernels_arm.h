/* The convolutions of the ARM tiers, which their tables take. */
#ifndef STDO_KERNELS_ARM_H
#define STDO_KERNELS_ARM_H

#include "../kernels.h"

extern const stdo_conv stdo_int8_neon, stdo_int8_neon_dot, stdo_int8_neon_i8mm;

#endif
