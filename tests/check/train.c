/* Training's inner loops, and a whole net forward and backward in the memory that train.h says it needs. */
#include "check.h"

#include <string.h>

enum { BLOCK = STDO_TRAIN_BLOCK, MOST_WIDTH = 40, WIDTHS = 30 };

const stdo_train_kernels *train_override;

/* The table of a tier, which is not the plain one unless the tier is. */
static const stdo_train_kernels *of_tier(const stdo_kernels *kernels)
{
    const stdo_train_kernels *found = stdo_train_best(kernels->tier);
    if (train_override != NULL) return train_override;
    if (found == NULL || (found == &stdo_train_c) != (strcmp(kernels->tier, "c") == 0)) fail("the kernels are the plain ones");
    return found;
}

/* Floats of all sizes that occur, zeros of both signs among them. */
static float *floats(const char *name, size_t count)
{
    float *values = block(name, count * sizeof(float), sizeof(float));
    const uint32_t kind = random_below(4);
    for (size_t i = 0; i < count; i++) {
        const float value = (float)(2 * random_unit() - 1);
        values[i] = kind == 0 || random_below(4) ? value : kind == 1 ? 0 : kind == 2 ? -0.0f : value * 1e20f;
    }
    return values;
}

static void compare(const char *what, const float *expected, const float *found, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(&expected[i], &found[i], sizeof *expected) != 0)
            fail("%s %zu: expected %a, found %a", what, i, (double)expected[i], (double)found[i]);
}

static size_t channel_blocks(size_t channels) { return (channels + BLOCK - 1) / BLOCK; }
static uint32_t a_kernel(void) { return 1 + 2 * random_below(3); }

void check_train_row(const stdo_kernels *kernels, int quick)
{
    const stdo_train_kernels *tables[2] = {&stdo_train_c, of_tier(kernels)};
    for (size_t i = 0; i < (quick ? 120 : 1500); i++) {
        const uint32_t k = a_kernel(), columns = a_kernel(), dense = random_below(3) == 0;
        stdo_train_row r = {.kernel = k, .columns = columns, .width = 1 + i % MOST_WIDTH, .relu = random_below(2)};
        r.channels = 1 + random_below(dense ? BLOCK : STDO_MAX_CHANNELS);
        r.in_pixel = dense ? r.channels : BLOCK;
        r.in_row = (r.width + columns - 1) * r.in_pixel + random_below(20);
        r.first = random_below(k);
        r.rows = 1 + random_below(k - (uint32_t)r.first);
        r.in_block = (r.rows - 1) * r.in_row + (r.width + columns - 1) * r.in_pixel;
        describe("case %zu: width %zu, kernel %ux%u, rows %zu to %zu, %zu channels%s, relu %u", i, r.width, k, columns, r.first,
                 r.first + r.rows, r.channels, dense ? ", dense" : "", r.relu);
        r.in = floats("in", channel_blocks(r.channels) * r.in_block);
        r.weight = floats("weight", (size_t)k * columns * r.channels * BLOCK);
        r.start = floats("start", BLOCK);
        r.mask = random_below(2) ? floats("mask", r.width * BLOCK) : NULL;
        float *out[2];
        for (int t = 0; t < 2; t++) {
            r.out = out[t] = block("out", r.width * BLOCK * sizeof(float), sizeof(float));
            tables[t]->row(&r);
        }
        compare("output", out[0], out[1], r.width * BLOCK);
        release_blocks(0);
    }
}

void check_train_weights(const stdo_kernels *kernels, int quick)
{
    const stdo_train_kernels *tables[2] = {&stdo_train_c, of_tier(kernels)};
    for (size_t i = 0; i < (quick ? 60 : 600); i++) {
        const uint32_t k = a_kernel(), columns = a_kernel(), dense = random_below(2);
        stdo_train_weights w = {.kernel = k, .columns = columns, .channels = 1 + i % BLOCK, .width = 1 + random_below(WIDTHS),
                                .height = 1 + random_below(8)};
        w.in_pixel = dense ? w.channels : BLOCK;
        w.in_row = (w.width + columns - 1) * w.in_pixel;
        describe("case %zu: %zux%zu, kernel %ux%u, %zu channels%s", i, w.width, w.height, k, columns, w.channels, dense ? ", dense" : "");
        w.in = floats("in", (w.height + k - 1) * w.in_row);
        w.d_out = floats("d_out", w.height * w.width * BLOCK);
        const size_t count = (size_t)k * columns * w.channels * BLOCK;
        const float *before = floats("before", count);
        float *sum[2];
        for (int t = 0; t < 2; t++) {
            w.sum = sum[t] = block("sum", count * sizeof(float), sizeof(float));
            memcpy(w.sum, before, count * sizeof(float));
            tables[t]->weights(&w);
        }
        compare("sum", sum[0], sum[1], count);
        release_blocks(0);
    }
}

