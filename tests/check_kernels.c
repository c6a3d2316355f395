/* Checks every kernel of every tier against the plain C ones, wherever it runs.

   check_kernels [--quick]                     all pairs of the list that this CPU runs
   check_kernels [--quick] KERNEL TIER [SEED]  one
   check_kernels --list                        one line each: kernel, tier, and "run" or why not
   check_kernels [--quick] --self-test         whether wrong kernels are caught
   check_kernels --bench [MILLISECONDS]        how long the player's take, each measured for so long (100)
   check_kernels --force avxvnni ...           all this also with avxvnni where CPUID does not tell of it: hypervisors hide
                                               it on CPUs that run it

   Exits with 0, with 1 where something is wrong, and with 2 where it could not run. */
#include "check/check.h"

#include "architecture.h"

#include <stdlib.h>
#include <string.h>

typedef void any_function(void);

typedef struct kernel {
    const char *name;
    check_function *check;
    any_function *(*function)(const stdo_kernels *kernels); /* NULL for what runs several */
} kernel;

#define FUNCTION(name, field) \
    static any_function *name(const stdo_kernels *kernels) { return (any_function *)field; }
FUNCTION(int8_load, conv_of(kernels, INT8)->load)
FUNCTION(int8_hidden, conv_of(kernels, INT8)->hidden)
FUNCTION(int8_last, conv_of(kernels, INT8)->last)
FUNCTION(float32_load, conv_of(kernels, FLOAT32)->load)
FUNCTION(float32_hidden, conv_of(kernels, FLOAT32)->hidden)
FUNCTION(float32_last, conv_of(kernels, FLOAT32)->last)
FUNCTION(base_vertical, kernels->base_vertical)
FUNCTION(hr_row, kernels->hr_row)
FUNCTION(hr_row_3_2, kernels->hr_row_3_2)
#undef FUNCTION

static const kernel list[] = {
    {"int8_load", check_int8_load, int8_load},
    {"int8_hidden", check_int8_hidden, int8_hidden},
    {"int8_last", check_int8_last, int8_last},
    {"float32_load", check_float32_load, float32_load},
    {"float32_hidden", check_float32_hidden, float32_hidden},
    {"float32_last", check_float32_last, float32_last},
    {"base_vertical", check_base_vertical, base_vertical},
    {"hr_row", check_hr_row, hr_row},
    {"hr_row_3_2", check_hr_row_3_2, hr_row_3_2},
    {"int8_frame", check_int8_frame, NULL},
    {"float32_frame", check_float32_frame, NULL},
    {"train_row", check_train_row, NULL},
    {"train_weights", check_train_weights, NULL},
    {"train_input_tiles", check_train_input_tiles, NULL},
    {"train_gradient_tiles", check_train_gradient_tiles, NULL},
    {"train_output_tiles", check_train_output_tiles, NULL},
    {"train_errors", check_train_errors, NULL},
    {"train_net", check_train_net, NULL},
};
enum { KERNELS = sizeof list / sizeof *list };

#if defined(STDO_AVXVNNI)
static const uint32_t built =
    1 << STDO_TIER_C | 1 << STDO_TIER_AVX2 | 1 << STDO_TIER_AVXVNNI | 1 << STDO_TIER_AVX512VNNI;
#elif defined(__x86_64__)
static const uint32_t built = 1 << STDO_TIER_C | 1 << STDO_TIER_AVX2 | 1 << STDO_TIER_AVX512VNNI;
#elif defined(__aarch64__)
static const uint32_t built =
    1 << STDO_TIER_C | 1 << STDO_TIER_NEON | 1 << STDO_TIER_NEON_DOT | 1 << STDO_TIER_NEON_I8MM;
#elif defined(STDO_ARM32)
static const uint32_t built = 1 << STDO_TIER_C | 1 << STDO_TIER_NEON;
#else
static const uint32_t built = 1 << STDO_TIER_C;
#endif

/* avxvnni runs though this CPU does not tell of it: in this program alone, and only where it was told to. */
static int forced;

/* A tier may leave kernels as those below it made them. */
void fill_table(stdo_tier_index tier, stdo_kernels *kernels)
{
    stdo_kernels_init(kernels, (2u << tier) - 1);
#if defined(STDO_AVXVNNI)
    if (forced && tier == STDO_TIER_AVXVNNI) stdo_kernels_avxvnni(kernels);
#endif
}

/* One pixel of a layer: whether this CPU has the instructions. */
static void try_one_pixel(const stdo_kernels *kernels, int quick)
{
    (void)quick;
    const size_t room = (1 + STDO_SLACK) * kernels->int8.pixel_bytes(8) + STDO_SLACK_BYTES;
    const void *const rows[] = {block("a row that is read", room, STDO_ALIGNMENT)};
    void *out = block("the row that is written", room, STDO_ALIGNMENT);
    stdo_layer layer = natural_layer(INT8, 1, 8, 8, 0);
    pack_layer(&kernels->int8, &layer);
    kernels->int8.hidden(&layer, rows, 1, out);
    release_blocks(0);
}

