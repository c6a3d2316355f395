/* Integer convolutions with AVX-512 VNNI. avx512_layer.inc says how layers are cut and packed; here they are run.

   A tile is some outputs of some vectors of 16 pixels. Its sums stay in registers: of 32, up to 24 are sums, up to 12
   are units, and one is a weight. Loads are what would limit it, two a cycle like products, and there the units are read
   across cache lines: 8 outputs of 3 vectors make 24 products of 11 loads. */
#include "../architecture.h"
#include "../sizes.h"
#include "../unroll.h"
#include "kernels_x86.h"

#include <string.h>

#if defined(STDO_X86)
#include "begin_avx512vnni.inc"

#include "avx512_layer.inc"

enum { MAX_OUTS = 8, MAX_VECTORS = 12, MAX_SUMS = 24 };

/* A layer at one place of a row. */
typedef struct task {
    const output *outputs;
    const int32_t *weight;      /* [output / 4][units][4] */
    const uint8_t **unit;       /* [units] of the first pixel */
    size_t units, width;        /* width: pixels to compute */
    int32_t shift;
} task;

/* ---- Sums ---- */

/* `sum` with the products of four bytes added to each lane. The instruction is written out because GCC 12 copies the
   sums from register to register around its own intrinsic, at half the speed. */
STDO_INLINE v512 dot(v512 sum, v512 unit, v512 weight)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(unit), "v"(weight));
    return sum;
}

/* Keeps GCC from computing all addresses that begin here apart, for which it has too few registers. */
#define HIDE(pointer) __asm__("" : "+r"(pointer))

/* sum[o * vectors + v], not yet shifted, of the outputs from `first` on and of the pixels from x on. */
STDO_INLINE void convolve(const task *t, size_t first, size_t outs, size_t x, size_t vectors, v512 *sum)
{
    STDO_UNROLL
    for (size_t o = 0; o < outs; o++) {
        STDO_UNROLL
        for (size_t v = 0; v < vectors; v++) sum[o * vectors + v] = _mm512_set1_epi32(t->outputs[first + o].bias);
    }
    const size_t four = 4 * t->units;
    size_t offset[UNIT]; /* of less than four outputs; as many or more begin with a multiple of four */
    STDO_UNROLL
    for (size_t o = 0; o < outs && o < UNIT; o++) offset[o] = (first % 4 + o) / 4 * four + (first + o) % 4;
    const int32_t *weight = t->weight + first / 4 * four;
    for (size_t u = 0; u < t->units; u++, weight += 4) {
        const uint8_t *from = t->unit[u] + x * UNIT;
        const int32_t *rest = weight + four;
        HIDE(from);
        HIDE(weight);
        HIDE(rest);
        v512 in[MAX_VECTORS];
        STDO_UNROLL
        for (size_t v = 0; v < vectors; v++) in[v] = _mm512_loadu_si512(from + v * LANES * UNIT);
        STDO_UNROLL
        for (size_t o = 0; o < outs; o++) {
            const int32_t *at = outs < 4 ? weight + offset[o] : (o < 4 ? weight : rest) + o % 4;
            const v512 w = _mm512_set1_epi32(*at);
            STDO_UNROLL
            for (size_t v = 0; v < vectors; v++) sum[o * vectors + v] = dot(sum[o * vectors + v], in[v], w);
        }
    }
}

/* Requantises two vectors of sums; the 128-bit lanes of both lie side by side. */
STDO_INLINE v512 requantise(v512 a, v512 b, v512 shift, v512 multiplier)
{
    const v512 both = _mm512_packs_epi32(_mm512_srav_epi32(a, shift), _mm512_srav_epi32(b, shift));
    return _mm512_mulhrs_epi16(both, multiplier);
}

/* The multipliers of two outputs that are packed together, or of one that is packed with itself. */
STDO_INLINE v512 multipliers(const output *a, const output *b)
{
    int64_t low, high;
    memcpy(&low, a->multiplier, sizeof low);
    memcpy(&high, b->multiplier, sizeof high);
    return _mm512_broadcast_i32x4(_mm_set_epi64x(high, low));
}

/* ---- Hidden layers ---- */

