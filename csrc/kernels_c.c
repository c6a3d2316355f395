/* The kernels in plain C: the specification, and what runs where no faster tier does. */
#include "kernels.h"

#include <string.h>

_Static_assert((-1 >> 1) == -1, "stdo needs >> of negative integers to be arithmetic");
_Static_assert(sizeof(int) == 4, "stdo needs int of 32 bits: shorter operands promote to it");

static inline int32_t clamp(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* Copies what one output pixel reads into one run, so that each output channel is a single dot product. */
static inline void gather(const stdo_layer *layer, const int16_t *in, size_t in_width, int16_t *window)
{
    const size_t run = (size_t)layer->kernel * layer->in;
    for (size_t y = 0; y < layer->kernel; y++)
        for (size_t t = 0; t < run; t++) window[y * run + t] = in[y * in_width * layer->in + t];
}

static inline int32_t convolve(const stdo_layer *layer, const int16_t *window, size_t channel)
{
    const int16_t *weight = layer->weight + channel * layer->taps;
    const size_t taps = layer->taps & ~(size_t)(STDO_TAPS_MULTIPLE - 1); /* tells the compiler that there is no tail */
    int32_t sum = layer->bias[channel];
    for (size_t t = 0; t < taps; t++) sum += window[t] * weight[t];
    return (clamp(sum >> layer->shift, INT16_MIN, INT16_MAX) * layer->multiplier[channel] + (1 << 14)) >> 15;
}

static void hidden_c(const stdo_layer *layer, const int16_t *in, size_t width, size_t height, int16_t *window,
                     int16_t *out)
{
    const size_t in_width = width + layer->kernel - 1;
    memset(window, 0, layer->taps * sizeof *window);
    for (size_t y = 0; y < height; y++)
        for (size_t x = 0; x < width; x++) {
            gather(layer, in + (y * in_width + x) * layer->in, in_width, window);
            for (size_t o = 0; o < layer->out; o++) *out++ = (int16_t)clamp(convolve(layer, window, o), 0, 255);
        }
}

static void last_c(const stdo_layer *layer, const int16_t *in, size_t width, size_t height, int16_t *window,
                   size_t scale, int16_t *residual)
{
    const size_t in_width = width + layer->kernel - 1, hr_width = width * scale;
    memset(window, 0, layer->taps * sizeof *window);
    for (size_t y = 0; y < height; y++)
        for (size_t x = 0; x < width; x++) {
            gather(layer, in + (y * in_width + x) * layer->in, in_width, window);
            for (size_t dy = 0; dy < scale; dy++)
                for (size_t dx = 0; dx < scale; dx++)
                    residual[(y * scale + dy) * hr_width + x * scale + dx] =
                        (int16_t)convolve(layer, window, dy * scale + dx);
        }
}

static void base_vertical_c(const uint8_t *const row[4], const stdo_phase *phase, size_t width, int16_t *v)
{
    const uint8_t *row0 = row[0], *row1 = row[1], *row2 = row[2], *row3 = row[3];
    const int32_t *tap = phase->tap;
    for (size_t x = 0; x < width; x++)
        v[x] = (int16_t)(tap[0] * (row0[x] - 128) + tap[1] * (row1[x] - 128) + tap[2] * (row2[x] - 128) +
                         tap[3] * (row3[x] - 128));
}

static void base_horizontal_c(const int16_t *v, const stdo_phase *phase, size_t scale, size_t width, int16_t *base)
{
    for (size_t r = 0; r < scale; r++) {
        const int16_t *first = v + 1 + phase[r].offset;
        const int32_t *tap = phase[r].tap;
        for (size_t x = 0; x < width; x++) {
            const int32_t sum =
                tap[0] * first[x] + tap[1] * first[x + 1] + tap[2] * first[x + 2] + tap[3] * first[x + 3];
            base[x * scale + r] = (int16_t)((sum + (128 << 14) + 128 + (32 << 8)) >> 8);
        }
    }
}

static void store_base_c(const int16_t *base, size_t width, uint8_t *hr)
{
    for (size_t x = 0; x < width; x++) hr[x] = (uint8_t)clamp(base[x] >> 6, 0, 255);
}

static void store_sum_c(const int16_t *base, const int16_t *residual, size_t width, uint8_t *hr)
{
    for (size_t x = 0; x < width; x++) hr[x] = (uint8_t)clamp((base[x] + residual[x]) >> 6, 0, 255);
}

void stdo_kernels_init(stdo_kernels *kernels)
{
    kernels->hidden = hidden_c;
    kernels->last = last_c;
    kernels->base_vertical = base_vertical_c;
    kernels->base_horizontal = base_horizontal_c;
    kernels->store_base = store_base_c;
    kernels->store_sum = store_sum_c;
}
