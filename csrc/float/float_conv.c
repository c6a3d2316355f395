/* Chooses the convolutions of float nets. */
#include "float_conv.h"

#include "../architecture.h"

const stdo_conv *stdo_float_conv(uint32_t tiers)
{
    tiers &= stdo_cpu_tiers();
#if defined(STDO_X86)
    if (tiers & 1 << STDO_TIER_AVX512VNNI) return &stdo_float_avx512vnni;
    if (tiers & 1 << STDO_TIER_AVX2) return &stdo_float_avx2;
#elif defined(STDO_ARM64)
    if (tiers & 1 << STDO_TIER_NEON) return &stdo_float_neon;
#endif
    (void)tiers;
    return &stdo_float_c;
}