/* `plane`: bytes from four channels to the next four. */
STDO_INLINE void hidden_tile(const task *t, size_t first, size_t outs, size_t x, size_t vectors, uint8_t *out,
                             size_t plane)
{
    const v512 by_pixel =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const v512 shift = _mm512_set1_epi32(t->shift);
    const output *of = t->outputs + first;
    v512 sum[MAX_SUMS];
    convolve(t, first, outs, x, vectors, sum);
    STDO_UNROLL
    for (size_t o = 0; o < outs; o += UNIT) {
        const size_t b = o + 1 < outs ? o + 1 : o, c = o + 2 < outs ? o + 2 : o, d = o + 3 < outs ? o + 3 : c;
        const v512 m01 = multipliers(&of[o], &of[b]), m23 = multipliers(&of[c], &of[d]);
        STDO_UNROLL
        for (size_t v = 0; v < vectors; v++) {
            const v512 low = requantise(sum[o * vectors + v], sum[b * vectors + v], shift, m01);
            const v512 high = requantise(sum[c * vectors + v], sum[d * vectors + v], shift, m23);
            const v512 units = _mm512_shuffle_epi8(_mm512_packus_epi16(low, high), by_pixel);
            _mm512_storeu_si512(out + (first + o) / UNIT * plane + (x + v * LANES) * UNIT, units);
        }
    }
}

STDO_INLINE void hidden_outs(const task *t, size_t first, size_t outs, size_t vectors, uint8_t *out, size_t plane)
{
    const size_t fewer = vectors > 6 ? 4 : vectors > 4 ? 2 : 1;
    size_t x = 0;
    for (; x + (vectors - 1) * LANES < t->width; x += vectors * LANES)
        hidden_tile(t, first, outs, x, vectors, out, plane);
    for (; x + (fewer - 1) * LANES < t->width; x += fewer * LANES) hidden_tile(t, first, outs, x, fewer, out, plane);
    for (; x < t->width; x += LANES) hidden_tile(t, first, outs, x, 1, out, plane);
}

/* One channel: its pixels are single bytes. */
static void hidden_alone(const task *t, uint8_t *out)
{
    const v512 first_of_four = _mm512_set_epi32(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 8, 4, 0);
    const v512 shift = _mm512_set1_epi32(t->shift);
    for (size_t x = 0; x < t->width; x += LANES) {
        v512 sum[1];
        convolve(t, 0, 1, x, 1, sum);
        const v512 q = requantise(sum[0], sum[0], shift, multipliers(t->outputs, t->outputs));
        const v512 bytes = _mm512_permutexvar_epi32(first_of_four, _mm512_packus_epi16(q, q));
        _mm_storeu_si128((__m128i *)(void *)(out + x), _mm512_castsi512_si128(bytes));
    }
}

static void hidden_part(const task *t, size_t out, uint8_t *to, size_t plane)
{
    size_t first = 0;
    if (out == 1) {
        hidden_alone(t, to);
        return;
    }
    for (; first + MAX_OUTS <= out; first += MAX_OUTS) hidden_outs(t, first, 8, 3, to, plane);
    /* Some outputs more than there are, of zeros: fewer kinds of tiles keep the library small. */
    const size_t left = out - first;
    if (left > 6)
        hidden_outs(t, first, 8, 3, to, plane);
    else if (left > 4)
        hidden_outs(t, first, 6, 4, to, plane);
    else if (left > 0)
        hidden_outs(t, first, 4, 4, to, plane);
}

static task task_of(const shape *s, const uint8_t *unit[])
{
    const output *outputs = (const output *)(s + 1);
    return (task){outputs, (const int32_t *)(const void *)(outputs + padded(s->out)), unit, s->units, 0, s->shift};
}

static void hidden(const stdo_layer *layer, const void *const rows[], size_t width, void *out)
{
    const shape *s = layer->packed;
    const uint8_t *unit[MAX_UNITS];
    uint8_t laid[MAX_LAID][LAID_BYTES];
    task t = task_of(s, unit);
    const size_t pixel = s->out == 1 ? 1 : UNIT, plane = stdo_plane_pixels(width) * UNIT;
    for (size_t x = 0; x < width; x += t.width) {
        t.width = part_of(s, width - x);
        list_units(s, rows, width + s->kernel - 1, x, t.width, laid, unit);
        hidden_part(&t, s->out, (uint8_t *)out + x * pixel, plane);
    }
}

/* ---- The last layer ---- */

/* Scale 4: a row of outputs of 16 pixels. */
STDO_INLINE void store_row4(v512 low, v512 high, int16_t *to)
{
    /* low: outputs 0 and 1, high: 2 and 3, of four pixels in each 128 bits. */
    const v512 even = _mm512_unpacklo_epi16(low, high), odd = _mm512_unpackhi_epi16(low, high);
    const v512 a = _mm512_unpacklo_epi16(even, odd), b = _mm512_unpackhi_epi16(even, odd);
    const v512 first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), rest = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    _mm512_storeu_si512(to, _mm512_permutex2var_epi64(a, first, b));
    _mm512_storeu_si512(to + 32, _mm512_permutex2var_epi64(a, rest, b));
}

/* Scale 3: a row of outputs of 16 pixels, or of 32 if `both`. row[dx] has pixels 0..3 and 16..19 in its first 128 bits,
   and so on. */
