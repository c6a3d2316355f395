/* Decodes nets. A number is its length in bits, by a tree of contexts, and the bits below its first, of which one
   adapts. */
#include "netcode.h"

#include "sizes.h"

enum { LARGEST_RATIO = 64, LAYER_BYTES = 512, MULTIPLIER_BITS = 4, BIAS_BITS = 5, WEIGHT_BITS = 4, ZEROS_BITS = 4 };

/* ---- Shapes ---- */

static int read_layers(const uint8_t *code, uint32_t size, uint32_t planes, uint32_t outputs, stdo_net_shape *shape)
{
    const uint32_t layers = code[0];
    if (layers > STDO_MAX_LAYERS || size < 1 + 2 * layers) return 0;
    for (uint32_t l = 0; l < layers; l++) {
        const uint32_t form = code[1 + 2 * l], out = code[2 + 2 * l];
        if (form >> 5 > STDO_MAX_KERNEL / 2 || (form & 31) > STDO_MAX_SHIFT || out < 1 || out > STDO_MAX_CHANNELS ||
            (l == layers - 1 && out != outputs))
            return 0;
        shape->layer[l] = (stdo_layer){.kernel = 1 + 2 * (form >> 5), .in = l == 0 ? planes : shape->layer[l - 1].out,
                                       .out = out, .shift = form & 31};
    }
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
    if (size == 0 || (stdo_net_differs(code) && shape->layers == 0)) return 0;
    if (!stdo_net_differs(code) && !read_layers(code, size, planes, outputs, shape)) return 0;
    shape->head = 1 + 2u * code[0];
    return counted_bytes(shape) <= (uint64_t)LARGEST_RATIO * size;
}

/* ---- Numbers ---- */

static uint32_t decode_length(stdo_range_decoder *coder, stdo_numbers *numbers, uint32_t bits)
{
    uint32_t node = 1;
    for (uint32_t i = 0; i < bits; i++) node = 2 * node + stdo_range_bit(coder, &numbers->node[node]);
    return node - (1u << bits);
}

/* The first two bits, or the one, of a number of `length` bits, which is not 0. */
static uint32_t decode_top(stdo_range_decoder *coder, stdo_numbers *numbers, uint32_t length)
{
    return length == 1 ? 1 : 2 + stdo_range_bit(coder, &numbers->first[length]);
}

static uint32_t decode_number(stdo_range_decoder *coder, stdo_numbers *numbers, uint32_t bits)
{
    const uint32_t length = decode_length(coder, numbers, bits);
    if (length == 0) return 0;
    const uint32_t top = decode_top(coder, numbers, length), below = length == 1 ? 0 : length - 2;
    return top << below | stdo_range_bits(coder, below);
}

static int64_t decode_signed(stdo_range_decoder *coder, stdo_numbers *numbers, uint32_t bits)
{
    const uint32_t length = decode_length(coder, numbers, bits);
    if (length == 0) return 0;
    const uint32_t top = decode_top(coder, numbers, length), below = length == 1 ? 0 : length - 2;
    const uint32_t rest = stdo_range_bits(coder, below + 1);
    const int64_t value = top << below | rest >> 1;
    return rest & 1 ? -value : value;
}

static void reset(stdo_numbers *numbers)
{
    for (int i = 0; i < 32; i++) numbers->node[i] = numbers->first[i] = STDO_CONTEXT_START;
}

void stdo_net_decoder_start(stdo_net_decoder *d, const uint8_t *code, size_t size)
{
    stdo_range_start(&d->coder, code, size);
    reset(&d->zeros);
    reset(&d->multipliers);
    reset(&d->biases);
    reset(&d->weights);
}

void stdo_decode_multipliers(stdo_net_decoder *d, uint32_t out, int32_t *multiplier)
{
    const uint32_t zeros = decode_length(&d->coder, &d->zeros, ZEROS_BITS);
    for (uint32_t o = 0; o < out; o++) {
        const uint32_t found = (decode_number(&d->coder, &d->multipliers, MULTIPLIER_BITS) + 1) << zeros;
        multiplier[o] = (int32_t)min_u32(found, INT16_MAX);
    }
}

void stdo_decode_biases(stdo_net_decoder *d, uint32_t out, uint32_t shift, const int32_t *base, int32_t *bias)
{
    const int64_t most = 1 << 30, half = (1 << shift) >> 1;
    const uint32_t zeros = decode_length(&d->coder, &d->zeros, ZEROS_BITS);
    for (uint32_t o = 0; o < out; o++) {
        const int64_t apart = decode_signed(&d->coder, &d->biases, BIAS_BITS) * (1 << zeros);
        const int64_t found = apart + (base != NULL ? base[o] : half);
        bias[o] = (int32_t)(found < -most ? -most : found > most ? most : found);
    }
}

void stdo_decode_weights(stdo_net_decoder *d, size_t count, const int8_t *base, int8_t *weight)
{
    stdo_range_decoder coder = d->coder; /* a copy whose address is not kept, so that it stays in registers */
    for (size_t i = 0; i < count; i++) {
        const int64_t found = decode_signed(&coder, &d->weights, WEIGHT_BITS) + (base != NULL ? base[i] : 0);
        const uint8_t low = (uint8_t)found;
        weight[i] = (int8_t)(low < 128 ? low : low - 256);
    }
    d->coder = coder;
}
