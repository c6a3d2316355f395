/* Loops that do nothing but multiply and add, for bench/peak.py. Each returns the multiply-accumulates it has done in
   `turns` turns, or 0 where this CPU lacks the instruction. The loops are assembly because a compiler may keep an array
   of accumulators in memory, and because 12 of them that depend on nothing else hide the latency of every CPU so far. */
#include <stdint.h>

#define TWELVE(ONE) ONE("0") ONE("1") ONE("2") ONE("3") ONE("4") ONE("5") ONE("6") ONE("7") ONE("8") ONE("9") ONE("10") ONE("11")

#if defined(__x86_64__)

#define ZERO(n) "vpxor %%xmm" n ", %%xmm" n ", %%xmm" n "\n\t"
/* The names of xmm registers stand for the whole zmm, and need no compiler option. */
#define REPEAT(ONE, turns)                                                                                              \
    __asm__ volatile(TWELVE(ZERO) ZERO("12") ZERO("13") "1:\n\t" TWELVE(ONE) "dec %0\n\tjnz 1b\n\tvzeroupper"           \
                     : "+r"(turns)::"cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",       \
                       "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14")

#define VPDPBUSD(n) "vpdpbusd %%zmm13, %%zmm12, %%zmm" n "\n\t"
#define VPMADDWD(n) "vpmaddwd %%ymm13, %%ymm12, %%ymm14\n\tvpaddd %%ymm14, %%ymm" n ", %%ymm" n "\n\t"
#define FMA_ZMM(n) "vfmadd231ps %%zmm13, %%zmm12, %%zmm" n "\n\t"
#define FMA_YMM(n) "vfmadd231ps %%ymm13, %%ymm12, %%ymm" n "\n\t"
#define VDPBF16PS(n) "vdpbf16ps %%zmm13, %%zmm12, %%zmm" n "\n\t"

int64_t peak_int8(int64_t turns)
{
    const int64_t all = turns;
    if (turns < 1) return 0;
    if (__builtin_cpu_supports("avx512vnni")) {
        REPEAT(VPDPBUSD, turns);
        return all * 12 * 64;
    }
    if (__builtin_cpu_supports("avx2")) {
        REPEAT(VPMADDWD, turns); /* of 16 bits: exact for u8 x s8, which vpmaddubsw is not */
        return all * 12 * 16;
    }
    return 0;
}

int64_t peak_fp32(int64_t turns)
{
    const int64_t all = turns;
    if (turns < 1) return 0;
    if (__builtin_cpu_supports("avx512f")) {
        REPEAT(FMA_ZMM, turns);
        return all * 12 * 16;
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        REPEAT(FMA_YMM, turns);
        return all * 12 * 8;
    }
    return 0;
}

int64_t peak_bf16(int64_t turns)
{
    const int64_t all = turns;
    if (turns < 1 || !__builtin_cpu_supports("avx512bf16")) return 0;
    REPEAT(VDPBF16PS, turns);
    return all * 12 * 32;
}

#elif defined(__aarch64__)

#ifdef __linux__
#include <sys/auxv.h>
static int has_dot(void) { return getauxval(AT_HWCAP) >> 20 & 1; } /* HWCAP_ASIMDDP */
#else
static int has_dot(void) { return 0; }
#endif

#define ZERO(n) "movi v" n ".4s, #0\n\t"
#define REPEAT(ONE, turns)                                                                                              \
    __asm__ volatile(TWELVE(ZERO) ZERO("12") ZERO("13") "1:\n\t" TWELVE(ONE) "subs %0, %0, #1\n\tb.ne 1b"               \
                     : "+r"(turns)::"cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11",     \
                       "v12", "v13", "v14")

#define SDOT(n) ".inst 0x4e8d9580 + " n "\n\t" /* sdot vN.4s, v12.16b, v13.16b, without asking for an architecture */
#define SMULL(n) "smull v14.8h, v12.8b, v13.8b\n\tsadalp v" n ".4s, v14.8h\n\t"
#define FMLA(n) "fmla v" n ".4s, v12.4s, v13.4s\n\t"

int64_t peak_int8(int64_t turns)
{
    const int64_t all = turns;
    if (turns < 1) return 0;
    if (has_dot()) {
        REPEAT(SDOT, turns);
        return all * 12 * 16;
    }
    REPEAT(SMULL, turns);
    return all * 12 * 8;
}

int64_t peak_fp32(int64_t turns)
{
    const int64_t all = turns;
    if (turns < 1) return 0;
    REPEAT(FMLA, turns);
    return all * 12 * 4;
}

int64_t peak_bf16(int64_t turns)
{
    (void)turns;
    return 0;
}

#else

int64_t peak_int8(int64_t turns) { return 0 * turns; }
int64_t peak_fp32(int64_t turns) { return 0 * turns; }
int64_t peak_bf16(int64_t turns) { return 0 * turns; }

#endif