STDO_INLINE void store_row3(const v512 *row, int both, int16_t *to)
{
    static const int16_t from[3][32] = {
#define PIXEL(x) (((x) / 4 % 4) * 8 + (x) / 16 * 4 + (x) % 4)
#define PIXELS_FROM(i) \
    PIXEL((i) / 3), PIXEL(((i) + 1) / 3), PIXEL(((i) + 2) / 3), PIXEL(((i) + 3) / 3), PIXEL(((i) + 4) / 3), \
        PIXEL(((i) + 5) / 3), PIXEL(((i) + 6) / 3), PIXEL(((i) + 7) / 3)
        {PIXELS_FROM(0), PIXELS_FROM(8), PIXELS_FROM(16), PIXELS_FROM(24)},
        {PIXELS_FROM(32), PIXELS_FROM(40), PIXELS_FROM(48), PIXELS_FROM(56)},
        {PIXELS_FROM(64), PIXELS_FROM(72), PIXELS_FROM(80), PIXELS_FROM(88)},
#undef PIXELS_FROM
#undef PIXEL
    };
    v512 out[3];
    STDO_UNROLL
    for (unsigned i = 0; i < 3; i++) {
        /* Value j of vector i is dx = (32 * i + j) % 3, and 32 % 3 is 2. */
        const v512 pixel = _mm512_loadu_si512(from[i]);
        const __mmask32 first = 0x49249249u, second = 0x92492492u, third = 0x24924924u;
        const __mmask32 dx1 = i == 0 ? second : i == 1 ? third : first, dx2 = i == 0 ? third : i == 1 ? first : second;
        out[i] = _mm512_permutexvar_epi16(pixel, row[0]);
        out[i] = _mm512_mask_permutexvar_epi16(out[i], dx1, pixel, row[1]);
        out[i] = _mm512_mask_permutexvar_epi16(out[i], dx2, pixel, row[2]);
    }
    _mm512_storeu_si512(to, out[0]);
    if (!both) {
        _mm256_storeu_si256((__m256i *)(void *)(to + 32), _mm512_castsi512_si256(out[1]));
        return;
    }
    _mm512_storeu_si512(to + 32, out[1]);
    _mm512_storeu_si512(to + 64, out[2]);
}

/* Scale 2: the same. Each 128 bits of `both` have output 0 of four pixels, then output 1. */
STDO_INLINE void store_row2(v512 both, int16_t *to)
{
    const v512 in_turns =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15));
    _mm512_storeu_si512(to, _mm512_shuffle_epi8(both, in_turns));
}

/* Scale 1: 16 pixels, or 32 if `both`. */
STDO_INLINE void store_row1(v512 row, int both, int16_t *to)
{
    const v512 in_order = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), row);
    if (both)
        _mm512_storeu_si512(to, in_order);
    else
        _mm256_storeu_si256((__m256i *)(void *)to, _mm512_castsi512_si256(in_order));
}

/* One output and a kernel of 3: an output alone has a load for each product. Here each column of the window has sums of
   its own for one load, and the sums are moved by columns at the end: column c of vector v is sum[c][v]. */
STDO_INLINE void convolve_alone(const task *t, size_t x, size_t vectors, v512 *sum)
{
    v512 column[3][MAX_VECTORS];
    STDO_UNROLL
    for (size_t v = 0; v <= vectors; v++) {
        column[0][v] = _mm512_set1_epi32(t->outputs->bias);
        column[1][v] = column[2][v] = _mm512_setzero_si512();
    }
    const int32_t *weight = t->weight;
    for (size_t u = 0; u < t->units; u += 3, weight += 12) {
        const uint8_t *from = t->unit[u] + x * UNIT;
        HIDE(from);
        v512 in[MAX_VECTORS];
        STDO_UNROLL
        for (size_t v = 0; v <= vectors; v++) in[v] = _mm512_loadu_si512(from + v * LANES * UNIT);
        STDO_UNROLL
        for (size_t c = 0; c < 3; c++) {
            const v512 w = _mm512_set1_epi32(weight[4 * c]);
            STDO_UNROLL
            for (size_t v = 0; v < vectors + (c > 0); v++) column[c][v] = dot(column[c][v], in[v], w);
        }
    }
    STDO_UNROLL
    for (size_t v = 0; v < vectors; v++) {
        const v512 one = _mm512_alignr_epi32(column[1][v + 1], column[1][v], 1);
        const v512 two = _mm512_alignr_epi32(column[2][v + 1], column[2][v], 2);
        sum[v] = _mm512_add_epi32(_mm512_add_epi32(column[0][v], one), two);
    }
}

/* Where the outputs of a last layer go. */
typedef struct target {
    int16_t *residual;          /* of the first pixel */
    size_t stride;
} target;

