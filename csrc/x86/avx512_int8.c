/* Integer convolutions with AVX-512 VNNI. avx512_layer.inc says how layers are cut and packed; here they are run.

   Registers, of 32: PIXELS x 2 sums, 2 vectors of weights, one unit. */
#include "../architecture.h"
#include "../residual.h"
#include "../sizes.h"
#include "../unroll.h"
#include "kernels_x86.h"

#include <string.h>

#if defined(STDO_X86)
#include "begin_avx512vnni.inc"

#include "avx512_layer.inc"

enum { PIXELS = 12, PIXELS_TAIL = 4, PIXELS_SPLIT = 8, TALL_STEP = 192 };

static void load(const uint8_t *const lr[], uint32_t planes, size_t width, void *row)
{
    uint8_t *out = row;
    if (planes == 1) {
        memcpy(out, lr[0], width);
        return;
    }
    for (size_t x = 0; x < width; x++, out += 4) {
        for (size_t p = 0; p < planes; p++) out[p] = lr[p][x];
        out[3] = 0;
    }
}

/* ---- The sums of some pixels ---- */

/* Four bytes from anywhere. (_mm_loadu_si32 is missing from GCC 10 and wrong in 11.1.) */
STDO_INLINE int32_t load_unit(const void *in)
{
    int32_t unit;
    memcpy(&unit, in, sizeof unit);
    return unit;
}

STDO_INLINE v512 broadcast(const uint8_t *in, size_t split)
{
    if (split == 4) return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)in));
    if (split == 2) return _mm512_broadcastq_epi64(_mm_loadl_epi64((const __m128i *)(const void *)in));
    return _mm512_set1_epi32(load_unit(in));
}

/* `sum` with the products of four bytes added to each lane. The instruction is written out because GCC 12 copies the
   sums from register to register around its own intrinsic, at half the speed. */
STDO_INLINE v512 dot(v512 sum, v512 unit, v512 weight)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(unit), "v"(weight));
    return sum;
}

/* Adds one row of the window; returns the weights of the next. */
STDO_INLINE const v512 *add_row(const uint8_t *in, size_t pixel, size_t groups, const v512 *weight, size_t pixels,
                                size_t vectors, size_t split, v512 *sum)
{
    for (size_t g = 0; g < groups; g++, in += 4 * split, weight += vectors) {
        STDO_UNROLL
        for (size_t p = 0; p < pixels; p++) {
            const v512 unit = broadcast(in + p * pixel, split);
            STDO_UNROLL
            for (size_t v = 0; v < vectors; v++) sum[p * vectors + v] = dot(sum[p * vectors + v], unit, weight[v]);
        }
    }
    return weight;
}

/* sum[p * vectors + v] of the pixels from x on, not yet shifted. Where the shape is tall, rows[TALL - 1] are the four
   side by side. */
STDO_INLINE void convolve(const shape *s, const uint8_t *const rows[], size_t x, const block *b, size_t pixels,
                          size_t vectors, size_t split, v512 *sum)
{
    STDO_UNROLL
    for (size_t p = 0; p < pixels; p++) {
        STDO_UNROLL
        for (size_t v = 0; v < vectors; v++) sum[p * vectors + v] = b->bias[v];
    }
    const v512 *weight = b->weight;
    size_t row = 0;
    if (s->tall > 0) {
        weight = add_row(rows[TALL - 1] + x * TALL, TALL, s->tall, weight, pixels, vectors, split, sum);
        row = TALL;
    }
    for (; row < s->kernel; row++)
        weight = add_row(rows[row] + x * s->pixel, s->pixel, s->groups, weight, pixels, vectors, split, sum);
}

/* Requantises two vectors of sums; the 128-bit lanes of both lie side by side. */
STDO_INLINE v512 requantise(v512 a, v512 b, __m128i shift, v512 multiplier)
{
    const v512 both = _mm512_packs_epi32(_mm512_sra_epi32(a, shift), _mm512_sra_epi32(b, shift));
    return _mm512_mulhrs_epi16(both, multiplier);
}

