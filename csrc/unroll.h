/* Loops over arrays of registers: unless each is unrolled, the compiler keeps the registers in memory. */
#ifndef STDO_UNROLL_H
#define STDO_UNROLL_H

#if defined(_MSC_VER) && !defined(__clang__)
#define STDO_INLINE static __forceinline
#else
#define STDO_INLINE static inline __attribute__((always_inline))
#endif

#if defined(__clang__)
#define STDO_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define STDO_UNROLL _Pragma("GCC unroll 64")
#else
#define STDO_UNROLL
#endif

#endif
