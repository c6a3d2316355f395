/* Integer convolutions with ARMv8.0 NEON, for cores without dot products (cortex-a53, a57, a72, a73).

   Sixteen bytes of a row of the window lie in one register, those of the weights of one output in another. SMULL and SMLAL2
   put two products into each of eight 16-bit lanes, and SADALP adds neighbouring lanes into four int32 sums, which are
   added up at the end: 16 products in three instructions.

   Two products fit 16 bits as long as no weight is -128: quantize never makes one, but the format allows it, so a layer
   that has one is `careful` and adds after every product.

   Registers, of 32: 16 sums (4 pixels x 4 outputs), the activations of each pixel, the weights of each output, products. */
#include "kernels_arm.h"

#if defined(__aarch64__)
#include "finish.h"

enum { PIXELS = 4, WHOLE = 16, HALF = 8 };

/* A layer: this, then for each vector of outputs a stdo_finish and the weights [row][group][output][byte]. */
typedef struct header {
    int64_t careful, unused;
} header;

/* How a row of the window is cut: groups of 16 bytes, and one of 8 or none. */
typedef struct shape {
    size_t kernel, pixel, wholes, halves;
} shape;

static shape shape_of(const stdo_layer *layer)
{
    const size_t pixel = stdo_arm_pixel_bytes(layer->in), run = layer->kernel * pixel, rest = run % WHOLE;
    const shape s = {layer->kernel, pixel, run / WHOLE + (rest > HALF), rest > 0 && rest <= HALF};
    return s;
}

static size_t row_bytes(const shape *s) { return (s->wholes * WHOLE + s->halves * HALF) * LANES; }
static size_t vector_bytes(const shape *s) { return sizeof(stdo_finish) + s->kernel * row_bytes(s); }
static size_t vectors_of(const stdo_layer *layer) { return (layer->out + LANES - 1) / LANES; }

static size_t packed_bytes(const stdo_layer *layer)
{
    const shape s = shape_of(layer);
    return sizeof(header) + vectors_of(layer) * vector_bytes(&s);
}

static void pack(const stdo_layer *layer, void *packed)
{
    const shape s = shape_of(layer);
    header *head = packed;
    const size_t count = (size_t)layer->kernel * layer->kernel * layer->in * layer->out;
    head->careful = memchr(layer->weight, 0x80, count) != NULL;
    uint8_t *at = (uint8_t *)(head + 1);
    for (size_t v = 0; v < vectors_of(layer); v++) {
        stdo_arm_pack_finish(layer, v, (stdo_finish *)(void *)at);
        int8_t *weight = (int8_t *)at + sizeof(stdo_finish);
        for (size_t row = 0; row < s.kernel; row++)
            for (size_t g = 0; g < s.wholes + s.halves; g++)
                for (size_t o = v * LANES; o < (v + 1) * LANES; o++)
                    for (size_t t = 0; t < (g < s.wholes ? WHOLE : HALF); t++)
                        *weight++ = stdo_arm_weight(layer, o, row, g * WHOLE + t);
        at += vector_bytes(&s);
    }
}

/* Sixteen bytes of each pixel with each output: sum[p * LANES + o]. */
STDO_INLINE void add_whole(const int8_t *in, size_t pixel, const int8_t *weight, int careful, int32x4_t *sum)
{
    int8x16_t a[PIXELS];
    STDO_UNROLL
    for (size_t p = 0; p < PIXELS; p++) a[p] = vld1q_s8(in + p * pixel);
    STDO_UNROLL
    for (size_t o = 0; o < LANES; o++) {
        const int8x16_t w = vld1q_s8(weight + o * WHOLE);
        int16x8_t product[PIXELS];
        STDO_UNROLL
        for (size_t p = 0; p < PIXELS; p++) product[p] = vmull_s8(vget_low_s8(a[p]), vget_low_s8(w));
        STDO_UNROLL
        for (size_t p = 0; p < PIXELS; p++) {
            if (careful) {
                sum[p * LANES + o] = vpadalq_s16(sum[p * LANES + o], product[p]);
                product[p] = vmull_high_s8(a[p], w);
            } else {
                product[p] = vmlal_high_s8(product[p], a[p], w);
            }
        }
        STDO_UNROLL
        for (size_t p = 0; p < PIXELS; p++) sum[p * LANES + o] = vpadalq_s16(sum[p * LANES + o], product[p]);
    }
}

/* Eight bytes of each pixel from one row, or from two: `second` may be NULL. */
STDO_INLINE void add_half(const int8_t *in, const int8_t *second, size_t pixel, const int8_t *weight,
                          const int8_t *second_weight, int careful, int32x4_t *sum)
{
    int8x8_t a[PIXELS], b[PIXELS];
    STDO_UNROLL
    for (size_t p = 0; p < PIXELS; p++) {
        a[p] = vld1_s8(in + p * pixel);
        if (second != NULL) b[p] = vld1_s8(second + p * pixel);
    }
    STDO_UNROLL
    for (size_t o = 0; o < LANES; o++) {
        const int8x8_t w = vld1_s8(weight + o * HALF);
        int16x8_t product[PIXELS];
        STDO_UNROLL
        for (size_t p = 0; p < PIXELS; p++) product[p] = vmull_s8(a[p], w);
        if (second != NULL) {
            const int8x8_t u = vld1_s8(second_weight + o * HALF);
            STDO_UNROLL
            for (size_t p = 0; p < PIXELS; p++) {
                if (careful) {
                    sum[p * LANES + o] = vpadalq_s16(sum[p * LANES + o], product[p]);
                    product[p] = vmull_s8(b[p], u);
                } else {
                    product[p] = vmlal_s8(product[p], b[p], u);
                }
            }
        }
        STDO_UNROLL
        for (size_t p = 0; p < PIXELS; p++) sum[p * LANES + o] = vpadalq_s16(sum[p * LANES + o], product[p]);
    }
}