/* With two lanes to an output: each 128 bits hold outputs 2l and 2l + 1 of pixel a, then of pixel b. */
STDO_INLINE v512 add_pairs(v512 a, v512 b)
{
    const __m512 x = _mm512_castsi512_ps(a), y = _mm512_castsi512_ps(b);
    return _mm512_add_epi32(_mm512_castps_si512(_mm512_shuffle_ps(x, y, 0x88)),
                            _mm512_castps_si512(_mm512_shuffle_ps(x, y, 0xdd)));
}

/* With four: each 128 bits hold output l of four pixels. */
STDO_INLINE v512 add_fours(const v512 *a)
{
    const v512 low = _mm512_add_epi32(_mm512_unpacklo_epi32(a[0], a[1]), _mm512_unpackhi_epi32(a[0], a[1]));
    const v512 high = _mm512_add_epi32(_mm512_unpacklo_epi32(a[2], a[3]), _mm512_unpackhi_epi32(a[2], a[3]));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(low, high), _mm512_unpackhi_epi64(low, high));
}

/* ---- Hidden layers ---- */

/* Four pixels of 16 channels. Where a pixel is smaller, the next one overwrites the excess. */
STDO_INLINE void store_four(v512 four, uint8_t *out, size_t pixel)
{
    if (pixel == 16) {
        _mm512_storeu_si512(out, four);
        return;
    }
    _mm_storeu_si128((__m128i *)(void *)out, _mm512_castsi512_si128(four));
    _mm_storeu_si128((__m128i *)(void *)(out + pixel), _mm512_extracti32x4_epi32(four, 1));
    _mm_storeu_si128((__m128i *)(void *)(out + 2 * pixel), _mm512_extracti32x4_epi32(four, 2));
    _mm_storeu_si128((__m128i *)(void *)(out + 3 * pixel), _mm512_extracti32x4_epi32(four, 3));
}

STDO_INLINE void hidden_step(const shape *s, const uint8_t *const rows[], size_t x, const block *b, size_t pixels,
                             size_t vectors, uint8_t *out)
{
    const v512 by_pixel = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    /* Read before bytes are written, which might be theirs for all that the compiler knows. */
    const __m128i shift = _mm_cvtsi32_si128(s->shift);
    const size_t out_pixel = s->out_pixel;
    v512 sum[PIXELS * 2];
    convolve(s, rows, x, b, pixels, vectors, 1, sum);
    STDO_UNROLL
    for (size_t p = 0; p < pixels; p += 4) {
        STDO_UNROLL
        for (size_t v = 0; v < vectors; v++) {
            const v512 *a = sum + p * vectors + v;
            const v512 low = requantise(a[0], a[vectors], shift, b->multiplier[v]);
            const v512 high = requantise(a[2 * vectors], a[3 * vectors], shift, b->multiplier[v]);
            store_four(_mm512_permutexvar_epi32(by_pixel, _mm512_packus_epi16(low, high)),
                       out + (x + p) * out_pixel + v * LANES, out_pixel);
        }
    }
}

STDO_INLINE void hidden_block(const shape *s, const uint8_t *const rows[], size_t width, const block *b, size_t vectors,
                              uint8_t *out)
{
    size_t x = 0;
    for (; x + PIXELS <= width; x += PIXELS) hidden_step(s, rows, x, b, PIXELS, vectors, out);
    for (; x < width; x += PIXELS_TAIL) hidden_step(s, rows, x, b, PIXELS_TAIL, vectors, out);
}

/* Five to eight channels: a pixel has eight bytes. */
static void hidden_split2(const shape *s, const uint8_t *const rows[], size_t width, const block *b, uint8_t *out)
{
    const v512 by_pixel =
        _mm512_set_epi16(31, 23, 15, 7, 30, 22, 14, 6, 29, 21, 13, 5, 28, 20, 12, 4,
                         27, 19, 11, 3, 26, 18, 10, 2, 25, 17, 9, 1, 24, 16, 8, 0);
    for (size_t x = 0; x < width; x += PIXELS_SPLIT) {
        const __m128i shift = _mm_cvtsi32_si128(s->shift);
        v512 sum[PIXELS_SPLIT], pair[4];
        convolve(s, rows, x, b, PIXELS_SPLIT, 1, 2, sum);
        STDO_UNROLL
        for (size_t i = 0; i < 4; i++) pair[i] = add_pairs(sum[2 * i], sum[2 * i + 1]);
        const v512 eight = _mm512_packus_epi16(requantise(pair[0], pair[1], shift, b->multiplier[0]),
                                               requantise(pair[2], pair[3], shift, b->multiplier[0]));
        _mm512_storeu_si512(out + x * 8, _mm512_permutexvar_epi16(by_pixel, eight));
    }
}

