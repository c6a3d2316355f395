/* Memory in which a kernel cannot go astray unseen, random numbers, and reports. */
#define _GNU_SOURCE /* MAP_ANONYMOUS, sigsetjmp */
#include "check.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifdef SANITIZED
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(bytes, size) ((void)(bytes), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(bytes, size) ((void)(bytes), (void)(size))
#endif

enum { MAX_BLOCKS = 128, MAX_GUARDS = 1024, BEFORE = 256, PAGE = 1 << 16 }; /* no system has greater pages */

/* Pages with one that must not be touched on either side. The block ends as near to the upper one as its alignment
   lets. */
typedef struct arena {
    uint8_t *memory;
    size_t capacity;
    const char *name;
    uint8_t *begin, *end;
    size_t guards; /* that were set before this block */
} arena;

typedef struct guarded {
    uint8_t *bytes;
    size_t size;
    const char *name;
} guarded;

static arena arenas[MAX_BLOCKS];
static guarded guards[MAX_GUARDS];
static size_t blocks, guard_count;
static uint64_t state;
static char shape[300], *report_to;
static size_t report_size;
static sigjmp_buf escape;

/* ---- Random numbers: splitmix64 ---- */

static uint64_t random64(void)
{
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint32_t random_bits(void) { return (uint32_t)(random64() >> 32); }
uint32_t random_below(uint32_t limit) { return (uint32_t)(((uint64_t)random_bits() * limit) >> 32); }
int32_t random_between(int32_t low, int32_t high) { return low + (int32_t)random_below((uint32_t)(high - low) + 1); }
double random_unit(void) { return random_bits() / 4294967296.0; }

/* ---- Reports ---- */

void describe(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(shape, sizeof shape, format, arguments);
    va_end(arguments);
}

#ifdef SANITIZED
void __asan_on_error(void) { fprintf(stderr, "%s\n", shape); }
#endif

_Noreturn void fail(const char *format, ...)
{
    const int length = snprintf(report_to, report_size, "%s: ", shape);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(report_to + length, report_size - (size_t)length, format, arguments);
    va_end(arguments);
    siglongjmp(escape, 1);
}

static void on_fault(int signal_number, siginfo_t *info, void *context)
{
    (void)context;
    if (signal_number == SIGILL) fail("an instruction that this CPU does not have");
    const uint8_t *at = info->si_addr;
    for (size_t i = 0; i < blocks; i++) {
        const arena *a = &arenas[i];
        if (at >= a->memory && at < a->memory + a->capacity + 2 * (size_t)PAGE)
            fail("touched %s at byte %td of %td", a->name, at - a->begin, a->end - a->begin);
    }
    fail("touched memory at %p, far from all blocks", info->si_addr);
}

int passes(check_function *check, const stdo_kernels *kernels, uint64_t seed, int quick, char *report, size_t size)
{
#ifndef SANITIZED /* which reports faults itself */
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGILL, &action, NULL);
#else
    (void)on_fault;
#endif
    state = seed;
    report_to = report;
    report_size = size;
    report[0] = shape[0] = '\0';
    if (sigsetjmp(escape, 1) == 0) {
        check(kernels, quick);
        if (blocks != 0) fail("%zu blocks were not released", blocks);
        return 1;
    }
    for (size_t i = 0; i < guard_count; i++) ASAN_UNPOISON_MEMORY_REGION(guards[i].bytes, guards[i].size);
    blocks = guard_count = 0;
    return 0;
}

/* ---- Blocks ---- */

static void garbage(uint8_t *bytes, size_t size)
{
    /* As floats: all kinds, NaN, 0. As bytes: all, 255, 0. */
    const uint32_t kind = random_below(4);
    const uint64_t keep = kind == 0 ? 0 : ~(uint64_t)0, set = kind == 1 ? ~(uint64_t)0 : 0;
    for (size_t i = 0; i < size; i += 8) {
        const uint64_t value = (random64() & keep) | set;
        memcpy(bytes + i, &value, size - i < 8 ? size - i : 8);
    }
}

static uint8_t canary(const uint8_t *at) { return (uint8_t)((uintptr_t)at * 37 + 101); }

static void guard_as(const char *name, uint8_t *bytes, size_t size)
{
    if (size == 0) return;
    if (guard_count == MAX_GUARDS) fail("the test has too many guards");
    for (size_t i = 0; i < size; i++) bytes[i] = canary(bytes + i);
    ASAN_POISON_MEMORY_REGION(bytes, size);
    guards[guard_count++] = (guarded){bytes, size, name};
}

void guard(void *bytes, size_t size) { guard_as(arenas[blocks - 1].name, bytes, size); }

void *block(const char *name, size_t size, size_t alignment)
{
    if (blocks == MAX_BLOCKS) fail("the test has too many blocks");
    arena *a = &arenas[blocks];
    const size_t capacity = (size + BEFORE + alignment + PAGE - 1) / PAGE * PAGE;
    if (a->capacity < capacity) {
        if (a->memory != NULL) munmap(a->memory, a->capacity + 2 * (size_t)PAGE);
        a->memory = mmap(NULL, capacity + 2 * (size_t)PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (a->memory == MAP_FAILED || mprotect(a->memory + PAGE, capacity, PROT_READ | PROT_WRITE) != 0) abort();
        a->capacity = capacity;
    }
    uint8_t *top = a->memory + PAGE + a->capacity;
    a->begin = top - (size + alignment - 1) / alignment * alignment;
    a->end = a->begin + size;
    a->name = name;
    a->guards = guard_count;
    garbage(a->begin, size);
    guard_as(name, a->begin - BEFORE, BEFORE);
    guard_as(name, a->end, (size_t)(top - a->end));
    blocks++;
    return a->begin;
}

size_t blocks_in_use(void) { return blocks; }

void release_blocks(size_t mark)
{
    while (blocks > mark) {
        const arena *a = &arenas[blocks - 1];
        for (size_t g = a->guards; g < guard_count; g++) {
            ASAN_UNPOISON_MEMORY_REGION(guards[g].bytes, guards[g].size);
            for (size_t i = 0; i < guards[g].size; i++)
                if (guards[g].bytes[i] != canary(guards[g].bytes + i))
                    fail("wrote to %s at byte %td of %td", a->name, guards[g].bytes + i - a->begin, a->end - a->begin);
        }
        guard_count = a->guards;
        blocks--;
    }
}
