/* Integer convolutions with AVX2, which has no exact product of bytes: activations and weights are widened to 16 bits,
   and vpmaddwd adds two products into each of eight int32 sums, one for each output channel. A unit, two activations,
   is broadcast to all of them.

   Registers, of 16: PIXELS x 2 sums, 2 vectors of weights, one unit, one product. */
#include "../architecture.h"
#include "../residual.h"
#include "../sizes.h"
#include "../unroll.h"
#include "kernels_x86.h"

#include <string.h>

#if defined(STDO_X86)
#include "begin_avx2.inc"

enum { LANES = 8, PIXELS = 6 };

typedef __m256i v256;

/* How a layer is cut; packed weights begin with it. */
typedef struct shape {
    size_t kernel;
    size_t pixel;     /* values in an input pixel */
    size_t out_pixel; /* values in an output pixel */
    size_t units;     /* in a row of the window */
    size_t vectors;   /* of output channels */
    int32_t shift;
} shape;

/* For one or two vectors of output channels: bias, multiplier, then the weights [row][unit][vector]. */
typedef struct block {
    v256 bias[2], multiplier;
    v256 weight[];
} block;

static size_t pixel_values(uint32_t channels)
{
    if (channels == 1) return 1;
    return (size_t)align_up(channels, channels <= 2 * LANES ? 2 : LANES);
}

static size_t pixel_bytes(uint32_t channels) { return pixel_values(channels) * sizeof(int16_t); }

static shape shape_of(const stdo_layer *layer)
{
    shape s;
    s.kernel = layer->kernel;
    s.pixel = pixel_values(layer->in);
    s.out_pixel = pixel_values(layer->out);
    s.units = (s.kernel * s.pixel + 1) / 2;
    s.vectors = (layer->out + LANES - 1) / LANES;
    s.shift = (int32_t)layer->shift;
    return s;
}

/* Bytes before the first block. */
static size_t head_bytes(void) { return (size_t)align_up(sizeof(shape), STDO_ALIGNMENT); }

static size_t block_vectors(const shape *s, size_t first) { return s->vectors - first >= 2 ? 2 : 1; }

static size_t block_bytes(const shape *s, size_t vectors)
{
    return sizeof(block) + s->kernel * s->units * vectors * sizeof(v256);
}

static size_t packed_bytes(const stdo_layer *layer)
{
    const shape s = shape_of(layer);
    size_t bytes = head_bytes();
    for (size_t v = 0; v < s.vectors; v += 2) bytes += block_bytes(&s, block_vectors(&s, v));
    return bytes;
}

/* The weight of output `o` for value `at` of row `row` of the window. */
static int16_t weight_at(const stdo_layer *layer, const shape *s, size_t o, size_t row, size_t at)
{
    const size_t column = at / s->pixel, channel = at % s->pixel;
    if (o >= layer->out || column >= s->kernel || channel >= layer->in) return 0;
    return ((const int8_t *)layer->weight)[((o * s->kernel + row) * s->kernel + column) * layer->in + channel];
}

static void pack_block(const stdo_layer *layer, const shape *s, size_t first, size_t vectors, block *b)
{
    int16_t multiplier[2 * LANES] = {0};
    for (size_t v = 0; v < 2; v++) {
        int32_t bias[LANES] = {0};
        for (size_t i = 0; i < LANES; i++) {
            const size_t o = (first + v) * LANES + i;
            if (v >= vectors || o >= layer->out) break;
            bias[i] = ((const int32_t *)layer->bias)[o];
            /* Packing puts four sums of one vector beside four of the other: the second vector, or the next pixel. */
            const size_t at = i / 4 * 8 + i % 4;
            multiplier[at + 4 * v] = (int16_t)layer->multiplier[o];
            if (vectors == 1) multiplier[at + 4] = multiplier[at];
        }
        b->bias[v] = _mm256_loadu_si256((const v256 *)(const void *)bias);
    }
    b->multiplier = _mm256_loadu_si256((const v256 *)(const void *)multiplier);
    int16_t *weight = (int16_t *)b->weight;
    for (size_t row = 0; row < s->kernel; row++)
        for (size_t u = 0; u < s->units; u++)
            for (size_t v = 0; v < vectors; v++)
                for (size_t lane = 0; lane < LANES; lane++)
                    for (size_t t = 0; t < 2; t++)
                        *weight++ = weight_at(layer, s, (first + v) * LANES + lane, row, 2 * u + t);
}