/* Eight pixels' requantised sums, four lanes to an output: each 128 bits hold one output. */
STDO_INLINE v512 convolve_split4(const shape *s, const uint8_t *const rows[], size_t x, const block *b)
{
    v512 sum[PIXELS_SPLIT];
    convolve(s, rows, x, b, PIXELS_SPLIT, 1, 4, sum);
    return requantise(add_fours(sum), add_fours(sum + 4), _mm_cvtsi32_si128(s->shift), b->multiplier[0]);
}

static void hidden_split4(const shape *s, const uint8_t *const rows[], size_t width, const block *b, uint8_t *out)
{
    for (size_t x = 0; x < width; x += PIXELS_SPLIT) {
        const v512 outs = convolve_split4(s, rows, x, b);
        const __m256i bytes = _mm512_cvtusepi16_epi8(_mm512_max_epi16(outs, _mm512_setzero_si512()));
        const __m128i low = _mm256_castsi256_si128(bytes), high = _mm256_extracti128_si256(bytes, 1);
        /* low: outputs 0 and 1 of eight pixels each, high: 2 and 3. */
        const __m128i a = _mm_unpacklo_epi8(low, _mm_srli_si128(low, 8));
        const __m128i c = _mm_unpacklo_epi8(high, _mm_srli_si128(high, 8));
        if (s->out_pixel == 1) { /* one channel */
            _mm_storel_epi64((__m128i *)(void *)(out + x), low);
            continue;
        }
        _mm_storeu_si128((__m128i *)(void *)(out + x * 4), _mm_unpacklo_epi16(a, c));
        _mm_storeu_si128((__m128i *)(void *)(out + x * 4 + 16), _mm_unpackhi_epi16(a, c));
    }
}

static void hidden_rows(const stdo_layer *layer, const shape *s, const uint8_t *const rows[], size_t width,
                        uint8_t *out)
{
    const uint8_t *at = (const uint8_t *)layer->packed + head_bytes();
    for (size_t v = 0; v < s->vectors; v += 2) {
        const size_t vectors = block_vectors(s, v);
        const block *b = (const block *)(const void *)at;
        if (s->split == 4)
            hidden_split4(s, rows, width, b, out);
        else if (s->split == 2)
            hidden_split2(s, rows, width, b, out);
        else if (vectors == 2)
            hidden_block(s, rows, width, b, 2, out + v * LANES);
        else
            hidden_block(s, rows, width, b, 1, out + v * LANES);
        at += block_bytes(s, vectors);
    }
}

/* Four rows of one channel side by side: byte 4x + i is rows[i][x]. */
static void lay_tall(const uint8_t *const rows[], size_t width, uint8_t *tall)
{
    for (size_t x = 0; x < width; x += 16) {
        __m128i r[TALL];
        STDO_UNROLL
        for (size_t i = 0; i < TALL; i++) r[i] = _mm_loadu_si128((const __m128i *)(const void *)(rows[i] + x));
        const __m128i low01 = _mm_unpacklo_epi8(r[0], r[1]), high01 = _mm_unpackhi_epi8(r[0], r[1]);
        const __m128i low23 = _mm_unpacklo_epi8(r[2], r[3]), high23 = _mm_unpackhi_epi8(r[2], r[3]);
        __m128i *to = (__m128i *)(void *)(tall + x * TALL);
        _mm_storeu_si128(to, _mm_unpacklo_epi16(low01, low23));
        _mm_storeu_si128(to + 1, _mm_unpackhi_epi16(low01, low23));
        _mm_storeu_si128(to + 2, _mm_unpacklo_epi16(high01, high23));
        _mm_storeu_si128(to + 3, _mm_unpackhi_epi16(high01, high23));
    }
}

