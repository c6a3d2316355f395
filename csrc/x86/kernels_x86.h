/* The convolutions of the x86 tiers, which their tables take. */
#ifndef STDO_KERNELS_X86_H
#define STDO_KERNELS_X86_H

#include "../kernels.h"

extern const stdo_conv stdo_int8_avx512vnni, stdo_int8_avx2, stdo_int8_avxvnni;

#endif
