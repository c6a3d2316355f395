/* Every kernel of every tier against the plain one. `check_kernels --list` names the pairs, `check_kernels KERNEL TIER
   [SEED]` checks one, `check_kernels` all that can run; --quick thins the shapes, and --self-test proves that wrong kernels
   are found.

   Rows have exactly the room that kernels.h promises, full of noise, and a guard behind it. What a caller owns, lr rows
   and hr rows, are blocks of their own of the exact size (a sanitizer sees the first byte beyond) or have guards on both
   sides. */
#include "net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 96, GUARD_BYTE = 0xa5 };

static uint64_t state;
static int quick;
static char shape_text[256]; /* of the case that runs, for the report */

static uint32_t noise(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

static int32_t between(int32_t low, int32_t high) { return low + (int32_t)(noise() % (uint32_t)(high - low + 1)); }

static void fill(void *memory, size_t size)
{
    for (size_t i = 0; i < size; i++) ((uint8_t *)memory)[i] = (uint8_t)noise();
}

/* ---- Memory with a guard behind it ---- */

typedef struct row {
    uint8_t *at;
    size_t size;
} row;

static row new_row(size_t size)
{
    row r = {aligned_alloc(STDO_ALIGNMENT, (size + GUARD + STDO_ALIGNMENT - 1) / STDO_ALIGNMENT * STDO_ALIGNMENT), size};
    if (r.at == NULL) abort();
    fill(r.at, size);
    memset(r.at + size, GUARD_BYTE, GUARD);
    return r;
}

static row activations(const stdo_conv *conv, uint32_t channels, size_t width)
{
    return new_row((width + STDO_SLACK) * conv->pixel_bytes(channels) + STDO_SLACK_BYTES);
}

/* Frees it; returns whether the guard was untouched. */
static int end_row(row r)
{
    int ok = 1;
    for (size_t i = 0; i < GUARD; i++) ok &= r.at[r.size + i] == GUARD_BYTE;
    free(r.at);
    if (!ok) printf("%s: wrote beyond a row\n", shape_text);
    return ok;
}

static int same(const void *found, const void *expected, size_t size, const char *what)
{
    const uint8_t *f = found, *e = expected;
    for (size_t i = 0; i < size; i++)
        if (f[i] != e[i]) {
            printf("%s: %s differ at byte %zu of %zu: %d, expected %d\n", shape_text, what, i, size, f[i], e[i]);
            return 0;
        }
    return 1;
}

/* ---- Layers ---- */

enum operands { RANDOM, LOW_WEIGHTS, HIGH_WEIGHTS, ALTERNATING, OPERAND_KINDS };

typedef struct layer_memory {
    stdo_layer layer;
    int32_t multiplier[STDO_MAX_CHANNELS], bias[STDO_MAX_CHANNELS];
    float float_bias[STDO_MAX_CHANNELS];
    int8_t weight[STDO_MAX_KERNEL * STDO_MAX_KERNEL * STDO_MAX_CHANNELS * STDO_MAX_CHANNELS];
    float float_weight[STDO_MAX_KERNEL * STDO_MAX_KERNEL * STDO_MAX_CHANNELS * STDO_MAX_CHANNELS];
} layer_memory;

static void make_layer(layer_memory *m, int is_float, uint32_t kernel, uint32_t in, uint32_t out, enum operands operands)
{
    const size_t count = (size_t)kernel * kernel * in * out;
    uint32_t bits = 0;
    while (kernel * kernel * in >> 2 * bits) bits++;
    m->layer = (stdo_layer){.kernel = kernel, .in = in, .out = out, .multiplier = m->multiplier};
    m->layer.shift = operands == RANDOM ? (noise() % 8 == 0 ? noise() % 25 : bits) : noise() % 25;
    m->layer.weight = is_float ? (void *)m->float_weight : (void *)m->weight;
    m->layer.bias = is_float ? (void *)m->float_bias : (void *)m->bias;
    for (size_t i = 0; i < count; i++) {
        m->weight[i] = (int8_t)(operands == RANDOM ? between(-128, 127) : operands == LOW_WEIGHTS ? -128 :
                                operands == HIGH_WEIGHTS ? 127 : i % 2 ? -128 : 127);
        m->float_weight[i] = (float)between(-1000, 1000) / (float)(300 << bits);
    }
    for (uint32_t o = 0; o < out; o++) {
        m->multiplier[o] = noise() % 4 == 0 ? (noise() % 2 ? 1 : 32767) : between(1, operands == RANDOM ? 2000 : 32767);
        m->bias[o] = operands == RANDOM || noise() % 2 ? between(-20000, 20000) : noise() % 2 ? 1 << 30 : -(1 << 30);
        m->float_bias[o] = (float)between(-1000, 1000) / 100;
    }
}

/* A 1x1 layer that hands out channels first.. unchanged as residuals. */
static void make_reveal(layer_memory *m, uint32_t in, uint32_t out, uint32_t first)
{
    make_layer(m, 0, 1, in, out, RANDOM);
    memset(m->weight, 0, in * out);
    for (uint32_t o = 0; o < out && first + o < in; o++) m->weight[o * in + first + o] = 1;
    for (uint32_t o = 0; o < out; o++) {
        m->multiplier[o] = 32767;
        m->bias[o] = 0;
    }
    m->layer.shift = 0;
}

static row pack(const stdo_conv *conv, stdo_layer *layer)
{
    row packed = new_row(conv->packed_bytes(layer));
    conv->pack(layer, packed.at);
    layer->packed = packed.at;
    return packed;
}

/* ---- What is compared ---- */

typedef struct chain {
    uint32_t planes, scale, kernel, in, out, first; /* load, 1x1 layer to `in` channels, the layer itself, reveal */
    size_t width;
    int is_float, is_last;
    uint8_t *lr[STDO_MAX_KERNEL][STDO_MAX_PLANES];
    layer_memory *spread, *layer, *reveal;
} chain;

static size_t residual_stride(const chain *c) { return (c->width + STDO_SLACK) * c->scale + STDO_SLACK_BYTES / 2; }

/* Runs a chain; writes its residuals, planes * scale rows of width * scale, side by side. */
static int run_chain(const stdo_conv *conv, const chain *c, int16_t *result)
{
    const size_t in_width = c->width + c->kernel - 1, stride = residual_stride(c);
    const void *rows[STDO_MAX_KERNEL];
    row in[STDO_MAX_KERNEL], spread_packed = pack(conv, &c->spread->layer), packed = pack(conv, &c->layer->layer);
    int ok = 1;
    for (uint32_t k = 0; k < c->kernel; k++) {
        row loaded = activations(conv, c->planes, in_width);
        in[k] = activations(conv, c->in, in_width);
        conv->load((const uint8_t *const *)c->lr[k], c->planes, in_width, loaded.at);
        const void *one[1] = {loaded.at};
        conv->hidden(&c->spread->layer, one, in_width, in[k].at);
        ok &= end_row(loaded);
        rows[k] = in[k].at;
    }
    row residual = new_row(c->planes * c->scale * stride * sizeof(int16_t));
    if (c->is_last) {
        conv->last(&c->layer->layer, rows, c->width, c->scale, (int16_t *)(void *)residual.at, stride);
    } else {
        row reveal_packed = pack(conv, &c->reveal->layer), out = activations(conv, c->out, c->width);
        conv->hidden(&c->layer->layer, rows, c->width, out.at);
        if (c->is_float) { /* no residual is fine enough to show a float: they are compared themselves */
            memcpy(result, out.at, c->width * c->out * sizeof(float));
        } else {
            const void *one[1] = {out.at};
            conv->last(&c->reveal->layer, one, c->width, c->scale, (int16_t *)(void *)residual.at, stride);
        }
        ok &= end_row(out) & end_row(reveal_packed);
    }
    if (c->is_last || !c->is_float)
        for (size_t y = 0; y < c->planes * c->scale; y++)
            memcpy(result + y * c->width * c->scale, (int16_t *)(void *)residual.at + y * stride,
                   c->width * c->scale * sizeof(int16_t));
    for (uint32_t k = 0; k < c->kernel; k++) ok &= end_row(in[k]);
    return ok & end_row(residual) & end_row(spread_packed) & end_row(packed);
}

static int check_chain(const stdo_conv *conv, const stdo_conv *plain, chain *c, enum operands operands)
{
    static layer_memory spread, layer, reveal;
    static int16_t found[1 << 17], expected[1 << 17];
    const uint32_t outs = c->planes * c->scale * c->scale;
    if (c->is_last) c->out = outs;
    snprintf(shape_text, sizeof shape_text, "%s %ux%u %u->%u, width %zu, scale %u, %u planes, operands %d, channels from %u",
             c->is_float ? "float" : "int8", c->kernel, c->kernel, c->in, c->out, c->width, c->scale, c->planes,
             (int)operands, c->first);
    make_layer(&spread, c->is_float, 1, c->planes, c->in, operands == RANDOM ? RANDOM : HIGH_WEIGHTS);
    if (operands != RANDOM) /* all activations 255, or all 0 */
        for (uint32_t o = 0; o < c->in; o++) spread.bias[o] = noise() % 8 ? 1 << 30 : -(1 << 30);
    make_layer(&layer, c->is_float, c->kernel, c->in, c->out, operands);
    make_reveal(&reveal, c->out, outs, c->first);
    c->spread = &spread;
    c->layer = &layer;
    c->reveal = &reveal;
    for (uint32_t k = 0; k < c->kernel; k++)
        for (uint32_t p = 0; p < c->planes; p++) {
            c->lr[k][p] = malloc(c->width + c->kernel - 1);
            if (c->lr[k][p] == NULL) abort();
            fill(c->lr[k][p], c->width + c->kernel - 1);
        }
    const int ok = run_chain(plain, c, expected) & run_chain(conv, c, found);
    for (uint32_t k = 0; k < c->kernel; k++)
        for (uint32_t p = 0; p < c->planes; p++) free(c->lr[k][p]);
    const size_t size = c->is_last || !c->is_float ? outs * c->width * sizeof(int16_t) : c->width * c->out * sizeof(float);
    return ok && same(found, expected, size, c->is_last ? "residuals" : "activations");
}

static const uint32_t channel_list[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 15, 16, 17,
                                        18, 20, 23, 24, 28, 31, 32, 33, 36, 40, 47, 48, 49, 63, 64};
static const size_t width_list[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16, 17, 23, 24, 25, 31, 32, 33, 47, 53, 96, 121};
enum { CHANNELS = sizeof channel_list / sizeof *channel_list, WIDTHS = sizeof width_list / sizeof *width_list };

static int check_layers(const stdo_kernels *k, const stdo_kernels *plain, int is_float, int is_last)
{
    const stdo_conv *conv = is_float ? &k->float32 : &k->int8, *c_conv = is_float ? &plain->float32 : &plain->int8;
    const int rounds = quick ? 150 : is_float ? 700 : 2500;
    for (int i = 0; i < rounds; i++) {
        chain c = {.planes = noise() % 4 ? 1 : 3, .scale = 1 + noise() % 4, .is_float = is_float, .is_last = is_last};
        c.kernel = (const uint32_t[]){1, 3, 3, 5, 7, 9}[noise() % 6];
        c.in = channel_list[(uint32_t)i < CHANNELS ? (uint32_t)i : noise() % CHANNELS];
        c.out = channel_list[(uint32_t)i < CHANNELS ? CHANNELS - 1 - (uint32_t)i : noise() % CHANNELS];
        c.width = width_list[noise() % WIDTHS];
        if (i == rounds - 1) c = (chain){3, 4, 9, 64, 48, 0, 16, is_float, is_last, {{0}}, NULL, NULL, NULL};
        /* The first layer of a net has as many channels as planes and no layer before it. */
        if (i % 5 == 0) c.in = c.planes;
        const enum operands operands = is_float || i % 3 ? RANDOM : (enum operands)((uint32_t)i / 3 % OPERAND_KINDS);
        c.first = is_last || is_float ? 0 : noise() % c.out;
        if (!check_chain(conv, c_conv, &c, operands)) return 0;
    }
    return 1;
}

static int check_load(const stdo_kernels *k, const stdo_kernels *plain, int is_float)
{
    for (int i = 0; i < (quick ? 50 : 300); i++) {
        chain c = {.planes = i % 2 ? 1 : 3, .scale = 2, .kernel = 1, .is_float = is_float, .is_last = 1};
        c.in = 1 + noise() % 8;
        c.width = width_list[(uint32_t)i % WIDTHS];
        if (!check_chain(is_float ? &k->float32 : &k->int8, is_float ? &plain->float32 : &plain->int8, &c, RANDOM)) return 0;
    }
    return 1;
}

static void extremes(uint8_t *memory, size_t size)
{
    fill(memory, size);
    if (noise() % 2)
        for (size_t i = 0; i < size; i++) memory[i] = memory[i] & 1 ? 255 : 0;
}

static int check_base_vertical(const stdo_kernels *k, const stdo_kernels *plain)
{
    for (int i = 0; i < (quick ? 300 : 3000); i++) {
        const size_t width = width_list[noise() % WIDTHS];
        const uint32_t scale = 1 + noise() % 4;
        const stdo_phase *phase = &stdo_phases[noise() % 2][scale - 1][noise() % scale];
        uint8_t *lr[4];
        for (int j = 0; j < 4; j++) {
            if ((lr[j] = malloc(width)) == NULL) abort();
            extremes(lr[j], width);
        }
        row found = new_row((width + STDO_SLACK) * sizeof(int16_t) + STDO_SLACK_BYTES), expected = new_row(found.size);
        snprintf(shape_text, sizeof shape_text, "base_vertical, width %zu", width);
        k->base_vertical((const uint8_t *const *)lr, phase, width, (int16_t *)(void *)found.at);
        plain->base_vertical((const uint8_t *const *)lr, phase, width, (int16_t *)(void *)expected.at);
        const int ok = same(found.at, expected.at, width * sizeof(int16_t), "values") & end_row(expected);
        for (int j = 0; j < 4; j++) free(lr[j]);
        if (!(end_row(found) & ok)) return 0;
    }
    return 1;
}

static int check_hr_row(const stdo_kernels *k, const stdo_kernels *plain)
{
    for (int i = 0; i < (quick ? 300 : 4000); i++) {
        const uint32_t scale = 1 + noise() % 4, side = noise() % 2;
        const size_t lr_width = width_list[noise() % WIDTHS], width = lr_width * scale - noise() % scale;
        const size_t room = lr_width + 4 + STDO_SLACK + STDO_SLACK_BYTES / 2;
        row v = new_row(room * sizeof(int16_t)), residual = new_row((lr_width + STDO_SLACK) * scale * 2 + STDO_SLACK_BYTES);
        uint8_t *lr[4];
        for (int j = 0; j < 4; j++) {
            if ((lr[j] = malloc(room)) == NULL) abort();
            extremes(lr[j], room);
        }
        plain->base_vertical((const uint8_t *const *)lr, &stdo_phases[0][scale - 1][noise() % scale], room,
                             (int16_t *)(void *)v.at);
        const size_t before = GUARD / 2 + noise() % 32;
        row hr = new_row(before + width + GUARD), expected = new_row(width);
        memset(hr.at, GUARD_BYTE, hr.size);
        const int16_t *more = noise() % 3 ? (const int16_t *)(const void *)residual.at : NULL;
        snprintf(shape_text, sizeof shape_text, "hr_row, scale %u, width %zu, %s residual", scale, width, more ? "with" : "no");
        k->hr_row((const int16_t *)(const void *)v.at, stdo_phases[side][scale - 1], scale, more, width, hr.at + before);
        plain->hr_row((const int16_t *)(const void *)v.at, stdo_phases[side][scale - 1], scale, more, width, expected.at);
        int ok = same(hr.at + before, expected.at, width, "pixels");
        for (size_t j = 0; j < hr.size; j++)
            if ((j < before || j >= before + width) && hr.at[j] != GUARD_BYTE) ok = 0;
        if (!ok) printf("%s: wrong, or wrote beside the hr row\n", shape_text);
        for (int j = 0; j < 4; j++) free(lr[j]);
        if (!(ok & end_row(v) & end_row(residual) & end_row(hr) & end_row(expected))) return 0;
    }
    return 1;
}

/* A net over a whole plane with the plain kernels, and cut into tiles with the tier's. */
static int check_net(const stdo_kernels *k, const stdo_kernels *plain)
{
    static layer_memory memory[4];
    for (int i = 0; i < (quick ? 10 : 80); i++) {
        const uint32_t width = 8 + noise() % 60, height = 8 + noise() % 30, scale = 1 + noise() % 4, tile = 8 + noise() % 20;
        const uint32_t layers = 1 + noise() % 4;
        uint8_t *lr = malloc(width * height), *hr[2];
        if (lr == NULL) abort();
        extremes(lr, width * height);
        snprintf(shape_text, sizeof shape_text, "net of %u layers, %ux%u at scale %u in tiles of %u", layers, width, height,
                 scale, tile);
        for (uint32_t l = 0; l < layers; l++)
            make_layer(&memory[l], 0, 1 + 2 * (noise() % 3), l == 0 ? 1 : memory[l - 1].layer.out,
                       l + 1 == layers ? scale * scale : channel_list[noise() % CHANNELS], RANDOM);
        for (int which = 0; which < 2; which++) {
            const stdo_kernels *kernels = which ? k : plain;
            const uint32_t step = which ? tile : 128;
            stdo_layer layer[4];
            row packed[4];
            for (uint32_t l = 0; l < layers; l++) {
                packed[l] = pack(&kernels->int8, &memory[l].layer);
                layer[l] = memory[l].layer;
            }
            stdo_net net = {.layers = layers, .layer = layer};
            stdo_net_measure(&net, &kernels->int8, 128);
            row room = new_row(stdo_net_room(&net, &kernels->int8, 1, scale, width)), v = new_row(2 * stdo_base_room(width));
            if ((hr[which] = malloc(width * height * scale * scale)) == NULL) abort();
            const stdo_plane plane = {lr, hr[which], width, (ptrdiff_t)(width * scale), width, height, width * scale,
                                      height * scale};
            for (uint32_t y = 0; y < height; y += step)
                for (uint32_t x = 0; x < width; x += step) {
                    const stdo_rect r = {x, y, x + step < width ? x + step : width, y + step < height ? y + step : height};
                    stdo_net_run(&net, kernels, &kernels->int8, &plane, 1, &r, scale, (int16_t *)(void *)v.at, room.at);
                }
            for (uint32_t l = 0; l < layers; l++)
                if (!end_row(packed[l])) return 0;
            if (!(end_row(room) & end_row(v))) return 0;
        }
        const int ok = same(hr[1], hr[0], width * height * scale * scale, "pixels");
        free(lr);
        free(hr[0]);
        free(hr[1]);
        if (!ok) return 0;
    }
    return 1;
}

/* ---- The list ---- */

typedef int check(const stdo_kernels *k, const stdo_kernels *plain);
static int int8_load(const stdo_kernels *k, const stdo_kernels *plain) { return check_load(k, plain, 0); }
static int int8_hidden(const stdo_kernels *k, const stdo_kernels *plain) { return check_layers(k, plain, 0, 0); }
static int int8_last(const stdo_kernels *k, const stdo_kernels *plain) { return check_layers(k, plain, 0, 1); }
static int float_load(const stdo_kernels *k, const stdo_kernels *plain) { return check_load(k, plain, 1); }
static int float_hidden(const stdo_kernels *k, const stdo_kernels *plain) { return check_layers(k, plain, 1, 0); }
static int float_last(const stdo_kernels *k, const stdo_kernels *plain) { return check_layers(k, plain, 1, 1); }

static const struct kernel {
    const char *name;
    check *check;
} kernels[] = {{"int8_load", int8_load},           {"int8_hidden", int8_hidden},     {"int8_last", int8_last},
               {"float_load", float_load},         {"float_hidden", float_hidden},   {"float_last", float_last},
               {"base_vertical", check_base_vertical}, {"hr_row", check_hr_row},     {"net", check_net}};
enum { KERNELS = sizeof kernels / sizeof *kernels };

/* Whether the tier's kernel is another function than the plain one: else the comparison would say nothing. */
static int is_its_own(const char *name, const stdo_kernels *k, const stdo_kernels *plain)
{
    const struct {
        const char *name;
        int differs;
    } known[] = {{"int8_load", k->int8.load != plain->int8.load},
                 {"int8_hidden", k->int8.hidden != plain->int8.hidden},
                 {"int8_last", k->int8.last != plain->int8.last},
                 {"float_load", k->float32.load != plain->float32.load},
                 {"float_hidden", k->float32.hidden != plain->float32.hidden},
                 {"float_last", k->float32.last != plain->float32.last},
                 {"base_vertical", k->base_vertical != plain->base_vertical},
                 {"hr_row", k->hr_row != plain->hr_row}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(name, known[i].name) == 0) return known[i].differs;
    return 1;
}

static const char *skipped(stdo_tier_index tier)
{
    if (stdo_cpu_tiers() & 1u << tier) return NULL;
#if defined(__x86_64__)
    if (tier >= STDO_TIER_NEON) return "skip: not built for this architecture";
#elif defined(__aarch64__)
    if (tier < STDO_TIER_NEON) return "skip: not built for this architecture";
#else
    return "skip: not built for this architecture";
#endif
    return "skip: this CPU has not the instructions";
}

static int run_one(const struct kernel *kernel, stdo_tier_index tier, uint64_t seed)
{
    stdo_kernels plain, k;
    stdo_kernels_init(&plain, 1u << STDO_TIER_C);
    stdo_kernels_init(&k, (2u << tier) - 1); /* with the tiers below it, as it is used */
    if (strcmp(k.tier, stdo_tier_name(tier)) != 0 || (tier > 0 && !is_its_own(kernel->name, &k, &plain))) {
        printf("%s: the table of %s has the plain kernel\n", kernel->name, stdo_tier_name(tier));
        return 0;
    }
    state = seed;
    const int ok = kernel->check(&k, &plain);
    if (!ok) printf("FAILED %s %s, seed %llu\n", kernel->name, stdo_tier_name(tier), (unsigned long long)seed);
    return ok;
}

/* ---- Wrong kernels, which must be found ---- */

static stdo_kernels right;

static void last_pixel_missing(const stdo_layer *layer, const void *const rows[], size_t width, void *out)
{
    right.int8.hidden(layer, rows, width - 1, out);
}

static void one_value_off(const stdo_layer *layer, const void *const rows[], size_t width, uint32_t scale, int16_t *residual,
                          size_t stride)
{
    right.int8.last(layer, rows, width, scale, residual, stride);
    residual[(width - 1) * scale] ^= 1;
}

static void row_overrun(const stdo_layer *layer, const void *const rows[], size_t width, void *out)
{
    right.int8.hidden(layer, rows, width, out);
    ((uint8_t *)out)[(width + STDO_SLACK) * right.int8.pixel_bytes(layer->out) + STDO_SLACK_BYTES] = 0;
}

static void reads_slack(const stdo_layer *layer, const void *const rows[], size_t width, void *out)
{
    right.int8.hidden(layer, rows, width, out);
    ((uint8_t *)out)[0] ^= ((const uint8_t *)rows[0])[(width + layer->kernel - 1 + 4) * right.int8.pixel_bytes(layer->in)];
}

static void hr_overrun(const int16_t *v, const stdo_phase *phase, uint32_t scale, const int16_t *residual, size_t width,
                       uint8_t *hr)
{
    right.hr_row(v, phase, scale, residual, width, hr);
    hr[width] = 0;
}

static int self_test(void)
{
    stdo_kernels_init(&right, 1u << STDO_TIER_C);
    stdo_kernels wrong[5] = {right, right, right, right, right};
    wrong[0].int8.hidden = last_pixel_missing;
    wrong[1].int8.last = one_value_off;
    wrong[2].int8.hidden = row_overrun;
    wrong[3].int8.hidden = reads_slack;
    wrong[4].hr_row = hr_overrun;
    check *const checks[5] = {int8_hidden, int8_last, int8_hidden, int8_hidden, check_hr_row};
    for (int i = 0; i < 5; i++) {
        state = 1;
        if (!checks[i](&right, &right)) return 1;
        state = 1;
        if (checks[i](&wrong[i], &right)) {
            printf("wrong kernel %d was not found\n", i);
            return 1;
        }
    }
    printf("5 wrong kernels found\n");
    return 0;
}

int main(int count, char **arguments)
{
    int ok = 1, at = 1;
    if (at < count && strcmp(arguments[at], "--quick") == 0) quick = at++;
    if (at < count && strcmp(arguments[at], "--self-test") == 0) return self_test();
    const int list = at < count && strcmp(arguments[at], "--list") == 0;
    const char *kernel = !list && at < count ? arguments[at] : NULL, *tier = kernel && at + 1 < count ? arguments[at + 1] : NULL;
    const uint64_t seed = tier && at + 2 < count ? strtoull(arguments[at + 2], NULL, 10) : 1;
    int ran = 0;
    for (size_t i = 0; i < KERNELS; i++)
        for (int t = 0; t < STDO_TIERS; t++) {
            const char *name = stdo_tier_name((stdo_tier_index)t), *skip = skipped((stdo_tier_index)t);
            if ((kernel && strcmp(kernel, kernels[i].name) != 0) || (tier && strcmp(tier, name) != 0)) continue;
            const int passed = list || skip || run_one(&kernels[i], (stdo_tier_index)t, seed);
            printf("%s %s %s\n", kernels[i].name, name, skip ? skip : list ? "run" : passed ? "ok" : "FAILED");
            ok &= passed;
            ran++;
        }
    return ok && ran > 0 ? 0 : 1;
}