/* The part of a row from x on, where rows are tall TALL_STEP pixels at most: returns its width, and makes its rows. */
static size_t next_rows(const shape *s, const void *const rows[], size_t width, size_t x, const uint8_t *in[],
                        uint8_t *tall)
{
    for (size_t i = 0; i < s->kernel; i++) in[i] = (const uint8_t *)rows[i] + x * s->pixel;
    if (s->tall == 0) return width;
    const size_t part = width - x < TALL_STEP ? width - x : TALL_STEP;
    lay_tall(in, part + s->kernel + PIXELS, tall);
    in[TALL - 1] = tall;
    return part;
}

enum { TALL_BYTES = (TALL_STEP + STDO_MAX_KERNEL + PIXELS + 16) * TALL + 16 };

static void hidden(const stdo_layer *layer, const void *const rows[], size_t width, void *out)
{
    const shape s = *(const shape *)layer->packed;
    const uint8_t *in[STDO_MAX_KERNEL];
    uint8_t tall[TALL_BYTES];
    for (size_t x = 0, part; x < width; x += part) {
        part = next_rows(&s, rows, width, x, in, tall);
        hidden_rows(layer, &s, in, part, (uint8_t *)out + x * s.out_pixel);
    }
}

/* ---- The last layer ---- */

/* Each 128 bits are eight hr pixels of a row: at scale 4 two pixels of one plane. */
STDO_INLINE void store_shuffled4(v512 two, int16_t *residual, size_t stride)
{
    _mm_storeu_si128((__m128i *)(void *)residual, _mm512_castsi512_si128(two));
    _mm_storeu_si128((__m128i *)(void *)(residual + stride), _mm512_extracti32x4_epi32(two, 1));
    _mm_storeu_si128((__m128i *)(void *)(residual + 2 * stride), _mm512_extracti32x4_epi32(two, 2));
    _mm_storeu_si128((__m128i *)(void *)(residual + 3 * stride), _mm512_extracti32x4_epi32(two, 3));
}

STDO_INLINE void last_step(const shape *s, const uint8_t *const rows[], size_t x, const block *b, size_t pixels,
                           size_t vectors, size_t scale, const stdo_residual *to)
{
    const __m128i shift = _mm_cvtsi32_si128(s->shift);
    v512 sum[PIXELS * 2];
    convolve(s, rows, x, b, pixels, vectors, 1, sum);
    STDO_UNROLL
    for (size_t p = 0; p < pixels; p += 2) {
        STDO_UNROLL
        for (size_t v = 0; v < vectors; v++) {
            const v512 two =
                requantise(sum[p * vectors + v], sum[(p + 1) * vectors + v], shift, b->multiplier[v]);
            int16_t *pixel = to->values + (x + p) * scale;
            if (scale == 4) {
                store_shuffled4(two, pixel + to->offset[v * LANES], to->stride);
                continue;
            }
            int16_t value[2 * LANES]; /* [output / 4][pixel][output % 4] */
            _mm512_storeu_si512(value, two);
            const size_t *offset = to->offset + v * LANES;
            const size_t outs = to->outs - v * LANES;
            for (size_t o = 0; o < LANES && o < outs; o++) {
                const int16_t *from = value + (o >> 2) * 8 + (o & 3);
                pixel[offset[o]] = from[0];
                pixel[offset[o] + scale] = from[4];
            }
        }
    }
}

STDO_INLINE void last_block(const shape *s, const uint8_t *const rows[], size_t width, const block *b, size_t vectors,
                            size_t scale, const stdo_residual *residual)
{
    const stdo_residual to = *residual;
    size_t x = 0;
    for (; x + PIXELS <= width; x += PIXELS) last_step(s, rows, x, b, PIXELS, vectors, scale, &to);
    for (; x < width; x += PIXELS_TAIL) last_step(s, rows, x, b, PIXELS_TAIL, vectors, scale, &to);
}

