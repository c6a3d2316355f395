/* Whose vector instructions a build may use: STDO_X86, STDO_ARM64, or neither.

   GCC for Windows keeps the stack at multiples of 16 bytes, and yet moves wider vectors to it as if it were aligned for
   them (its bug 54412). So there it builds the x86 tiers only with an assembler that is told to make every such move an
   unaligned one, by -Wa,-muse-unaligned-vector-move; who tells it so says -DSTDO_UNALIGNED_MOVES too. */
#ifndef STDO_ARCHITECTURE_H
#define STDO_ARCHITECTURE_H

#if defined(__x86_64__) && defined(__GNUC__) && (!defined(_WIN32) || defined(__clang__) || defined(STDO_UNALIGNED_MOVES))
#define STDO_X86 1
#elif defined(__AARCH64EL__) && defined(__GNUC__)
#define STDO_ARM64 1
#endif

#endif
