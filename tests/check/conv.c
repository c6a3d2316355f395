/* The convolutions. How a row stands for values is its tier's own affair, so values go in and come out by way of
   kernels whose effect is known: a hidden layer of weights 0 writes its bias, and a last layer of one weight shows one
   channel. */
#include "check.h"

#include <math.h>
#include <string.h>

static const uint32_t channel_counts[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14,
                                          15, 16, 17, 18, 19, 20, 24, 31, 32, 33, 48, 63, 64};
enum { CHANNEL_COUNTS = sizeof channel_counts / sizeof *channel_counts, WIDTHS = 70, MOST_WIDTH = 200 };

const stdo_conv *float_override;

const stdo_conv *conv_of(const stdo_kernels *kernels, number kind)
{
    if (kind == INT8) return &kernels->int8;
    return float_override != NULL ? float_override : stdo_float_conv(stdo_tiers_named(kernels->tier));
}

const stdo_conv *plain_conv(number kind)
{
    static stdo_kernels kernels;
    stdo_kernels_c(&kernels);
    return kind == INT8 ? &kernels.int8 : &stdo_float_c;
}

/* ---- Layers ---- */

static size_t number_bytes(number kind) { return kind == INT8 ? 1 : sizeof(float); }
static size_t window(const stdo_layer *layer) { return (size_t)layer->kernel * layer->kernel * layer->in; }

/* All zeros but for the multiplier, which changes no q below 16384. */
static stdo_layer new_layer(number kind, uint32_t kernel, uint32_t in, uint32_t out)
{
    stdo_layer layer = {.kernel = kernel, .in = in, .out = out};
    const size_t bytes = window(&layer) * out * number_bytes(kind);
    layer.weight = memset(block("weights", bytes, number_bytes(kind)), 0, bytes);
    layer.bias = memset(block("biases", out * 4, 4), 0, out * 4);
    int32_t *multiplier = block("multipliers", out * 4, 4);
    for (uint32_t o = 0; o < out; o++) multiplier[o] = 32767;
    layer.multiplier = multiplier;
    return layer;
}

/* The tests make layers and so may write to them. */
static int8_t *int_weight(const stdo_layer *layer, size_t o) { return (int8_t *)layer->weight + o * window(layer); }
static float *float_weight(const stdo_layer *layer, size_t o) { return (float *)layer->weight + o * window(layer); }
static int32_t *int_bias(const stdo_layer *layer) { return (int32_t *)layer->bias; }
static float *float_bias(const stdo_layer *layer) { return (float *)layer->bias; }
static int32_t *multipliers(const stdo_layer *layer) { return (int32_t *)layer->multiplier; }

void pack_layer(const stdo_conv *conv, stdo_layer *layer)
{
    void *packed = block("packed", conv->packed_bytes(layer), STDO_ALIGNMENT);
    conv->pack(layer, packed);
    layer->packed = packed;
}

typedef enum pattern { RANDOM, LEAST, GREATEST, ALTERNATING, EXTREMES, PATTERNS } pattern;

static int32_t draw(pattern p, size_t i, int32_t low, int32_t high)
{
    switch (p) {
    case LEAST: return low;
    case GREATEST: return high;
    case ALTERNATING: return i % 2 ? high : low;
    case EXTREMES: return random_below(2) ? high : low;
    default: return random_between(low, high);
    }
}

/* Sums for which a hidden layer is to give some 0 to 400, and a last one more. `offset` is what to add to each bias. */
static void scale_sums(stdo_layer *layer, double magnitude, int is_last, const double *offset)
{
    while (layer->shift < 24 && ldexp(magnitude, -(int)layer->shift) > 30000) layer->shift++;
    const double a = ldexp(magnitude, -(int)layer->shift), most = is_last ? 20000 : 400;
    for (uint32_t o = 0; o < layer->out; o++) {
        const double m = 32768 * most / (a + 1) * (0.2 + 0.8 * random_unit());
        multipliers(layer)[o] = m < 1 ? 1 : m > 32767 ? 32767 : (int32_t)m;
        int_bias(layer)[o] = (int32_t)(offset[o] + magnitude * (is_last ? 0.5 * random_unit() - 0.25 : random_unit()));
    }
}