/* NULL if the forced tier runs. */
static const char *why_not_forced(void)
{
    static char reason[200];
    static int tried;
    if (!tried) {
        char report[100];
        stdo_kernels kernels;
        fill_table(STDO_TIER_AVXVNNI, &kernels);
        if (!passes(try_one_pixel, &kernels, 1, 1, report, sizeof report))
            snprintf(reason, sizeof reason, "skip: avxvnni was forced, and met%s", strchr(report, ':') + 1);
        tried = 1;
    }
    return reason[0] == '\0' ? NULL : reason;
}

const char *why_not(stdo_tier_index tier)
{
    static char reason[80];
    if (!(built & 1u << tier)) return "skip: not built for this architecture";
    if (stdo_cpu_tiers() & 1u << tier) return NULL;
    if (forced && tier == STDO_TIER_AVXVNNI && stdo_cpu_tiers() & 1 << STDO_TIER_AVX2) return why_not_forced();
    snprintf(reason, sizeof reason, "skip: this CPU has no %s", stdo_tier_name(tier));
    return reason;
}

/* Why a kernel of a tier does not run here, or NULL if it does: those of floats are of plain C on 32-bit ARM. */
static const char *why_not_kernel(const kernel *k, stdo_tier_index tier)
{
#if defined(STDO_ARM32)
    const int of_floats = strncmp(k->name, "float32", 7) == 0 || strncmp(k->name, "train", 5) == 0;
    if (tier == STDO_TIER_NEON && of_floats) return "skip: plain C on 32-bit ARM";
#endif
    (void)k;
    return why_not(tier);
}

static int run(const kernel *k, stdo_tier_index tier, uint64_t seed, int quick, char *report, size_t size)
{
    stdo_kernels kernels, plain;
    fill_table(tier, &kernels);
    stdo_kernels_c(&plain);
    if (strcmp(kernels.tier, stdo_tier_name(tier)) != 0) {
        snprintf(report, size, "the table is that of %s", kernels.tier);
        return 0;
    }
    if (tier != STDO_TIER_C && k->function != NULL && k->function(&kernels) == k->function(&plain)) {
        snprintf(report, size, "the kernel is the plain one");
        return 0;
    }
    return passes(k->check, &kernels, seed, quick, report, size);
}

static int run_and_say(const kernel *k, stdo_tier_index tier, uint64_t seed, int quick)
{
    char report[1000];
    const int ok = run(k, tier, seed, quick, report, sizeof report);
    printf("%-14s %-11s ", k->name, stdo_tier_name(tier));
    if (ok)
        printf("ok\n");
    else
        printf("FAILED seed %llu, %s\n", (unsigned long long)seed, report);
    fflush(stdout);
    return ok;
}

static int for_all(int run_them, int quick)
{
    int ok = 1;
    for (int tier = 0; tier < STDO_TIERS; tier++)
        for (int i = 0; i < KERNELS; i++) {
            const char *reason = why_not_kernel(&list[i], (stdo_tier_index)tier);
            if (run_them && reason == NULL)
                ok = run_and_say(&list[i], (stdo_tier_index)tier, 1, quick) && ok;
            else
                printf("%-14s %-11s %s\n", list[i].name, stdo_tier_name((stdo_tier_index)tier), reason ? reason : "run");
        }
    return ok;
}

int main(int count, char **words)
{
    int at = 1, quick = 0;
    if (at + 1 < count && strcmp(words[at], "--force") == 0 && strcmp(words[at + 1], "avxvnni") == 0) {
        forced = 1;
        at += 2;
    }
    if (at < count && strcmp(words[at], "--quick") == 0) quick = at++;
    if (at == count) return !for_all(1, quick);
    if (strcmp(words[at], "--list") == 0) return !for_all(0, 0);
    if (strcmp(words[at], "--self-test") == 0) return !self_test(quick);
    if (strcmp(words[at], "--bench") == 0) return !bench(at + 1 < count ? (unsigned)strtoul(words[at + 1], NULL, 10) : 100);
    for (int i = 0; i < KERNELS && at + 1 < count; i++)
        for (int tier = 0; tier < STDO_TIERS; tier++)
            if (strcmp(words[at], list[i].name) == 0 && strcmp(words[at + 1], stdo_tier_name((stdo_tier_index)tier)) == 0) {
                const char *reason = why_not_kernel(&list[i], (stdo_tier_index)tier);
                if (reason != NULL) {
                    printf("%s\n", reason);
                    return 2;
                }
                return !run_and_say(&list[i], (stdo_tier_index)tier, at + 2 < count ? strtoull(words[at + 2], NULL, 10) : 1,
                                    quick);
            }
    fprintf(stderr, "usage: check_kernels [--force avxvnni] [--quick] [--list | --self-test | --bench [MILLISECONDS] | KERNEL TIER [SEED]]\n");
    return 2;
}
