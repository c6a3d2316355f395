/* The kernels in plain C: the specification, which also runs where no faster tier does. */
#include "kernels.h"

#include <string.h>

_Static_assert((-1 >> 1) == -1, "stdo needs >> of negative integers to be arithmetic");
_Static_assert(sizeof(int) == 4, "stdo needs int of 32 bits: shorter operands promote to it");

/* The weights of one output are padded with zeros to a multiple of this: the loop over them has no tail. */
enum { TAPS_MULTIPLE = 16, MAX_TAPS = (STDO_MAX_KERNEL * STDO_MAX_KERNEL * STDO_MAX_CHANNELS) };

static inline int32_t clamp(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* ---- Integer nets: activations are the values 0..255, as 16 bits, which compilers multiply best ---- */

static size_t int8_pixel_bytes(uint32_t channels) { return channels * sizeof(int16_t); }

static size_t taps(const stdo_layer *layer)
{
    const size_t stored = (size_t)layer->kernel * layer->kernel * layer->in;
    return (stored + TAPS_MULTIPLE - 1) & ~(size_t)(TAPS_MULTIPLE - 1);
}

static size_t int8_packed_bytes(const stdo_layer *layer) { return layer->out * taps(layer) * sizeof(int16_t); }

static void int8_pack(const stdo_layer *layer, void *packed)
{
    const size_t stored = (size_t)layer->kernel * layer->kernel * layer->in, padded = taps(layer);
    const int8_t *weight = layer->weight;
    int16_t *out = packed;
    for (size_t o = 0; o < layer->out; o++)
        for (size_t t = 0; t < padded; t++) *out++ = t < stored ? *weight++ : 0;
}

static void int8_load(const uint8_t *const lr[], uint32_t planes, size_t width, void *row)
{
    int16_t *out = row;
    for (size_t x = 0; x < width; x++)
        for (uint32_t p = 0; p < planes; p++) *out++ = lr[p][x];
}

/* Copies what output pixel x reads into one run, so that each output channel is a single dot product. */
static inline void gather(const stdo_layer *layer, const void *const rows[], size_t x, int16_t *window)
{
    const size_t run = (size_t)layer->kernel * layer->in;
    for (size_t y = 0; y < layer->kernel; y++) {
        const int16_t *in = (const int16_t *)rows[y] + x * layer->in;
        for (size_t t = 0; t < run; t++) *window++ = in[t];
    }
}

/* q of FORMAT.md for every output channel of one pixel. `count` is taps(layer). */
static inline void convolve(const stdo_layer *layer, size_t count, const int16_t *window, int16_t *q)
{
    const int16_t *weight = layer->packed;
    for (size_t o = 0; o < layer->out; o++, weight += count) {
        int32_t sum = ((const int32_t *)layer->bias)[o];
        for (size_t t = 0; t < (count & ~(size_t)(TAPS_MULTIPLE - 1)); t++) sum += window[t] * weight[t]; /* no tail */
        const int32_t a = clamp(sum >> layer->shift, INT16_MIN, INT16_MAX);
        q[o] = (int16_t)((a * layer->multiplier[o] + (1 << 14)) >> 15);
    }
}

static void int8_hidden(const stdo_layer *layer, const void *const rows[], size_t width, void *out)
{
    const size_t count = taps(layer);
    int16_t *to = out;
    int16_t window[MAX_TAPS], q[STDO_MAX_CHANNELS];
    memset(window, 0, count * sizeof *window);
    for (size_t x = 0; x < width; x++) {
        gather(layer, rows, x, window);
        convolve(layer, count, window, q);
        for (size_t o = 0; o < layer->out; o++) *to++ = (int16_t)clamp(q[o], 0, 255);
    }
}

static void int8_last(const stdo_layer *layer, const void *const rows[], size_t width, uint32_t scale,
                      int16_t *residual, size_t stride)
{
    const size_t count = taps(layer);
    int16_t window[MAX_TAPS], q[STDO_MAX_CHANNELS];
    memset(window, 0, count * sizeof *window);
    for (size_t x = 0; x < width; x++) {
        gather(layer, rows, x, window);
        convolve(layer, count, window, q);
        for (size_t o = 0, row = x * scale; o < layer->out; row += stride)
            for (size_t dx = 0; dx < scale; dx++) residual[row + dx] = q[o++];
    }
}

/* ---- The base, and the pixels ---- */

static void base_vertical_c(const uint8_t *const lr[4], const stdo_phase *phase, size_t width, int16_t *v)
{
    const uint8_t *row0 = lr[0], *row1 = lr[1], *row2 = lr[2], *row3 = lr[3];
    const int32_t *tap = phase->tap;
    for (size_t x = 0; x < width; x++)
        v[x] = (int16_t)(tap[0] * (row0[x] - 128) + tap[1] * (row1[x] - 128) + tap[2] * (row2[x] - 128) +
                         tap[3] * (row3[x] - 128));
}

static void hr_row_c(const int16_t *v, const stdo_phase *phase, uint32_t scale, const int16_t *residual, size_t width,
                     uint8_t *hr)
{
    for (size_t r = 0; r < scale; r++) {
        const int16_t *first = v + 1 + phase[r].offset;
        const int32_t *tap = phase[r].tap;
        for (size_t x = r; x < width; x += scale, first++) {
            const int32_t sum = tap[0] * first[0] + tap[1] * first[1] + tap[2] * first[2] + tap[3] * first[3];
            const int32_t base = (sum + (128 << 14) + 128 + (32 << 8)) >> 8;
            hr[x] = (uint8_t)clamp((base + (residual == NULL ? 0 : residual[x])) >> 6, 0, 255);
        }
    }
}

static void hr_row_3_2_c(const int16_t *v, const stdo_phase phase[3], size_t width, uint8_t *hr)
{
    for (size_t r = 0; r < 3; r++) {
        const int16_t *first = v + 1 + phase[r].offset;
        const int32_t *tap = phase[r].tap;
        for (size_t x = r; x < width; x += 3, first += 2) {
            const int32_t sum = tap[0] * first[0] + tap[1] * first[1] + tap[2] * first[2] + tap[3] * first[3];
            hr[x] = (uint8_t)clamp((sum + (128 << 14) + 128 + (32 << 8)) >> 14, 0, 255);
        }
    }
}

void stdo_kernels_c(stdo_kernels *kernels)
{
    const stdo_conv int8 = {int8_pixel_bytes, int8_packed_bytes, int8_pack, int8_load, int8_hidden, int8_last, 0, 0};
    kernels->tier = "c";
    kernels->int8 = int8;
    kernels->base_vertical = base_vertical_c;
    kernels->hr_row = hr_row_c;
    kernels->hr_row_3_2 = hr_row_3_2_c;
}