/* `activation` is what the row is full of, or -1 if it varies. */
static void fill_int8(const stdo_layer *layer, pattern p, int activation, int is_last, stdo_layer *result)
{
    const size_t count = window(layer);
    double offset[STDO_MAX_CHANNELS] = {0};
    for (uint32_t o = 0; o < layer->out; o++) {
        double sum = 0;
        for (size_t t = 0; t < count; t++) {
            int_weight(layer, o)[t] = (int8_t)draw(p, t + o, -128, 127);
            sum += int_weight(layer, o)[t];
        }
        /* Undoes the sum of a full row, so that what went wrong on the way to it is not clamped. */
        offset[o] = -sum * (activation < 0 ? 128 : activation);
    }
    *result = *layer;
    const uint32_t kind = random_below(4);
    if (kind > 0) {
        scale_sums(result, 128 * 74 * sqrt((double)count), is_last, offset);
        return;
    }
    static const int32_t great[] = {1 << 30, -(1 << 30), 0};
    result->shift = random_below(25);
    for (uint32_t o = 0; o < layer->out; o++) {
        int_bias(layer)[o] = great[random_below(3)];
        multipliers(layer)[o] = random_below(3) ? random_between(1, 32767) : random_below(2) ? 1 : 32767;
    }
}

static void fill_float32(const stdo_layer *layer, pattern p)
{
    const size_t count = window(layer);
    for (uint32_t o = 0; o < layer->out; o++) {
        float *weight = float_weight(layer, o);
        /* Multiples of 1/128 make sums exact, and a last layer's values lie midway between integers. */
        for (size_t t = 0; t < count; t++)
            weight[t] = p == ALTERNATING ? (float)random_between(-64, 64) / 128
                                         : (float)((random_unit() - 0.5) * 4 / sqrt((double)count));
        float_bias(layer)[o] = p == ALTERNATING ? (float)random_between(-200, 200) / 128 : (float)(random_unit() * 90);
        if (p != EXTREMES) continue;
        static const float odd[] = {NAN, 1e-40f, -0.0f, 1e30f, -1e30f, 3e-39f};
        weight[random_below((uint32_t)count)] = odd[random_below(6)];
        if (random_below(4) == 0) float_bias(layer)[o] = odd[random_below(6)];
    }
}

stdo_layer natural_layer(number kind, uint32_t kernel, uint32_t in, uint32_t out, int is_last)
{
    stdo_layer layer = new_layer(kind, kernel, in, out);
    if (kind == FLOAT32) {
        fill_float32(&layer, RANDOM);
        return layer;
    }
    double offset[STDO_MAX_CHANNELS] = {0};
    for (size_t i = 0; i < window(&layer) * out; i++) int_weight(&layer, 0)[i] = (int8_t)random_between(-128, 127);
    scale_sums(&layer, 128 * 74 * sqrt((double)window(&layer)), is_last, offset);
    return layer;
}

/* ---- Rows ---- */

static size_t row_room(const stdo_conv *conv, uint32_t channels, size_t width)
{
    return (width + STDO_SLACK) * conv->pixel_bytes(channels) + STDO_SLACK_BYTES;
}

/* A row with the values [x][channel]. Its slack keeps garbage. */
static uint8_t *row_of(const stdo_conv *conv, number kind, uint32_t channels, size_t width, const float *values)
{
    const size_t pixel = conv->pixel_bytes(channels), room = row_room(conv, channels, width);
    uint8_t *row = block("a row that is read", room, STDO_ALIGNMENT);
    const size_t mark = blocks_in_use(), zeros = row_room(conv, 1, 1);
    const void *const nothing[] = {memset(block("zeros", zeros, STDO_ALIGNMENT), 0, zeros)};
    uint8_t *slack = block("slack", room - width * pixel, 1), *scratch = block("pixel", row_room(conv, channels, 1), 64);
    memcpy(slack, row + width * pixel, room - width * pixel);
    stdo_layer layer = new_layer(kind, 1, 1, channels);
    pack_layer(conv, &layer);
    for (size_t x = 0; x < width; x++) {
        for (uint32_t c = 0; c < channels; c++) {
            const float value = values[x * channels + c];
            if (kind == INT8)
                int_bias(&layer)[c] = (int32_t)value;
            else
                float_bias(&layer)[c] = value;
        }
        conv->pack(&layer, (void *)layer.packed);
        conv->hidden(&layer, nothing, 1, scratch);
        memcpy(row + x * pixel, scratch, pixel);
    }
    memcpy(row + width * pixel, slack, room - width * pixel);
    release_blocks(mark);
    return row;
}