static void pack(const stdo_layer *layer, void *packed)
{
    const shape s = shape_of(layer);
    uint8_t *at = (uint8_t *)packed + head_bytes();
    *(shape *)packed = s;
    for (size_t v = 0; v < s.vectors; v += 2) {
        const size_t vectors = block_vectors(&s, v);
        pack_block(layer, &s, v, vectors, (block *)(void *)at);
        at += block_bytes(&s, vectors);
    }
}

static void load(const uint8_t *const lr[], uint32_t planes, size_t width, void *row)
{
    int16_t *out = row;
    const size_t pixel = pixel_values(planes);
    for (size_t x = 0; x < width; x++, out += pixel) {
        for (size_t p = 0; p < planes; p++) out[p] = lr[p][x];
        for (size_t p = planes; p < pixel; p++) out[p] = 0;
    }
}

/* Four bytes from anywhere. (_mm_loadu_si32 is missing from GCC 10 and wrong in 11.1.) */
STDO_INLINE int32_t load_unit(const void *in)
{
    int32_t unit;
    memcpy(&unit, in, sizeof unit);
    return unit;
}

/* sum[p * vectors + v], shifted */
STDO_INLINE void convolve(const shape *s, const int16_t *const rows[], size_t x, const block *b, size_t vectors,
                          __m128i shift, v256 *sum)
{
    STDO_UNROLL
    for (size_t p = 0; p < PIXELS; p++) {
        STDO_UNROLL
        for (size_t v = 0; v < vectors; v++) sum[p * vectors + v] = b->bias[v];
    }
    const v256 *weight = b->weight;
    const size_t pixel = s->pixel, units = s->units;
    for (size_t row = 0; row < s->kernel; row++) {
        const int16_t *in = rows[row] + x * pixel;
        for (size_t u = 0; u < units; u++, in += 2, weight += vectors) {
            STDO_UNROLL
            for (size_t p = 0; p < PIXELS; p++) {
                const v256 unit = _mm256_set1_epi32(load_unit(in + p * pixel));
                STDO_UNROLL
                for (size_t v = 0; v < vectors; v++)
                    sum[p * vectors + v] =
                        _mm256_add_epi32(sum[p * vectors + v], _mm256_madd_epi16(unit, weight[v]));
            }
        }
    }
    STDO_UNROLL
    for (size_t i = 0; i < PIXELS * vectors; i++) sum[i] = _mm256_sra_epi32(sum[i], shift);
}

/* With two vectors, the 16 outputs of pixel p; with one, the 8 of pixel p and the 8 of pixel p + 1. */
STDO_INLINE v256 requantise(const v256 *sum, size_t p, size_t vectors, v256 multiplier)
{
    const v256 a = sum[p * vectors], b = sum[p * vectors + 1];
    return _mm256_permute4x64_epi64(_mm256_mulhrs_epi16(_mm256_packs_epi32(a, b), multiplier), 0xd8);
}

STDO_INLINE void hidden_block(const shape *s, const int16_t *const rows[], size_t width, const block *b, size_t vectors,
                              int16_t *out)
{
    const v256 zero = _mm256_setzero_si256(), most = _mm256_set1_epi16(255);
    /* Read before rows are written, which might be theirs for all that the compiler knows. */
    const __m128i shift = _mm_cvtsi32_si128(s->shift);
    const size_t out_pixel = s->out_pixel;
    for (size_t x = 0; x < width; x += PIXELS) {
        v256 sum[PIXELS * 2];
        convolve(s, rows, x, b, vectors, shift, sum);
        STDO_UNROLL
        for (size_t p = 0; p < PIXELS; p += 3 - vectors) {
            const v256 q = requantise(sum, p, vectors, b->multiplier);
            const v256 value = _mm256_min_epi16(_mm256_max_epi16(q, zero), most);
            int16_t *to = out + (x + p) * out_pixel;
            /* Where a pixel is smaller than what is stored, the next one overwrites it. */
            if (vectors == 2) {
                _mm256_storeu_si256((v256 *)(void *)to, value);
            } else {
                _mm_storeu_si128((__m128i *)(void *)to, _mm256_castsi256_si128(value));
                _mm_storeu_si128((__m128i *)(void *)(to + out_pixel), _mm256_extracti128_si256(value, 1));
            }
        }
    }
}

