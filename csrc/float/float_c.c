/* Float convolutions in plain C: the specification. Every sum is one chain of fused multiply-adds in the order of the
   weights, in every tier. */
#include "float_conv.h"

#include <math.h>

static size_t pixel_bytes(uint32_t channels) { return channels * sizeof(float); }
static size_t packed_bytes(const stdo_layer *layer) { (void)layer; return 0; }
static void pack(const stdo_layer *layer, void *packed) { (void)layer; (void)packed; }

static void load(const uint8_t *const lr[], uint32_t planes, size_t width, void *row)
{
    float *out = row;
    for (size_t x = 0; x < width; x++)
        for (uint32_t p = 0; p < planes; p++) *out++ = (float)lr[p][x];
}

static inline float convolve(const stdo_layer *layer, const void *const rows[], size_t x, size_t channel)
{
    const size_t run = (size_t)layer->kernel * layer->in;
    const float *weight = (const float *)layer->weight + channel * layer->kernel * run;
    float sum = ((const float *)layer->bias)[channel];
    for (size_t y = 0; y < layer->kernel; y++) {
        const float *in = (const float *)rows[y] + x * layer->in;
        for (size_t t = 0; t < run; t++) sum = fmaf(*weight++, in[t], sum);
    }
    return sum;
}

static void hidden(const stdo_layer *layer, const void *const rows[], size_t width, void *out)
{
    float *to = out;
    for (size_t x = 0; x < width; x++)
        for (size_t o = 0; o < layer->out; o++) {
            const float value = convolve(layer, rows, x, o);
            *to++ = value > 0 ? value : 0;
        }
}

static void last(const stdo_layer *layer, const void *const rows[], size_t width, uint32_t scale, int16_t *residual,
                 size_t stride)
{
    for (size_t x = 0; x < width; x++)
        for (size_t o = 0, row = x * scale; o < layer->out; row += stride)
            for (size_t dx = 0; dx < scale; dx++) {
                /* A NaN fails the first comparison and becomes the lower limit, as in every tier. */
                float value = convolve(layer, rows, x, o++) * 64;
                value = value > -32768.0f ? value : -32768.0f;
                value = value < 32767.0f ? value : 32767.0f;
                residual[row + dx] = (int16_t)lrintf(value);
            }
}

const stdo_conv stdo_float_c = {pixel_bytes, packed_bytes, pack, load, hidden, last, 0, 0};