/* The residual of a last layer of kernel 1 that is given one pixel or more, in a block of its own. */
static int16_t *residual_block(uint32_t planes, uint32_t scale, size_t width, size_t *stride)
{
    const size_t room = (width + STDO_SLACK) * scale + STDO_SLACK_BYTES / sizeof(int16_t), rows = planes * scale;
    *stride = room + random_below(9);
    int16_t *residual = block("residual", ((rows - 1) * *stride + room) * sizeof(int16_t), STDO_ALIGNMENT);
    for (size_t i = 0; i + 1 < rows; i++) guard(residual + i * *stride + room, (*stride - room) * sizeof(int16_t));
    return residual;
}

static int16_t *residual_of(int16_t *residual, size_t stride, uint32_t scale, size_t x, uint32_t channel)
{
    return &residual[channel / scale * stride + x * scale + channel % scale];
}

/* Integer activations [x][channel] of a row. */
static void read_int8(const stdo_conv *conv, uint32_t channels, size_t width, const uint8_t *row, float *values)
{
    const size_t mark = blocks_in_use();
    const uint32_t planes = random_below(2) ? 3 : 1, scale = 2 + random_below(3), out = planes * scale * scale;
    const void *const rows[] = {row};
    size_t stride;
    int16_t *residual = residual_block(planes, scale, width, &stride);
    stdo_layer layer = new_layer(INT8, 1, channels, out);
    pack_layer(conv, &layer);
    for (uint32_t first = 0; first < channels; first += out) {
        const uint32_t end = first + out < channels ? first + out : channels;
        memset(int_weight(&layer, 0), 0, out * channels);
        for (uint32_t c = first; c < end; c++) int_weight(&layer, c - first)[c] = 64;
        conv->pack(&layer, (void *)layer.packed);
        conv->last(&layer, rows, width, scale, residual, stride);
        for (size_t x = 0; x < width; x++)
            for (uint32_t c = first; c < end; c++)
                values[x * channels + c] = roundf((float)*residual_of(residual, stride, scale, x, c - first) / 64);
    }
    release_blocks(mark);
}

/* Floats have more bits than a residual shows, so it is shown how far they are from what is expected, in units of their
   last bit. Where a value is infinite its pixel cannot be seen. */
static void compare_float32(const stdo_conv *conv, uint32_t channels, size_t width, const uint8_t *row,
                            const float *expected)
{
    const size_t mark = blocks_in_use(), pixel = conv->pixel_bytes(channels);
    const uint32_t planes = random_below(2) ? 3 : 1, scale = 2 + random_below(3), out = planes * scale * scale;
    size_t stride;
    int16_t *residual = residual_block(planes, scale, 1, &stride);
    stdo_layer layer = new_layer(FLOAT32, 1, channels, out);
    pack_layer(conv, &layer);
    for (size_t x = 0; x < width; x++, expected += channels) {
        int finite = 1;
        for (uint32_t c = 0; c < channels; c++) finite = finite && isfinite(expected[c]);
        const void *const rows[] = {row + x * pixel};
        for (uint32_t first = 0; finite && first < channels; first += out) {
            const uint32_t end = first + out < channels ? first + out : channels;
            memset(float_weight(&layer, 0), 0, out * channels * sizeof(float));
            for (uint32_t c = first; c < end; c++) {
                int exponent = -99;
                if (expected[c] > 1e-30f) frexpf(expected[c], &exponent);
                float_weight(&layer, c - first)[c] = ldexpf(1, 24 - exponent);
                float_bias(&layer)[c - first] = -ldexpf(expected[c], 24 - exponent);
            }
            conv->pack(&layer, (void *)layer.packed);
            conv->last(&layer, rows, 1, scale, residual, stride);
            for (uint32_t c = first; c < end; c++) {
                const int found = *residual_of(residual, stride, scale, 0, c - first);
                if (found != 0)
                    fail("pixel %zu channel %u: expected %.9g, found it %s%d/64 of its last bit away", x, c, expected[c],
                         found == 32767 || found == -32768 ? "more than " : "", found);
            }
        }
    }
    release_blocks(mark);
}