static void hidden(const stdo_layer *layer, const void *const rows[], size_t width, void *out)
{
    const shape s = *(const shape *)layer->packed;
    const int16_t *in[STDO_MAX_KERNEL];
    for (size_t i = 0; i < s.kernel; i++) in[i] = rows[i];
    const uint8_t *at = (const uint8_t *)layer->packed + head_bytes();
    for (size_t v = 0; v < s.vectors; v += 2) {
        const size_t vectors = block_vectors(&s, v);
        const block *b = (const block *)(const void *)at;
        int16_t *to = (int16_t *)out + v * LANES;
        if (vectors == 2)
            hidden_block(&s, in, width, b, 2, to);
        else
            hidden_block(&s, in, width, b, 1, to);
        at += block_bytes(&s, vectors);
    }
}

STDO_INLINE void last_block(const shape *s, const int16_t *const rows[], size_t width, const block *b, size_t vectors,
                            size_t scale, const stdo_residual *residual)
{
    const stdo_residual to = *residual;
    const __m128i shift = _mm_cvtsi32_si128(s->shift);
    for (size_t x = 0; x < width; x += PIXELS) {
        v256 sum[PIXELS * 2];
        convolve(s, rows, x, b, vectors, shift, sum);
        STDO_UNROLL
        for (size_t p = 0; p < PIXELS; p += 3 - vectors) {
            const v256 q = requantise(sum, p, vectors, b->multiplier);
            if (scale == 4) { /* always two vectors: the 16 outputs are one plane */
                int16_t *row = to.values + to.offset[0] + (x + p) * 4;
                const __m128i low = _mm256_castsi256_si128(q), high = _mm256_extracti128_si256(q, 1);
                _mm_storel_epi64((__m128i *)(void *)row, low);
                _mm_storel_epi64((__m128i *)(void *)(row + to.stride), _mm_unpackhi_epi64(low, low));
                _mm_storel_epi64((__m128i *)(void *)(row + 2 * to.stride), high);
                _mm_storel_epi64((__m128i *)(void *)(row + 3 * to.stride), _mm_unpackhi_epi64(high, high));
                continue;
            }
            int16_t value[2 * LANES];
            _mm256_storeu_si256((v256 *)(void *)value, q);
            int16_t *pixel = to.values + (x + p) * scale;
            for (size_t o = 0; o < vectors * LANES && o < to.outs; o++) pixel[to.offset[o]] = value[o];
            if (vectors == 2) continue;
            for (size_t o = 0; o < LANES && o < to.outs; o++) pixel[scale + to.offset[o]] = value[LANES + o];
        }
    }
}

static void last(const stdo_layer *layer, const void *const rows[], size_t width, uint32_t scale, int16_t *residual,
                 size_t stride)
{
    const shape s = *(const shape *)layer->packed;
    size_t offset[STDO_MAX_LAST];
    const stdo_residual all = stdo_residual_of(layer, scale, residual, stride, offset);
    const int16_t *in[STDO_MAX_KERNEL];
    for (size_t i = 0; i < s.kernel; i++) in[i] = rows[i];
    const uint8_t *at = (const uint8_t *)layer->packed + head_bytes();
    for (size_t v = 0; v < s.vectors; v += 2) {
        const size_t vectors = block_vectors(&s, v);
        const block *b = (const block *)(const void *)at;
        const stdo_residual to = stdo_residual_from(&all, v * LANES);
        if (scale == 4)
            last_block(&s, in, width, b, 2, 4, &to);
        else if (vectors == 2)
            last_block(&s, in, width, b, 2, scale, &to);
        else
            last_block(&s, in, width, b, 1, scale, &to);
        at += block_bytes(&s, vectors);
    }
}

const stdo_conv stdo_int8_avx2 = {pixel_bytes, packed_bytes, pack, load, hidden, last, 0};

#include "../end_target.inc"
#endif