/* The sums of four pixels and four outputs. */
STDO_INLINE void convolve(const shape *s, const uint8_t *const rows[], size_t offset, const stdo_finish *finish,
                          int careful, int32x4_t *result)
{
    const int8_t *weight = (const int8_t *)(finish + 1);
    const size_t pixel = s->pixel;
    int32x4_t sum[PIXELS * LANES];
    STDO_UNROLL
    for (size_t i = 0; i < PIXELS * LANES; i++) sum[i] = vdupq_n_s32(0);
    if (s->wholes == 0) { /* one channel: two rows together fill the 16-bit lanes */
        size_t row = 0;
        for (; row + 1 < s->kernel; row += 2, weight += 2 * LANES * HALF)
            add_half((const int8_t *)rows[row] + offset, (const int8_t *)rows[row + 1] + offset, pixel, weight,
                     weight + LANES * HALF, careful, sum);
        add_half((const int8_t *)rows[row] + offset, NULL, pixel, weight, NULL, careful, sum);
    } else {
        for (size_t row = 0; row < s->kernel; row++) {
            const int8_t *in = (const int8_t *)rows[row] + offset;
            for (size_t g = 0; g < s->wholes; g++, in += WHOLE, weight += LANES * WHOLE)
                add_whole(in, pixel, weight, careful, sum);
            if (s->halves == 0) continue;
            add_half(in, NULL, pixel, weight, NULL, careful, sum);
            weight += LANES * HALF;
        }
    }
    const int32x4_t bias = vld1q_s32(finish->bias);
    STDO_UNROLL
    for (size_t p = 0; p < PIXELS; p++) {
        const int32x4_t *a = sum + p * LANES;
        result[p] = vaddq_s32(bias, vpaddq_s32(vpaddq_s32(a[0], a[1]), vpaddq_s32(a[2], a[3])));
    }
}

STDO_INLINE void hidden_vector(const shape *s, const uint8_t *const rows[], size_t width, const stdo_finish *finish,
                               int careful, int32x4_t shift, uint8_t *out, size_t out_pixel)
{
    for (size_t x = 0; x < width; x += PIXELS) {
        int32x4_t sum[PIXELS];
        convolve(s, rows, x * s->pixel, finish, careful, sum);
        store_hidden(sum, PIXELS, 1, finish, shift, out + x * out_pixel, out_pixel);
    }
}

static void hidden(const stdo_layer *layer, const void *const rows[], size_t width, void *out)
{
    const shape s = shape_of(layer);
    const header *head = layer->packed;
    const uint8_t *in[STDO_MAX_KERNEL], *at = (const uint8_t *)(head + 1);
    for (size_t i = 0; i < s.kernel; i++) in[i] = rows[i];
    const int32x4_t shift = vdupq_n_s32(-(int32_t)layer->shift);
    for (size_t v = 0; v < vectors_of(layer); v++, at += vector_bytes(&s)) {
        const stdo_finish *finish = (const stdo_finish *)(const void *)at;
        uint8_t *to = (uint8_t *)out + v * LANES;
        if (head->careful)
            hidden_vector(&s, in, width, finish, 1, shift, to, stdo_arm_pixel_bytes(layer->out));
        else
            hidden_vector(&s, in, width, finish, 0, shift, to, stdo_arm_pixel_bytes(layer->out));
    }
}

STDO_INLINE void last_vector(const shape *s, const uint8_t *const rows[], size_t width, const stdo_finish *finish,
                             int careful, int32x4_t shift, size_t first, size_t outs, size_t scale, int16_t *residual,
                             size_t stride)
{
    for (size_t x = 0; x < width; x += PIXELS) {
        int32x4_t sum[PIXELS];
        convolve(s, rows, x * s->pixel, finish, careful, sum);
        store_last(sum, PIXELS, 1, finish, shift, first, outs, scale, x, residual, stride);
    }
}

static void last(const stdo_layer *layer, const void *const rows[], size_t width, uint32_t scale, int16_t *residual,
                 size_t stride)
{
    const shape s = shape_of(layer);
    const header *head = layer->packed;
    const uint8_t *in[STDO_MAX_KERNEL], *at = (const uint8_t *)(head + 1);
    for (size_t i = 0; i < s.kernel; i++) in[i] = rows[i];
    const int32x4_t shift = vdupq_n_s32(-(int32_t)layer->shift);
    for (size_t v = 0; v < vectors_of(layer); v++, at += vector_bytes(&s)) {
        const stdo_finish *finish = (const stdo_finish *)(const void *)at;
        if (head->careful)
            last_vector(&s, in, width, finish, 1, shift, v, layer->out, scale, residual, stride);
        else
            last_vector(&s, in, width, finish, 0, shift, v, layer->out, scale, residual, stride);
    }
}

const stdo_conv stdo_int8_neon = {stdo_arm_pixel_bytes, packed_bytes, pack, stdo_arm_load, hidden, last};

#endif
