/* check_kernels --bench: how long the player's kernels take, each in the shapes that nets have, for every tier that this
   CPU runs.

   A figure is the shortest of many calls, in cycles of the core. Counters tick at a rate of their own, so it is measured
   how many ticks a chain of additions takes, each of which waits one cycle for the one before. On a phone whose cores
   differ, taskset keeps the program on one. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include "check.h"

#include <time.h>

enum { WIDTH = 480, CHAIN = 1000 };

typedef enum work { LOAD, HIDDEN, LAST, VERTICAL, ROW, ROW_3_2 } work;

typedef struct timed {
    const char *kernel;
    work work;
    check_function *check;
    uint32_t side, in, out, scale;
} timed;

static const timed list[] = {
    {"int8_load", LOAD, check_int8_load, 0, 1, 0, 0},
    {"int8_load", LOAD, NULL, 0, 3, 0, 0},
    {"int8_hidden", HIDDEN, check_int8_hidden, 5, 1, 8, 0},
    {"int8_hidden", HIDDEN, NULL, 5, 1, 16, 0},
    {"int8_hidden", HIDDEN, NULL, 3, 4, 4, 0},
    {"int8_hidden", HIDDEN, NULL, 3, 8, 8, 0},
    {"int8_hidden", HIDDEN, NULL, 3, 16, 16, 0},
    {"int8_hidden", HIDDEN, NULL, 3, 32, 32, 0},
    {"int8_last", LAST, check_int8_last, 3, 8, 1, 1},
    {"int8_last", LAST, NULL, 3, 16, 1, 1},
    {"int8_last", LAST, NULL, 3, 16, 3, 1},
    {"int8_last", LAST, NULL, 3, 16, 4, 2},
    {"int8_last", LAST, NULL, 3, 16, 8, 2},
    {"int8_last", LAST, NULL, 3, 16, 9, 3},
    {"int8_last", LAST, NULL, 3, 16, 16, 4},
    {"base_vertical", VERTICAL, check_base_vertical, 0, 0, 0, 2},
    {"base_vertical", VERTICAL, NULL, 0, 0, 0, 1},
    {"hr_row", ROW, check_hr_row, 0, 0, 0, 1},
    {"hr_row", ROW, NULL, 0, 0, 0, 2},
    {"hr_row", ROW, NULL, 0, 0, 0, 3},
    {"hr_row", ROW, NULL, 0, 0, 0, 4},
    {"hr_row_3_2", ROW_3_2, check_hr_row_3_2, 0, 0, 0, 0},
};
enum { TIMED = sizeof list / sizeof *list };

/* ---- Time ---- */

#if defined(__x86_64__) && defined(__GNUC__)
#define COUNTER "the time-stamp counter"
static uint64_t ticks(void)
{
    uint32_t low, high;
    __asm__ volatile("lfence\n\trdtsc\n\tlfence" : "=a"(low), "=d"(high) : : "memory");
    return low | (uint64_t)high << 32;
}
static void add_in_a_chain(void)
{
    uint64_t sum = 0;
    __asm__ volatile(".rept 1000\n\tadd %1, %0\n\t.endr" : "+r"(sum) : "r"(sum + 1)); /* by CHAIN */
}
#elif defined(__aarch64__) && defined(__GNUC__)
#define COUNTER "cntvct_el0"
static uint64_t ticks(void)
{
    uint64_t now;
    __asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(now) : : "memory");
    return now;
}
static void add_in_a_chain(void)
{
    uint64_t sum = 0;
    __asm__ volatile(".rept 1000\n\tadd %0, %0, %1\n\t.endr" : "+r"(sum) : "r"(sum + 1)); /* by CHAIN */
}
#else
#define COUNTER "the clock"
static uint64_t ticks(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}
#define NO_CHAIN 1
#endif

/* What must be one call of a kernel. */
typedef struct call {
    const stdo_kernels *kernels;
    const timed *of;
    stdo_layer layer;
    const void *rows[STDO_MAX_KERNEL];
    void *out;
    size_t stride;
} call;

/* FORMAT.md's taps do not matter to the time but where there is one alone, at scale 1. */
static const stdo_phase one_tap = {0, {0, 128, 0, 0}};
static const stdo_phase four_taps[STDO_MAX_SCALE] = {
    {-1, {-8, 55, 95, -14}}, {0, {-14, 112, 34, -4}}, {0, {-9, 123, 15, -1}}, {0, {-14, 95, 55, -8}},
};

static void make(const call *c)
{
    const stdo_kernels *k = c->kernels;
    const stdo_phase *phase = c->of->scale == 1 ? &one_tap : four_taps;
    const uint32_t scale = c->of->scale;
    switch (c->of->work) {
    case LOAD: k->int8.load((const uint8_t *const *)c->rows, c->of->in, WIDTH, c->out); break;
    case HIDDEN: k->int8.hidden(&c->layer, c->rows, WIDTH, c->out); break;
    case LAST: k->int8.last(&c->layer, c->rows, WIDTH, scale, c->out, c->stride); break;
    case VERTICAL: k->base_vertical((const uint8_t *const *)c->rows, phase, WIDTH, c->out); break;
    case ROW: k->hr_row(c->rows[0], phase, scale, c->rows[1], (size_t)WIDTH * scale, c->out); break;
    case ROW_3_2: k->hr_row_3_2(c->rows[0], four_taps, WIDTH / 2 * 3, c->out); break;
    }
}

