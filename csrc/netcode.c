/* Decodes nets of version 3, and finds the layers of older ones. A number is its length in bits, by adaptive contexts,
   and the bits below its first, of which one adapts. The contexts of a weight are chosen by the sizes of those around
   it. */
#include "netcode.h"

#include "sizes.h"

enum { LARGEST_RATIO = 64, LAYER_BYTES = 512 };

/* ---- Shapes ---- */

static int read_layers(const uint8_t *code, uint32_t size, uint32_t planes, uint32_t outputs, stdo_net_shape *shape)
{
    const uint32_t layers = code[0];
    if (layers > STDO_MAX_LAYERS || size < 1 + 2 * layers) return 0;
    for (uint32_t l = 0; l < layers; l++) {
        const uint32_t form = code[1 + 2 * l], out = code[2 + 2 * l];
        if (form >> 5 > STDO_MAX_KERNEL / 2 || (form & 31) > STDO_MAX_SHIFT || out < 1 || out > STDO_MAX_CHANNELS ||
            (l == layers - 1 && out != outputs && (planes > 1 || out != 2 * outputs)))
            return 0;
        shape->layer[l] = (stdo_layer){.kernel = 1 + 2 * (form >> 5), .in = l == 0 ? planes : shape->layer[l - 1].out,
                                       .out = out, .shift = form & 31};
    }
    if (shape->layer[layers - 1].out != outputs) shape->layer[0].in = STDO_CHROMA_INPUTS;
    shape->layers = layers;
    return 1;
}

/* Bytes of the net in versions 1 and 2, and about what its layers take besides. */
static uint32_t counted_bytes(const stdo_net_shape *shape)
{
    uint32_t bytes = 1;
    for (uint32_t l = 0; l < shape->layers; l++) {
        const stdo_layer *layer = &shape->layer[l];
        bytes += LAYER_BYTES + 4 + layer->out * (6 + layer->kernel * layer->kernel * layer->in);
    }
    return bytes;
}

int stdo_net_shape_read(const uint8_t *code, uint32_t size, uint32_t planes, uint32_t outputs, stdo_net_shape *shape)
{
    if (size == 0) return 0;
    shape->head = 1;
    if (code[0] == STDO_NET_DIFFERS || code[0] == STDO_NET_AGAIN) {
        if (shape->layers == 0) return 0;
    } else {
        if (!read_layers(code, size, planes, outputs, shape)) return 0;
        shape->head += 2 * shape->layers;
    }
    return counted_bytes(shape) <= (uint64_t)LARGEST_RATIO * size;
}

uint32_t stdo_plain_net_read(fields *f, uint32_t planes, stdo_layer *layer)
{
    const uint32_t layers = *f->at++;
    for (uint32_t l = 0; l < layers; l++) {
        const uint8_t *p = f->at;
        layer[l] = (stdo_layer){.kernel = p[0], .in = l == 0 ? planes : layer[l - 1].out, .out = p[1], .shift = p[2]};
        p += LAYER_FIELDS + layer[l].out * OUTPUT_FIELDS;
        layer[l].weight = p;
        f->at = p + weight_count(layer[l].kernel, layer[l].in, layer[l].out);
    }
    return layers;
}

/* ---- Numbers ---- */

/* Where contexts begin, in 256ths of the chance of a 0 (FORMAT.md). */
static const uint8_t start_digits[15] = {109, 244, 89, 250, 90, 83, 99, 52, 145, 139, 73, 50, 120, 125, 250};
static const uint8_t start_zeros[15] = {250, 215, 145, 156, 218, 145, 128, 182, 134, 172, 176, 145, 128, 128, 128};
static const uint8_t start_multiplier[11] = {125, 135, 177, 195, 174, 189, 185, 184, 199, 229, 108};
static const uint8_t start_bias[11] = {58, 122, 119, 135, 145, 179, 109, 125, 124, 118, 149};
static const uint8_t start_size[8][8] = {
    {197, 244, 239, 240, 240, 240, 240, 240}, {128, 208, 246, 238, 240, 240, 240, 240},
    {68, 134, 214, 248, 241, 240, 240, 240},  {40, 80, 149, 218, 246, 231, 141, 145},
    {25, 45, 82, 149, 225, 241, 180, 199},    {10, 19, 42, 80, 150, 216, 204, 241},
    {6, 9, 17, 35, 69, 122, 186, 250},        {6, 6, 10, 20, 40, 80, 146, 250},
};
static const uint8_t start_first[7] = {151, 160, 161, 159, 161, 155, 128};

static void start(stdo_context *context, const uint8_t *chance, int count)
{
    for (int i = 0; i < count; i++) context[i] = (stdo_context){(uint16_t)(128 * chance[i]), 0};
}

static void start_near(stdo_near *near, const uint8_t *chance)
{
    start(&near->differs, chance, 1);
    start(&near->down, chance + 1, 1);
    start(near->further[0], chance + 2, 4);
    start(near->further[1], chance + 6, 4);
    start(&near->first, chance + 10, 1);
}

void stdo_net_decoder_start(stdo_net_decoder *d, const uint8_t *code, size_t size)
{
    stdo_range_start(&d->coder, code, size);
    start(d->digits, start_digits, 15);
    start(d->zeros, start_zeros, 15);
    start_near(&d->multiplier, start_multiplier);
    start_near(&d->bias, start_bias);
    for (int level = 0; level < 8; level++) start(d->size[level], start_size[level], 8);
    start(d->first, start_first, 7);
    d->multiplier_length = 13;
    d->bias_length = 8;
    d->mean = 1024;
}