/* One hr row of `scale` outputs; sums of 16 pixels follow one another, those of output dx from sum[dx * vectors] on. */
STDO_INLINE void last_row(const v512 *sum, const output *of, v512 shift, size_t vectors, size_t scale, int16_t *to)
{
    const size_t step = scale % 2 == 1 && vectors > 1 ? 2 : 1, packed = scale == 4 ? 2 : scale == 2 ? 1 : scale;
    STDO_UNROLL
    for (size_t v = 0; v < vectors; v += step) {
        v512 row[3];
        STDO_UNROLL
        for (size_t dx = 0; dx < packed; dx++) {
            if (scale % 2 == 1)
                row[dx] = requantise(sum[dx * vectors + v], sum[dx * vectors + v + step - 1], shift,
                                     multipliers(&of[dx], &of[dx]));
            else
                row[dx] = requantise(sum[2 * dx * vectors + v], sum[(2 * dx + 1) * vectors + v], shift,
                                     multipliers(&of[2 * dx], &of[2 * dx + 1]));
        }
        int16_t *at = to + v * LANES * scale;
        if (scale == 4) store_row4(row[0], row[1], at);
        if (scale == 3) store_row3(row, step == 2, at);
        if (scale == 2) store_row2(row[0], at);
        if (scale == 1) store_row1(row[0], step == 2, at);
    }
}

/* `rows` hr rows of outputs, the first of which `to` points to. */
STDO_INLINE void last_tile(const task *t, size_t first, size_t rows, size_t x, size_t vectors, size_t scale,
                           const target *to)
{
    const v512 shift = _mm512_set1_epi32(t->shift);
    v512 sum[MAX_SUMS];
    convolve(t, first, rows * scale, x, vectors, sum);
    STDO_UNROLL
    for (size_t r = 0; r < rows; r++)
        last_row(sum + r * scale * vectors, t->outputs + first + r * scale, shift, vectors, scale,
                 to->residual + r * to->stride + x * scale);
}

/* All outputs, `rows` hr rows of them at a time. */
STDO_INLINE void last_part(const task *t, size_t out, size_t rows, size_t vectors, size_t scale, target to)
{
    const size_t fewer = vectors > 6 ? 4 : vectors > 4 ? 2 : 1;
    for (size_t first = 0; first < out; first += rows * scale, to.residual += rows * to.stride) {
        size_t x = 0;
        for (; x + (vectors - 1) * LANES < t->width; x += vectors * LANES)
            last_tile(t, first, rows, x, vectors, scale, &to);
        for (; x + (fewer - 1) * LANES < t->width; x += fewer * LANES) last_tile(t, first, rows, x, fewer, scale, &to);
        for (; x < t->width; x += LANES) last_tile(t, first, rows, x, 1, scale, &to);
    }
}

STDO_INLINE void last_alone_tile(const task *t, size_t x, size_t vectors, int16_t *residual)
{
    v512 sum[MAX_VECTORS];
    convolve_alone(t, x, vectors, sum);
    last_row(sum, t->outputs, _mm512_set1_epi32(t->shift), vectors, 1, residual + x);
}

static void last_alone(const task *t, int16_t *residual)
{
    size_t x = 0;
    for (; x + 5 * LANES < t->width; x += 6 * LANES) last_alone_tile(t, x, 6, residual);
    for (; x + LANES < t->width; x += 2 * LANES) last_alone_tile(t, x, 2, residual);
    if (x < t->width) last_alone_tile(t, x, 1, residual);
}

static void last(const stdo_layer *layer, const void *const rows[], size_t width, uint32_t scale, int16_t *residual,
                 size_t stride)
{
    const shape *s = layer->packed;
    const uint8_t *unit[MAX_UNITS];
    uint8_t laid[MAX_LAID][LAID_BYTES];
    task t = task_of(s, unit);
    for (size_t x = 0; x < width; x += t.width) {
        const target to = {residual + x * scale, stride};
        t.width = part_of(s, width - x);
        list_units(s, rows, width + s->kernel - 1, x, t.width, laid, unit);
        if (scale == 4)
            last_part(&t, s->out, 2, 3, 4, to);
        else if (scale == 3)
            last_part(&t, s->out, 1, 6, 3, to);
        else if (scale == 2)
            last_part(&t, s->out, 2, 4, 2, to);
        else if (s->out == 3)
            last_part(&t, 3, 3, 6, 1, to);
        else if (s->out == 2)
            last_part(&t, 2, 2, 6, 1, to);
        else if (s->in > 1 && s->kernel == 3)
            last_alone(&t, to.residual);
        else
            last_part(&t, 1, 1, 12, 1, to);
    }
}

const stdo_conv stdo_int8_avx512vnni = {pixel_bytes, packed_bytes, pack, load, hidden, last, UNIT, 24};

#include "../end_target.inc"
#endif