/* The least of what `count` calls took in `milliseconds`, in ticks; a NULL call is a chain of additions. */
static double shortest(const call *c, size_t count, unsigned milliseconds)
{
    const clock_t end = clock() + (clock_t)((double)milliseconds * CLOCKS_PER_SEC / 1000);
    double least = 1e300, least_nothing = 1e300;
    do {
        const uint64_t nothing = ticks(), begin = ticks();
        for (size_t i = 0; i < count; i++)
            if (c != NULL) make(c);
#ifndef NO_CHAIN
            else add_in_a_chain();
#endif
        const double taken = (double)(ticks() - begin), took_nothing = (double)(begin - nothing);
        if (taken < least) least = taken;
        if (took_nothing < least_nothing) least_nothing = took_nothing;
    } while (clock() < end);
    return least - least_nothing;
}

/* As many calls as are long beside a tick, which may be 50 nanoseconds. */
static double ticks_of(const call *c, unsigned milliseconds)
{
    size_t count = 1;
    while (count < 1u << 20 && shortest(c, count, 0) < 2000) count *= 2;
    return shortest(c, count, milliseconds) / (double)count;
}

static double ticks_of_a_cycle(unsigned milliseconds)
{
#ifdef NO_CHAIN
    (void)milliseconds;
    return 1;
#else
    return ticks_of(NULL, milliseconds) / CHAIN;
#endif
}

/* ---- The table ---- */

/* What a call reads and writes: as many bytes as the widest pixels take. */
static void set_up(call *c)
{
    const timed *of = c->of;
    enum { ROOM = (WIDTH + STDO_MAX_KERNEL + STDO_SLACK) * STDO_MAX_CHANNELS * 2 + STDO_SLACK_BYTES };
    for (size_t i = 0; i < STDO_MAX_KERNEL; i++) c->rows[i] = block("a row", ROOM, STDO_ALIGNMENT);
    c->stride = (WIDTH + STDO_SLACK) * STDO_MAX_SCALE + STDO_SLACK_VALUES;
    const size_t residual = STDO_MAX_PLANES * STDO_MAX_SCALE * c->stride * sizeof(int16_t);
    c->out = block("what is written", residual > ROOM ? residual : ROOM, STDO_ALIGNMENT);
    if (of->work != HIDDEN && of->work != LAST) return;
    c->layer = natural_layer(INT8, of->side, of->in, of->out, of->work == LAST);
    pack_layer(&c->kernels->int8, &c->layer);
}

static void name_shape(const timed *of, char *text, size_t size)
{
    switch (of->work) {
    case LOAD: snprintf(text, size, "%u planes", of->in); break;
    case HIDDEN: snprintf(text, size, "%ux%u %u to %u", of->side, of->side, of->in, of->out); break;
    case LAST: snprintf(text, size, "%ux%u %u to %u x%u", of->side, of->side, of->in, of->out, of->scale); break;
    case VERTICAL: snprintf(text, size, "%s", of->scale == 1 ? "one tap" : "four taps"); break;
    case ROW: snprintf(text, size, "x%u", of->scale); break;
    case ROW_3_2: snprintf(text, size, "x3/2"); break;
    }
}

static size_t pixels(const timed *of)
{
    return of->work == ROW ? (size_t)WIDTH * of->scale : of->work == ROW_3_2 ? WIDTH / 2 * 3 : WIDTH;
}

int bench(unsigned milliseconds)
{
    const double cycle = ticks_of_a_cycle(20 + milliseconds);
    double plain = 0;
    printf("%d lr pixels a call; the shortest of many; by " COUNTER, WIDTH);
#ifndef NO_CHAIN
    printf(", %.4g of whose ticks are a cycle\n", cycle);
#else
    printf(", so for \"cycles\" read nanoseconds\n");
#endif
    printf("%-14s %-17s %-11s %10s %10s %8s\n", "kernel", "shape", "tier", "cycles", "a pixel", "over c");
    for (int i = 0; i < TIMED; i++)
        for (int tier = 0; tier < STDO_TIERS; tier++) {
            char shape[40], report[1000];
            stdo_kernels kernels;
            if (why_not((stdo_tier_index)tier) != NULL) continue;
            fill_table((stdo_tier_index)tier, &kernels);
            if (list[i].check != NULL && !passes(list[i].check, &kernels, 1, 1, report, sizeof report)) {
                printf("%s of %s FAILED: %s\n", list[i].kernel, kernels.tier, report);
                return 0;
            }
            call c = {.kernels = &kernels, .of = &list[i]};
            set_up(&c);
            const double cycles = ticks_of(&c, milliseconds) / cycle;
            release_blocks(0);
            if (tier == STDO_TIER_C) plain = cycles;
            name_shape(&list[i], shape, sizeof shape);
            printf("%-14s %-17s %-11s %10.0f %10.3f %8.2f\n", list[i].kernel, shape, kernels.tier, cycles,
                   cycles / (double)pixels(&list[i]), plain / cycles);
            fflush(stdout);
        }
    return 1;
}
