/* Float convolutions with NEON: one vector holds four output channels of a pixel; each sum is one chain of fused
   multiply-adds in the order of the plain kernel.

   Registers, of 32: 16 sums (4 pixels x 4 vectors), the 4 vectors of weights of one input, one input. */
#include "../architecture.h"
#include "../residual.h"
#include "../unroll.h"
#include "float_conv.h"

#if defined(STDO_ARM64)

#include <arm_neon.h>

enum { LANES = 4, PIXELS = 4, VECTORS = 4, OUTS = LANES * VECTORS };

/* Packed in blocks of 16 outputs: bias, then the weights [row][column][in][output]. */
static size_t window(const stdo_layer *layer) { return (size_t)layer->kernel * layer->kernel * layer->in; }
static size_t blocks_of(const stdo_layer *layer) { return (layer->out + OUTS - 1) / OUTS; }
static size_t pixel_bytes(uint32_t channels) { return channels * sizeof(float); }

static size_t packed_bytes(const stdo_layer *layer)
{
    return blocks_of(layer) * (window(layer) + 1) * OUTS * sizeof(float);
}

static void pack(const stdo_layer *layer, void *packed)
{
    const size_t count = window(layer);
    const float *bias = layer->bias, *weight = layer->weight;
    float *out = packed;
    for (size_t first = 0; first < blocks_of(layer) * OUTS; first += OUTS) {
        for (size_t o = first; o < first + OUTS; o++) *out++ = o < layer->out ? bias[o] : 0;
        for (size_t t = 0; t < count; t++)
            for (size_t o = first; o < first + OUTS; o++) *out++ = o < layer->out ? weight[o * count + t] : 0;
    }
}

static void load(const uint8_t *const lr[], uint32_t planes, size_t width, void *row)
{
    float *out = row;
    for (size_t x = 0; x < width; x++)
        for (uint32_t p = 0; p < planes; p++) *out++ = (float)lr[p][x];
}

/* sum[p * VECTORS + v] */
STDO_INLINE void convolve(const stdo_layer *layer, const void *const rows[], size_t x, const float *packed,
                          float32x4_t *sum)
{
    STDO_UNROLL
    for (size_t v = 0; v < VECTORS; v++) {
        STDO_UNROLL
        for (size_t p = 0; p < PIXELS; p++) sum[p * VECTORS + v] = vld1q_f32(packed + v * LANES);
    }
    const size_t pixel = layer->in, run = layer->kernel * pixel;
    const float *weight = packed + OUTS;
    for (size_t row = 0; row < layer->kernel; row++) {
        const float *in = (const float *)rows[row] + x * pixel;
        for (size_t t = 0; t < run; t++, in++, weight += OUTS) {
            float32x4_t w[VECTORS];
            STDO_UNROLL
            for (size_t v = 0; v < VECTORS; v++) w[v] = vld1q_f32(weight + v * LANES);
            STDO_UNROLL
            for (size_t p = 0; p < PIXELS; p++) {
                const float32x4_t value = vld1q_dup_f32(in + p * pixel);
                STDO_UNROLL
                for (size_t v = 0; v < VECTORS; v++)
                    sum[p * VECTORS + v] = vfmaq_f32(sum[p * VECTORS + v], w[v], value);
            }
        }
    }
}

/* `value` where it is greater than the limit, and the limit elsewhere and for a NaN. */
STDO_INLINE float32x4_t at_least(float32x4_t value, float limit)
{
    const float32x4_t low = vdupq_n_f32(limit);
    return vbslq_f32(vcgtq_f32(value, low), value, low);
}

static void hidden(const stdo_layer *layer, const void *const rows[], size_t width, void *out)
{
    const float *packed = layer->packed;
    for (size_t first = 0; first < layer->out; first += OUTS, packed += (window(layer) + 1) * OUTS)
        for (size_t x = 0; x < width; x += PIXELS) {
            float32x4_t sum[PIXELS * VECTORS];
            convolve(layer, rows, x, packed, sum);
            for (size_t p = 0; p < PIXELS; p++) {
                float value[OUTS], *to = (float *)out + (x + p) * layer->out + first;
                for (size_t v = 0; v < VECTORS; v++) vst1q_f32(value + v * LANES, at_least(sum[p * VECTORS + v], 0));
                for (size_t o = 0; o < OUTS && first + o < layer->out; o++) to[o] = value[o];
            }
        }
}

static void last(const stdo_layer *layer, const void *const rows[], size_t width, uint32_t scale, int16_t *residual,
                 size_t stride)
{
    size_t offset[STDO_MAX_LAST];
    const stdo_residual all = stdo_residual_of(layer, scale, residual, stride, offset);
    const float *packed = layer->packed;
    const float32x4_t high = vdupq_n_f32(32767.0f);
    for (size_t first = 0; first < layer->out; first += OUTS, packed += (window(layer) + 1) * OUTS) {
        const stdo_residual to = stdo_residual_from(&all, first);
        for (size_t x = 0; x < width; x += PIXELS) {
            float32x4_t sum[PIXELS * VECTORS];
            convolve(layer, rows, x, packed, sum);
            for (size_t p = 0; p < PIXELS; p++) {
                int32_t value[OUTS];
                for (size_t v = 0; v < VECTORS; v++) {
                    const float32x4_t scaled = vmulq_n_f32(sum[p * VECTORS + v], 64.0f);
                    vst1q_s32(value + v * LANES, vcvtnq_s32_f32(vminq_f32(at_least(scaled, -32768.0f), high)));
                }
                for (size_t o = 0; o < OUTS && o < to.outs; o++)
                    to.values[to.offset[o] + (x + p) * scale] = (int16_t)value[o];
            }
        }
    }
}

const stdo_conv stdo_float_neon = {pixel_bytes, packed_bytes, pack, load, hidden, last, 0, 0};

#endif