/* One of the three transforms of F(4, 3): a row of pixels to points, or back. */
static void check_tiles(const stdo_kernels *kernels, int quick, int of_gradients, int back)
{
    const stdo_train_kernels *tables[2] = {&stdo_train_c, of_tier(kernels)};
    for (size_t i = 0; i < (quick ? 60 : 600); i++) {
        stdo_train_tiles t = {.width = 1 + i % MOST_WIDTH, .relu = back ? random_below(2) : 0};
        t.margin = back || of_gradients ? 0 : random_below(3);
        t.tiles = (t.width + 2 * t.margin + STDO_TRAIN_TILE - 1) / STDO_TRAIN_TILE;
        t.plane = t.tiles * BLOCK + random_below(20);
        const size_t pixels = t.width * BLOCK, points = (STDO_TRAIN_POINTS - 1) * t.plane + t.tiles * BLOCK;
        describe("case %zu: width %zu, margin %zu, plane %zu, relu %u", i, t.width, t.margin, t.plane, t.relu);
        t.in = floats("in", back ? points : pixels);
        t.start = back ? floats("start", BLOCK) : NULL;
        t.mask = back && random_below(2) ? floats("mask", pixels) : NULL;
        float *out[2];
        for (int n = 0; n < 2; n++) {
            t.out = out[n] = block("out", (back ? pixels : points) * sizeof(float), sizeof(float));
            memset(t.out, 0, (back ? pixels : points) * sizeof(float)); /* between planes nothing is written */
            (back ? tables[n]->output_tiles : of_gradients ? tables[n]->gradient_tiles : tables[n]->input_tiles)(&t);
        }
        compare("output", out[0], out[1], back ? pixels : points);
        release_blocks(0);
    }
}

void check_train_input_tiles(const stdo_kernels *kernels, int quick) { check_tiles(kernels, quick, 0, 0); }
void check_train_gradient_tiles(const stdo_kernels *kernels, int quick) { check_tiles(kernels, quick, 1, 0); }
void check_train_output_tiles(const stdo_kernels *kernels, int quick) { check_tiles(kernels, quick, 0, 1); }

void check_train_errors(const stdo_kernels *kernels, int quick)
{
    const stdo_train_kernels *tables[2] = {&stdo_train_c, of_tier(kernels)};
    for (size_t i = 0; i < (quick ? 60 : 600); i++) {
        stdo_train_errors e = {.loss = (stdo_train_loss)random_below(3), .channels = 1 + i % BLOCK, .unit = 1 / 2048.0f,
                               .pixels = 1 + random_below(WIDTHS), .epsilon = 0.03125f, .slope = 0.001f};
        const int gradient = random_below(3) > 0;
        e.out = e.channels + random_below(2) * random_below(48);
        describe("case %zu: loss %d, %zu of %zu channels, %zu pixels, gradient %d", i, (int)e.loss, e.channels, e.out,
                 e.pixels, gradient);
        const size_t count = e.pixels * BLOCK, targets = (e.pixels - 1) * e.out + e.channels;
        float *y = floats("y", count);
        int16_t *target = block("target", targets * sizeof *target, sizeof *target);
        for (size_t n = 0; n < targets; n++) target[n] = (int16_t)random_between(-32768, 32767);
        for (size_t n = 0; n < e.pixels; n += 3) y[n * BLOCK] = e.unit * (float)target[n * e.out]; /* no error at all */
        e.y = y;
        e.target = target;
        float sum[2][BLOCK], *d_y[2] = {NULL, NULL};
        for (int t = 0; t < 2; t++) {
            if (gradient) d_y[t] = block("d_y", count * sizeof(float), sizeof(float));
            e.d_y = d_y[t];
            tables[t]->errors(&e);
            memcpy(sum[t], e.sum, sizeof sum[t]);
        }
        compare("loss", sum[0], sum[1], BLOCK);
        if (gradient) compare("gradient", d_y[0], d_y[1], count);
        release_blocks(0);
    }
}

