/* Whose vector instructions a build may use: STDO_X86, with or without STDO_AVXVNNI, STDO_ARM64, STDO_ARM32, or
   none. STDO_NEON stands for both of ARM.

   On 32-bit ARM not every CPU has NEON. GCC compiles single functions for it; clang has its header only in a build
   with -mfpu=neon, which is the default of Android's.

   GCC for Windows aligns the stack to 16 bytes, and yet moves wider vectors to it as if it were aligned for them (its
   bug 54412). The assembler's option -Wa,-muse-unaligned-vector-move makes every such move an unaligned one. A build
   with that option also sets -DSTDO_UNALIGNED_MOVES; without it GCC for Windows builds no x86 tiers. */
#ifndef STDO_ARCHITECTURE_H
#define STDO_ARCHITECTURE_H

#if defined(__x86_64__) && defined(__GNUC__) && (!defined(_WIN32) || defined(__clang__) || defined(STDO_UNALIGNED_MOVES))
#define STDO_X86 1
/* Assemblers that are younger than AVX-VNNI come with these compilers, Apple's clang among them. */
#if (defined(__clang__) && __clang_major__ >= 13) || (!defined(__clang__) && __GNUC__ >= 11)
#define STDO_AVXVNNI 1
#endif
#elif defined(__AARCH64EL__) && defined(__GNUC__)
#define STDO_ARM64 1
#define STDO_NEON 1
#elif defined(__ARMEL__) && defined(__ARM_FP) && defined(__GNUC__) && __ARM_ARCH >= 7 && __ARM_ARCH_PROFILE == 'A' && \
    (!defined(__clang__) || defined(__ARM_NEON))
#define STDO_ARM32 1
#define STDO_NEON 1
#endif

#endif
