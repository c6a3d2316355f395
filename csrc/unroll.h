/* Loops over registers: each must vanish, or the compiler keeps the registers in memory. */
#ifndef STDO_UNROLL_H
#define STDO_UNROLL_H

#define STDO_INLINE static inline __attribute__((always_inline))

#if defined(__clang__)
#define STDO_UNROLL _Pragma("clang loop unroll(full)")
#else
#define STDO_UNROLL _Pragma("GCC unroll 64")
#endif

#endif