/* ---- A net ---- */

enum { LAYERS = 3 };

typedef struct gradients {
    float *out, *d_weight[LAYERS], *d_bias[LAYERS];
} gradients;

/* Forward and backward by one table, in blocks of exactly the stated sizes. */
static gradients step(const stdo_train_kernels *table, const stdo_train_layer *layers, const float *x, float *const *weight,
                      float *const *bias, const float *d_out)
{
    stdo_train_arrays arrays[LAYERS];
    gradients found;
    size_t needed = 0;
    for (int n = 0; n < LAYERS; n++) {
        const stdo_train_layer *l = &layers[n];
        const size_t pixels = (size_t)l->patches * l->height * l->width, side = l->padded ? 0 : l->kernel - 1;
        const size_t before = (size_t)l->patches * (l->height + side) * (l->width + side) * BLOCK * channel_blocks(l->in);
        const size_t weights = (size_t)l->out * l->in * l->kernel * l->kernel, size = stdo_train_scratch_size(l);
        found.out = block("out", pixels * BLOCK * channel_blocks(l->out) * sizeof(float), sizeof(float));
        found.d_weight[n] = block("d_weight", weights * sizeof(float), sizeof(float));
        found.d_bias[n] = block("d_bias", l->out * sizeof(float), sizeof(float));
        arrays[n] = (stdo_train_arrays){x, weight[n], bias[n], found.out, NULL, found.d_weight[n], found.d_bias[n]};
        if (n > 0) arrays[n].d_x = block("d_x", before * sizeof(float), sizeof(float));
        x = found.out;
        needed = size > needed ? size : needed;
    }
    void *scratch = block("scratch", needed, 1);
    if (stdo_train_net_forward(table, layers, arrays, LAYERS, scratch) != STDO_OK ||
        stdo_train_net_backward(table, layers, arrays, LAYERS, d_out, scratch) != STDO_OK)
        fail("a layer was refused");
    return found;
}

void check_train_net(const stdo_kernels *kernels, int quick)
{
    const stdo_train_kernels *tables[2] = {&stdo_train_c, of_tier(kernels)};
    for (size_t i = 0; i < (quick ? 4 : 20); i++) {
        stdo_train_layer layers[LAYERS];
        float *weight[LAYERS], *bias[LAYERS];
        /* In every fourth net one of the layers has as many channels as may be, or a few less. */
        const uint32_t wide = i % 4 == 3 ? random_below(LAYERS) : LAYERS, narrow = wide < LAYERS ? 8 : quick ? 20 : 40;
        const uint32_t patches = wide < LAYERS ? 1 : 1 + random_below(3);
        uint32_t height = 14 + random_below(6), width = 14 + random_below(20), in = 1 + random_below(3);
        const size_t size = (size_t)patches * height * width * in;
        for (int n = 0; n < LAYERS; n++) {
            const uint32_t k = a_kernel(), padded = random_below(2);
            const uint32_t out = (uint32_t)n == wide ? STDO_TRAIN_MAX_CHANNELS - random_below(40) : 1 + random_below(narrow);
            if (!padded) {
                height -= k - 1;
                width -= k - 1;
            }
            layers[n] = (stdo_train_layer){patches, height, width, k, in, out, n == 0, n < LAYERS - 1, padded};
            weight[n] = floats("weight", (size_t)out * in * k * k);
            bias[n] = floats("bias", out);
            in = out;
        }
        describe("case %zu: %u patches, to %ux%u, channels %u %u %u %u, padded %u %u %u", i, patches, width, height,
                 layers[0].in, layers[1].in, layers[2].in, in, layers[0].padded, layers[1].padded, layers[2].padded);
        const float *x = floats("x", size);
        const size_t outputs = (size_t)patches * height * width * BLOCK * channel_blocks(in);
        const float *d_out = floats("d_out", outputs);
        gradients found[2];
        for (int t = 0; t < 2; t++) found[t] = step(tables[t], layers, x, weight, bias, d_out);
        compare("output", found[0].out, found[1].out, outputs);
        for (int n = 0; n < LAYERS; n++) {
            const stdo_train_layer *l = &layers[n];
            compare("weight gradient", found[0].d_weight[n], found[1].d_weight[n], (size_t)l->out * l->in * l->kernel * l->kernel);
            compare("bias gradient", found[0].d_bias[n], found[1].d_bias[n], l->out);
        }
        release_blocks(0);
    }
}
