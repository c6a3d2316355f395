/* Every way to the CRC-32 that this build has, against the definition bit by bit; and the constants of the fast ones.

       check_crc32 [--time]

   A line for each way: its name, and "ok", or "skip" where this CPU has no instructions for it; "fastest" follows where
   stdo_crc32_fastest gives it. With --time, GB/s too. */
#define _POSIX_C_SOURCE 200809L
#include "../csrc/architecture.h"
#include "../csrc/crc32.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LONGEST = 700, ALIGNMENTS = 64, MANY = (4 << 20) + 13, FRAME = 480 * 270 * 3 / 2, ROUNDS = 1000 };

static const uint32_t polynomial = 0xedb88320;

/* One bit of a message goes in, or one zero: the division by P, a step of it. */
static uint32_t step(uint32_t crc) { return crc >> 1 ^ (crc & 1 ? polynomial : 0); }

static uint32_t by_definition(uint32_t crc, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) crc = step(crc);
    }
    return crc;
}

static void fail(const char *name, const char *what, size_t size, size_t at)
{
    printf("%s: wrong %s, %zu bytes at alignment %zu\n", name, what, size, at);
    exit(1);
}

static void check(const char *name, stdo_crc32_way *way, const uint8_t *data)
{
    for (size_t size = 0; size <= LONGEST; size++)
        for (size_t at = 0; at < ALIGNMENTS; at++) {
            const uint32_t begin = (uint32_t)(size * 2654435761u + at);
            /* A copy of exactly these bytes, so that a sanitizer sees one that is read beside them. */
            uint8_t *copy = malloc(at + size + 1);
            if (copy == NULL) abort();
            memcpy(copy + at, data + at, size);
            if (way(begin, copy + at, size) != by_definition(begin, data + at, size)) fail(name, "sum", size, at);
            free(copy);
        }
    for (size_t at = 0; at < 3; at++) {
        const uint32_t whole = by_definition(~0u, data + at, MANY - at);
        if (way(~0u, data + at, MANY - at) != whole) fail(name, "sum", MANY - at, at);
        const size_t half = (size_t)1 << 20;
        if (way(way(~0u, data + at, half), data + at + half, MANY - at - half) != whole) fail(name, "parts", half, at);
    }
}

/* x^n mod P, lowest power in the highest of 32 bits: the 1 that n zeros follow. */
static uint32_t power(int n)
{
    uint32_t value = 0x80000000;
    while (n-- > 0) value = step(value);
    return value;
}

/* The best of many rounds: others may use this machine too. */
static double gigabytes_a_second(stdo_crc32_way *way, const uint8_t *data)
{
    double best = 1e9;
    for (int i = 0; i < ROUNDS; i++) {
        struct timespec begun, ended;
        clock_gettime(CLOCK_MONOTONIC, &begun);
        const uint32_t crc = way(0, data, FRAME);
        clock_gettime(CLOCK_MONOTONIC, &ended);
        if (crc == 1) putchar(' '); /* so that it is not computed for nothing */
        const double took = (double)(ended.tv_sec - begun.tv_sec) + 1e-9 * (double)(ended.tv_nsec - begun.tv_nsec);
        if (took < best) best = took;
    }
    return 1e-9 * FRAME / best;
}

int main(int count, char **words)
{
    static const struct {
        const char *name;
        stdo_crc32_way *way;
    } list[] = {
        {"c", stdo_crc32_c},
#if defined(STDO_X86)
        {"pclmul", stdo_crc32_pclmul},
#elif defined(STDO_ARM64)
        {"armv8", stdo_crc32_armv8},
#endif
    };
    uint8_t *data = malloc(MANY);
    if (data == NULL) return 2;
    uint32_t random = 1;
    for (size_t i = 0; i < MANY; i++) {
        random = random * 1664525 + 1013904223;
        data[i] = (uint8_t)(random >> 24);
    }
    stdo_crc32_way *fastest = stdo_crc32_fastest();
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        printf("%s ", list[i].name);
        if (list[i].way != stdo_crc32_c && list[i].way != fastest) {
            printf("skip\n");
            continue;
        }
        check(list[i].name, list[i].way, data);
        printf("ok%s", list[i].way == fastest ? " fastest" : "");
        if (count > 1 && strcmp(words[1], "--time") == 0)
            printf(" %.1f GB/s", gigabytes_a_second(list[i].way, data));
        putchar('\n');
    }
    static const int exponents[] = {127, 191, 511, 575};
    for (size_t i = 0; i < sizeof exponents / sizeof *exponents; i++)
        printf("X_%d 0x%08x00000000\n", exponents[i], (unsigned)power(exponents[i]));
    free(data);
    return 0;
}