static inline uint32_t decode_flag(stdo_range_decoder *coder, stdo_context *context)
{
    const uint32_t seen = context->seen;
    context->seen = (uint8_t)(seen + (seen < 64));
    return stdo_range_bit_at(coder, &context->chance, 5u + (seen >= 16) + (seen >= 64));
}

/* A number of 0..15. */
static uint32_t decode_small(stdo_range_decoder *coder, stdo_context *context)
{
    uint32_t node = 1;
    for (int i = 0; i < 4; i++) node = 2 * node + decode_flag(coder, &context[node - 1]);
    return node - 16;
}

/* A number of 0..most, by its difference to the one before. */
static uint32_t decode_near(stdo_range_decoder *coder, stdo_near *near, uint32_t before, uint32_t most)
{
    if (!decode_flag(coder, &near->differs)) return before;
    const uint32_t down = decode_flag(coder, &near->down), limit = down ? before : most - before;
    uint32_t step = 1;
    while (step < limit && decode_flag(coder, &near->further[down][min_u32(step - 1, 3)])) step++;
    step = min_u32(step, limit);
    return down ? before - step : before + step;
}

/* A number of `length` bits, 1 or more: its first, which is 1, `count` bits of which one has the context, zeros, and a
   sign where `is_signed` is 1. */
static inline int64_t decode_tail(stdo_range_decoder *coder, stdo_context *first, uint32_t length, uint32_t count,
                                  uint32_t is_signed)
{
    const uint32_t top = count > 0 ? 2 + decode_flag(coder, first) : 1, more = count > 0 ? count - 1 : 0;
    const uint32_t rest = stdo_range_bits(coder, more + is_signed);
    const int64_t size = (int64_t)(top << more | rest >> is_signed) << (length - 1 - count);
    return rest & is_signed ? -size : size;
}

void stdo_decode_multipliers(stdo_net_decoder *d, uint32_t out, int32_t *multiplier)
{
    const uint32_t digits = decode_small(&d->coder, d->digits);
    for (uint32_t o = 0; o < out; o++) {
        const uint32_t below = decode_near(&d->coder, &d->multiplier, d->multiplier_length - 1, 14);
        d->multiplier_length = below + 1;
        multiplier[o] = (int32_t)decode_tail(&d->coder, &d->multiplier.first, below + 1, min_u32(below, digits), 0);
    }
}

static int64_t decode_difference(stdo_net_decoder *d, uint32_t zeros)
{
    const uint32_t length = decode_near(&d->coder, &d->bias, d->bias_length, 31);
    if (length == 0) return 0;
    d->bias_length = length;
    const uint32_t count = length - 1 > zeros ? length - 1 - zeros : 0;
    return decode_tail(&d->coder, &d->bias.first, length, count, 1);
}

void stdo_decode_biases(stdo_net_decoder *d, uint32_t out, uint32_t shift, const int32_t *base, int32_t *bias)
{
    const int64_t most = 1 << 30, half = (1 << shift) >> 1;
    const uint32_t zeros = decode_small(&d->coder, d->zeros);
    for (uint32_t o = 0; o < out; o++) {
        const int64_t found = decode_difference(d, zeros) + (base != NULL ? base[o] : half);
        bias[o] = (int32_t)(found < -most ? -most : found > most ? most : found);
    }
}

/* A weight, by the contexts of its level. */
static inline int32_t decode_weight(stdo_range_decoder *coder, stdo_context level[8], stdo_context *first)
{
    uint32_t length = 0;
    while (length < 8 && decode_flag(coder, &level[length])) length++;
    if (length == 0) return 0;
    return (int32_t)decode_tail(coder, length > 1 ? &first[length - 2] : NULL, length, length - 1, 1);
}

/* How large the weights around one are, 0..7: from four times 256 times their mean size, in steps of two. No branch, as
   none could be foretold. */
static inline uint32_t level_of(uint32_t around)
{
    enum { STEP = 256 };
    const int level = (around >= STEP) + (around >= 3 * STEP) + (around >= 7 * STEP) + (around >= 15 * STEP) +
                      (around >= 31 * STEP) + (around >= 63 * STEP) + (around >= 127 * STEP);
    return (uint32_t)level;
}

void stdo_decode_weights(stdo_net_decoder *d, const stdo_layer *layer, const int8_t *base, int8_t *weight)
{
    stdo_range_decoder coder = d->coder; /* a copy whose address is not kept, so that it stays in registers */
    const uint32_t left = layer->in, above = layer->kernel * left, count = layer->kernel * above;
    uint16_t sizes[STDO_MAX_KERNEL * STDO_MAX_KERNEL * STDO_MAX_CHANNELS]; /* 256 times those so far, averaged */
    uint32_t mean = d->mean;
    for (uint32_t o = 0; o < layer->out; o++)
        for (uint32_t i = 0, x = 0; i < count; i++) {
            const uint32_t around = mean + (o > 0 ? sizes[i] : mean) + (x >= left ? sizes[i - left] : mean) +
                                    (i >= above ? sizes[i - above] : mean);
            const int32_t found = decode_weight(&coder, d->size[level_of(around)], d->first);
            const uint32_t size = (uint32_t)(found < 0 ? -found : found);
            mean += 16 * size - mean / 16;
            sizes[i] = (uint16_t)(o > 0 ? (sizes[i] + 256 * size) / 2 : 256 * size);
            x = x + 1 < above ? x + 1 : 0;

            const uint8_t low = (uint8_t)(found + (base != NULL ? *base++ : 0));
            *weight++ = (int8_t)(low < 128 ? low : low - 256);
        }
    d->mean = mean;
    d->coder = coder;
}
