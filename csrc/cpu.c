/* Which tiers this CPU runs, and the table of kernels for the best of them that is allowed. */
#include "kernels.h"

#include "architecture.h"

#include <string.h>

#if defined(STDO_X86)
#include <cpuid.h>
#elif defined(STDO_NEON) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(STDO_ARM64) && defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(STDO_ARM64) && defined(_WIN32)
#include <windows.h>
#endif

static const char *const names[STDO_TIERS] = {"c", "avx2", "avxvnni", "avx512vnni", "neon", "neon_dot", "neon_i8mm"};

const char *stdo_tier_name(stdo_tier_index tier) { return names[tier]; }

#if defined(STDO_X86)
static uint64_t enabled_by_system(void)
{
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low | (uint64_t)high << 32;
}

static int has_avxvnni(void)
{
#if defined(STDO_AVXVNNI)
    uint32_t eax, ebx, ecx, edx;
    const uint32_t avx_vnni = 1 << 4;
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || eax < 1) return 0;
    return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax & avx_vnni);
#else
    return 0;
#endif
}

uint32_t stdo_cpu_tiers(void)
{
    enum { OSXSAVE = 1 << 27, FMA = 1 << 12, STATE_AVX = 0x06, STATE_AVX512 = 0xe6 };
    enum { AVX2 = 1 << 5, AVX512_F_DQ_BW = 1 << 16 | 1 << 17 | 1 << 30, AVX512_VNNI = 1 << 11 };
    const uint32_t avx512_vl = 1u << 31;
    uint32_t tiers = 1 << STDO_TIER_C, eax, ebx, ecx, edx;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & OSXSAVE) || !(ecx & FMA)) return tiers;
    const uint64_t state = enabled_by_system();
    if ((state & STATE_AVX) != STATE_AVX || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return tiers;
    if (!(ebx & AVX2)) return tiers;
    tiers |= 1 << STDO_TIER_AVX2;
    if (has_avxvnni()) tiers |= 1 << STDO_TIER_AVXVNNI;
    if ((state & STATE_AVX512) == STATE_AVX512 && (ebx & AVX512_F_DQ_BW) == AVX512_F_DQ_BW && (ebx & avx512_vl) &&
        (ecx & AVX512_VNNI))
        tiers |= 1 << STDO_TIER_AVX512VNNI;
    return tiers;
}
#elif defined(STDO_ARM64)
/* Only the operating system knows: the registers that tell are not for programs to read. */
#if defined(__linux__)
enum { ASIMDDP = 1 << 20, I8MM = 1 << 13 }; /* the kernel's HWCAP_ASIMDDP and HWCAP2_I8MM */
static int has_dot(void) { return (getauxval(AT_HWCAP) & ASIMDDP) != 0; }
static int has_i8mm(void) { return (getauxval(AT_HWCAP2) & I8MM) != 0; }
#elif defined(__APPLE__)
static int has(const char *feature)
{
    int value = 0;
    size_t size = sizeof value;
    return sysctlbyname(feature, &value, &size, NULL, 0) == 0 && value != 0;
}
static int has_dot(void) { return has("hw.optional.arm.FEAT_DotProd"); }
static int has_i8mm(void) { return has("hw.optional.arm.FEAT_I8MM"); }
#elif defined(_WIN32)
enum { DOT = 43, I8MM = 66 }; /* PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE, PF_ARM_V82_I8MM_INSTRUCTIONS_AVAILABLE */
static int has_dot(void) { return IsProcessorFeaturePresent(DOT) != 0; }
static int has_i8mm(void) { return IsProcessorFeaturePresent(I8MM) != 0; }
#else
static int has_dot(void) { return 0; }
static int has_i8mm(void) { return 0; }
#endif

uint32_t stdo_cpu_tiers(void)
{
    uint32_t tiers = 1 << STDO_TIER_C | 1 << STDO_TIER_NEON;
    if (!has_dot()) return tiers;
    tiers |= 1 << STDO_TIER_NEON_DOT;
    if (has_i8mm()) tiers |= 1 << STDO_TIER_NEON_I8MM;
    return tiers;
}
#elif defined(STDO_ARM32) && defined(__linux__)
uint32_t stdo_cpu_tiers(void)
{
    enum { NEON = 1 << 12 }; /* the kernel's HWCAP_NEON */
    return 1 << STDO_TIER_C | (getauxval(AT_HWCAP) & NEON ? 1 << STDO_TIER_NEON : 0);
}
#else
uint32_t stdo_cpu_tiers(void) { return 1 << STDO_TIER_C; }
#endif

uint32_t stdo_tiers_named(const char *words)
{
    uint32_t tiers = 1 << STDO_TIER_C;
    if (words == NULL || *words == '\0') return (1u << STDO_TIERS) - 1;
    for (;;) {
        const size_t length = strcspn(words, ",");
        uint32_t tier = 0;
        while (tier < STDO_TIERS && (strlen(names[tier]) != length || memcmp(names[tier], words, length) != 0)) tier++;
        if (tier == STDO_TIERS) return 0;
        tiers |= 1u << tier;
        /* These only overwrite some entries of another. */
        if (tier == STDO_TIER_AVXVNNI) tiers |= 1 << STDO_TIER_AVX2;
        if (tier > STDO_TIER_NEON) tiers |= 1 << STDO_TIER_NEON;
        if (words[length] == '\0') return tiers;
        words += length + 1;
    }
}

void stdo_kernels_init(stdo_kernels *kernels, uint32_t tiers)
{
    tiers &= stdo_cpu_tiers();
    stdo_kernels_c(kernels);
    (void)tiers; /* where C is all there is */
#if defined(STDO_X86)
    if (tiers & 1 << STDO_TIER_AVX2) stdo_kernels_avx2(kernels);
#if defined(STDO_AVXVNNI)
    if (tiers & 1 << STDO_TIER_AVXVNNI) stdo_kernels_avxvnni(kernels);
#endif
    if (tiers & 1 << STDO_TIER_AVX512VNNI) stdo_kernels_avx512vnni(kernels);
#elif defined(STDO_NEON)
    if (tiers & 1 << STDO_TIER_NEON) stdo_kernels_neon(kernels);
#endif
#if defined(STDO_ARM64)
    if (tiers & 1 << STDO_TIER_NEON_DOT) stdo_kernels_neon_dot(kernels);
    if (tiers & 1 << STDO_TIER_NEON_I8MM) stdo_kernels_neon_i8mm(kernels);
#endif
}