static void compare_rows(const stdo_conv *conv, number kind, uint32_t channels, size_t width, const uint8_t *found,
                         const uint8_t *expected)
{
    if (kind == FLOAT32) { /* the plain kernels keep floats as they are */
        compare_float32(conv, channels, width, found, (const float *)(const void *)expected);
        return;
    }
    const size_t mark = blocks_in_use(), bytes = width * channels * sizeof(float);
    float *values[2] = {block("values", bytes, sizeof(float)), block("values", bytes, sizeof(float))};
    read_int8(plain_conv(kind), channels, width, expected, values[0]);
    read_int8(conv, channels, width, found, values[1]);
    for (size_t i = 0; i < width * channels; i++)
        if (values[0][i] != values[1][i])
            fail("pixel %zu channel %zu: expected %g, found %g", i / channels, i % channels, values[0][i], values[1][i]);
    release_blocks(mark);
}

/* ---- The checks ---- */

static void check_load(const stdo_kernels *kernels, number kind, int quick)
{
    const stdo_conv *conv[2] = {plain_conv(kind), conv_of(kernels, kind)};
    for (size_t i = 0; i < (quick ? 70 : 2 * MOST_WIDTH); i++) {
        const size_t width = 1 + i % MOST_WIDTH, offset = random_below(9); /* where the halo passes the frame's edge */
        const uint32_t planes = random_below(2) ? 3 : 1;
        describe("case %zu: width %zu, planes %u, from pixel %zu", i, width, planes, offset);
        const uint8_t *lr[STDO_MAX_PLANES];
        uint8_t *row[2];
        for (uint32_t p = 0; p < planes; p++) lr[p] = block("lr", width, 1);
        for (int t = 0; t < 2; t++) {
            const size_t before = offset * conv[t]->pixel_bytes(planes);
            uint8_t *begin = block("the row", before + row_room(conv[t], planes, width), STDO_ALIGNMENT);
            guard(begin, before);
            row[t] = begin + before;
            conv[t]->load(lr, planes, width, row[t]);
        }
        compare_rows(conv[1], kind, planes, width, row[1], row[0]);
        release_blocks(0);
    }
}

typedef struct layer_case {
    size_t width;
    uint32_t kernel, in, out, scale;
} layer_case;

/* Case i: all widths and channels come early, and products of them are cut to `limit` multiplications. */
static layer_case pick(size_t i, number kind, int is_last, int quick)
{
    layer_case c = {.width = 1 + i * 37 % WIDTHS, .kernel = 1 + 2 * random_below(5), .scale = 1 + random_below(4)};
    if (i % 16 == 15) c.width = (size_t)random_between(WIDTHS, MOST_WIDTH);
    c.in = channel_counts[i % CHANNEL_COUNTS];
    c.out = channel_counts[(i * 7 + i / CHANNEL_COUNTS) % CHANNEL_COUNTS];
    if (is_last) c.out = c.scale * c.scale * (1 + random_below(3));
    size_t limit = (kind == INT8 ? 1500000u : 100000u) >> (quick ? 2 : 0);
    if (i < 2 && kind == INT8) { /* the greatest sums there are */
        c = (layer_case){.width = quick ? 5 : 21, .kernel = 9, .in = 64, .out = is_last ? 48 : 64, .scale = 4};
        limit = 8000000;
    }
    while (c.width * c.kernel * c.kernel * c.in * c.out > limit) {
        if (c.kernel > 1 && random_below(2))
            c.kernel -= 2;
        else
            c.width = (c.width + 1) / 2;
    }
    return c;
}