/* Up to four outputs: one plane at scale 2, or one or three at scale 1. */
static void last_split4(const shape *s, const uint8_t *const rows[], size_t width, const block *b, size_t scale,
                        const stdo_residual *to)
{
    int16_t *residual = to->values;
    const size_t stride = to->stride;
    for (size_t x = 0; x < width; x += PIXELS_SPLIT) {
        const v512 value = convolve_split4(s, rows, x, b);
        const __m128i out[4] = {_mm512_castsi512_si128(value), _mm512_extracti32x4_epi32(value, 1),
                                _mm512_extracti32x4_epi32(value, 2), _mm512_extracti32x4_epi32(value, 3)};
        if (scale == 1) {
            STDO_UNROLL
            for (size_t o = 0; o < 4; o++)
                if (o < to->outs) _mm_storeu_si128((__m128i *)(void *)(residual + o * stride + x), out[o]);
            continue;
        }
        STDO_UNROLL
        for (size_t dy = 0; dy < 2; dy++) {
            int16_t *row = residual + dy * stride + x * 2;
            _mm_storeu_si128((__m128i *)(void *)row, _mm_unpacklo_epi16(out[2 * dy], out[2 * dy + 1]));
            _mm_storeu_si128((__m128i *)(void *)(row + 8), _mm_unpackhi_epi16(out[2 * dy], out[2 * dy + 1]));
        }
    }
}

/* Eight outputs: two planes at scale 2. Each 128 bits hold outputs 2l and 2l + 1, which lie side by side in row l, of
   four pixels. */
static void last_split2(const shape *s, const uint8_t *const rows[], size_t width, const block *b,
                        const stdo_residual *to)
{
    int16_t *residual = to->values;
    const size_t stride = to->stride;
    for (size_t x = 0; x < width; x += PIXELS_SPLIT) {
        const __m128i shift = _mm_cvtsi32_si128(s->shift);
        v512 sum[PIXELS_SPLIT];
        convolve(s, rows, x, b, PIXELS_SPLIT, 1, 2, sum);
        STDO_UNROLL
        for (size_t i = 0; i < PIXELS_SPLIT; i += 4)
            store_shuffled4(requantise(add_pairs(sum[i], sum[i + 1]), add_pairs(sum[i + 2], sum[i + 3]), shift,
                                       b->multiplier[0]),
                            residual + (x + i) * 2, stride);
    }
}

static void last_rows(const stdo_layer *layer, const shape *s, const uint8_t *const rows[], size_t width, size_t scale,
                      const stdo_residual *all)
{
    const uint8_t *at = (const uint8_t *)layer->packed + head_bytes();
    for (size_t v = 0; v < s->vectors; v += 2) {
        const size_t vectors = block_vectors(s, v);
        const block *b = (const block *)(const void *)at;
        const stdo_residual to = stdo_residual_from(all, v * LANES);
        if (s->split == 4)
            last_split4(s, rows, width, b, scale, &to);
        else if (s->split == 2) /* 5 to 8 outputs: only nets for chroma at scale 2 have so many, and these are 8 */
            last_split2(s, rows, width, b, &to);
        else if (vectors == 2 && scale == 4)
            last_block(s, rows, width, b, 2, 4, &to);
        else if (vectors == 2)
            last_block(s, rows, width, b, 2, scale, &to);
        else if (scale == 4)
            last_block(s, rows, width, b, 1, 4, &to);
        else
            last_block(s, rows, width, b, 1, scale, &to);
        at += block_bytes(s, vectors);
    }
}

static void last(const stdo_layer *layer, const void *const rows[], size_t width, uint32_t scale, int16_t *residual,
                 size_t stride)
{
    const shape s = *(const shape *)layer->packed;
    size_t offset[STDO_MAX_LAST];
    stdo_residual to = stdo_residual_of(layer, scale, residual, stride, offset);
    const uint8_t *in[STDO_MAX_KERNEL];
    uint8_t tall[TALL_BYTES];
    for (size_t x = 0, part; x < width; x += part, to.values += part * scale) {
        part = next_rows(&s, rows, width, x, in, tall);
        last_rows(layer, &s, in, part, scale, &to);
    }
}

const stdo_conv stdo_int8_avx512vnni = {pixel_bytes, packed_bytes, pack, load, hidden, last};

#include "../end_target.inc"
#endif