/* Input rows for both tables, and the layer packed for both. */
static void set_up(const stdo_conv *const conv[2], number kind, const layer_case *c, size_t i, int is_last,
                   stdo_layer *layer, const void *rows[2][STDO_MAX_KERNEL])
{
    const size_t width = c->width + c->kernel - 1;
    const pattern activations = (pattern)(i < 2 ? GREATEST : i % PATTERNS);
    const pattern weights = (pattern)(i < 2 ? LEAST + i : i / PATTERNS % PATTERNS);
    layer[0] = new_layer(kind, c->kernel, c->in, c->out);
    if (kind == INT8)
        fill_int8(&layer[0], weights, activations == GREATEST ? 255 : activations == LEAST ? 0 : -1, is_last, &layer[0]);
    else
        fill_float32(&layer[0], weights);
    layer[1] = layer[0];
    for (int t = 0; t < 2; t++) pack_layer(conv[t], &layer[t]);
    for (uint32_t y = 0; y < c->kernel; y++) {
        float *values = block("values", width * c->in * sizeof(float), sizeof(float));
        for (size_t v = 0; v < width * c->in; v++)
            values[v] = kind == FLOAT32 && activations == RANDOM ? (float)(255 * random_unit())
                                                                  : (float)draw(activations, v + y, 0, 255);
        for (int t = 0; t < 2; t++) rows[t][y] = row_of(conv[t], kind, c->in, width, values);
    }
}

static void check_layer(const stdo_kernels *kernels, number kind, int is_last, int quick)
{
    const stdo_conv *const conv[2] = {plain_conv(kind), conv_of(kernels, kind)};
    for (size_t i = 0; i < (quick ? 72 : 297); i++) {
        const layer_case c = pick(i, kind, is_last, quick);
        stdo_layer layer[2];
        const void *rows[2][STDO_MAX_KERNEL];
        describe("case %zu: width %zu, kernel %u, in %u, out %u, scale %u", i, c.width, c.kernel, c.in, c.out, c.scale);
        set_up(conv, kind, &c, i, is_last, layer, rows);
        if (is_last) {
            const uint32_t planes = c.out / (c.scale * c.scale);
            int16_t *residual[2];
            size_t stride[2];
            for (int t = 0; t < 2; t++) {
                residual[t] = residual_block(planes, c.scale, c.width, &stride[t]);
                conv[t]->last(&layer[t], rows[t], c.width, c.scale, residual[t], stride[t]);
            }
            for (size_t x = 0; x < c.width; x++)
                for (uint32_t o = 0; o < c.out; o++) {
                    const int expected = *residual_of(residual[0], stride[0], c.scale, x, o);
                    const int found = *residual_of(residual[1], stride[1], c.scale, x, o);
                    if (expected != found)
                        fail("pixel %zu channel %u: expected %d, found %d (shift %u, multiplier %d)", x, o, expected,
                             found, layer[0].shift, layer[0].multiplier[o]);
                }
        } else {
            uint8_t *out[2];
            for (int t = 0; t < 2; t++) {
                out[t] = block("the row that is written", row_room(conv[t], c.out, c.width), STDO_ALIGNMENT);
                conv[t]->hidden(&layer[t], rows[t], c.width, out[t]);
            }
            compare_rows(conv[1], kind, c.out, c.width, out[1], out[0]);
        }
        release_blocks(0);
    }
}

void check_int8_load(const stdo_kernels *kernels, int quick) { check_load(kernels, INT8, quick); }
void check_int8_hidden(const stdo_kernels *kernels, int quick) { check_layer(kernels, INT8, 0, quick); }
void check_int8_last(const stdo_kernels *kernels, int quick) { check_layer(kernels, INT8, 1, quick); }
void check_float32_load(const stdo_kernels *kernels, int quick) { check_load(kernels, FLOAT32, quick); }
void check_float32_hidden(const stdo_kernels *kernels, int quick) { check_layer(kernels, FLOAT32, 0, quick); }
void check_float32_last(const stdo_kernels *kernels, int quick) { check_layer(kernels, FLOAT32, 1, quick); }
