/* Integer convolutions with NEON, for cores without dot products (cortex-a53, a57, a72, a73), and for 32-bit ARM.

   Sixteen bytes of a row of the window lie in one register, those of the weights of one output in another. SMULL and
   SMLAL2 put two products into each of eight 16-bit lanes, and SADALP adds neighbouring lanes into four int32 sums,
   which are added up at the end: 16 products in three instructions.

   Two products fit 16 bits as long as no weight is -128: the quantiser makes none, but the format allows it, so a layer
   that has one is `careful` and adds after every product.

   Registers, of 32: 16 sums (4 pixels x 4 outputs), the activations of each pixel, the weights of each output,
   products. Of the 16 of 32-bit ARM: 8 sums, of 2 pixels. */
#include "kernels_arm.h"

#include "../architecture.h"

#if defined(STDO_NEON)
#include "begin_neon.inc"
#include "finish.h"

#if defined(STDO_ARM32)
enum { AT_ONCE = 2 };
#else
enum { AT_ONCE = 4 };
#endif
enum { PIXELS = 4, NARROW_PIXELS = 8, WHOLE = 16, HALF = 8 };

/* How the window is cut: `rows` rows of groups of 16 bytes and at most one of 8. With one channel a row would fill less
   than a register, so the window is gathered into one row first, HALF bytes or twice that for each of its rows.

   A packed layer is this, then for each vector of outputs a stdo_finish and the weights [row][group][output][byte]. */
typedef struct shape {
    size_t rows, pixel, wholes, halves;
    size_t gathered; /* bytes of the window that each of its rows takes, or 0 */
    size_t vector_bytes; /* of the stdo_finish and the weights of a vector of outputs */
    int32_t shift;
    int careful;
} shape;

static shape shape_of(const stdo_layer *layer)
{
    shape s = {.rows = layer->kernel, .pixel = stdo_arm_pixel_bytes(layer->in), .shift = (int32_t)layer->shift};
    size_t run = layer->kernel * s.pixel;
    if (s.pixel == 1) {
        s.gathered = layer->kernel <= HALF ? HALF : 2 * HALF;
        run = s.pixel = s.gathered * layer->kernel;
        s.rows = 1;
    }
    s.wholes = run / WHOLE + (run % WHOLE > HALF);
    s.halves = run % WHOLE > 0 && run % WHOLE <= HALF;
    s.vector_bytes = sizeof(stdo_finish) + s.rows * (s.wholes * WHOLE + s.halves * HALF) * LANES;
    return s;
}

/* The weight of output `o` for byte `at` of row `row` as the shape has it. */
static int8_t weight_at(const stdo_layer *layer, const shape *s, size_t o, size_t row, size_t at)
{
    if (s->gathered == 0) return stdo_arm_weight(layer, o, row, at / s->pixel, at % s->pixel);
    return at / s->gathered < layer->kernel ? stdo_arm_weight(layer, o, at / s->gathered, at % s->gathered, 0) : 0;
}

/* Bytes before the first vector. */
static size_t head_bytes(void) { return (size_t)align_up(sizeof(shape), WHOLE); }

static size_t packed_bytes(const stdo_layer *layer)
{
    return head_bytes() + (layer->out + LANES - 1) / LANES * shape_of(layer).vector_bytes;
}

static void pack(const stdo_layer *layer, void *packed)
{
    shape s = shape_of(layer);
    const size_t count = (size_t)layer->kernel * layer->kernel * layer->in * layer->out;
    s.careful = memchr(layer->weight, 0x80, count) != NULL;
    *(shape *)packed = s;
    uint8_t *at = (uint8_t *)packed + head_bytes();
    for (size_t v = 0; v * LANES < layer->out; v++) {
        stdo_arm_pack_finish(layer, v, (stdo_finish *)(void *)at);
        int8_t *weight = (int8_t *)at + sizeof(stdo_finish);
        for (size_t row = 0; row < s.rows; row++)
            for (size_t g = 0; g < s.wholes + s.halves; g++)
                for (size_t o = v * LANES; o < (v + 1) * LANES; o++)
                    for (size_t t = 0; t < (g < s.wholes ? WHOLE : HALF); t++)
                        *weight++ = weight_at(layer, &s, o, row, g * WHOLE + t);
        at += s.vector_bytes;
    }
}

/* ---- Products: sum[p * LANES + o] of AT_ONCE pixels and LANES outputs, or of NARROW_PIXELS pixels and one ---- */

#if defined(STDO_ARM32)
STDO_INLINE int32x4_t add_products(int32x4_t sum, int8x16_t a, int8x16_t w, int careful)
{
    const int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(w));
    if (careful) return vpadalq_s16(vpadalq_s16(sum, low), vmull_high_s8(a, w));
    return vpadalq_s16(sum, vmlal_s8(low, vget_high_s8(a), vget_high_s8(w)));
}

STDO_INLINE void add_narrow(const int8_t *in, size_t pixel, const int8_t *weight, int half, int32x4_t *sum)
{
    const int8x16_t w = vld1q_s8(weight);
    STDO_UNROLL
    for (size_t p = 0; p < NARROW_PIXELS; p++) {
        const int8x16_t a = vld1q_s8(in + p * pixel);
        sum[p] = half ? vpadalq_s16(sum[p], vmull_s8(vget_low_s8(a), vget_low_s8(w))) : add_products(sum[p], a, w, 0);
    }
}

STDO_INLINE void add_whole(const int8_t *in, size_t pixel, const int8_t *weight, int careful, int32x4_t *sum)
{
    int8x16_t a[AT_ONCE];
    STDO_UNROLL
    for (size_t p = 0; p < AT_ONCE; p++) a[p] = vld1q_s8(in + p * pixel);
    STDO_UNROLL
    for (size_t o = 0; o < LANES; o++) {
        const int8x16_t w = vld1q_s8(weight + o * WHOLE);
        STDO_UNROLL
        for (size_t p = 0; p < AT_ONCE; p++)
            sum[p * LANES + o] = add_products(sum[p * LANES + o], a[p], w, careful);
    }
}

STDO_INLINE void add_half(const int8_t *in, size_t pixel, const int8_t *weight, int32x4_t *sum)
{
    STDO_UNROLL
    for (size_t i = 0; i < AT_ONCE * LANES; i++)
        sum[i] = vpadalq_s16(sum[i], vmull_s8(vld1_s8(in + i / LANES * pixel), vld1_s8(weight + i % LANES * HALF)));
}
#else
/* The products of four pixels with two outputs. They are written out in the order in which a core that never looks
   ahead does not wait: eight results are on their way before the first is used. Compilers reorder intrinsics, and
   spill. */
#define EIGHT(op) \
    op("24", "w0", "0", "0") op("25", "w0", "1", "1") op("26", "w0", "2", "2") op("27", "w0", "3", "3") \
    op("28", "w1", "0", "4") op("29", "w1", "1", "5") op("30", "w1", "2", "6") op("31", "w1", "3", "7")
#define MULTIPLY(t, w, p, s) "smull v" t ".8h, %[" w "].8b, %[a" p "].8b\n\t"
#define MULTIPLY_HIGH(t, w, p, s) "smlal2 v" t ".8h, %[" w "].16b, %[a" p "].16b\n\t"
#define ADD(t, w, p, s) "sadalp %[s" s "].4s, v" t ".8h\n\t"
#define SUM(i) "+w"(sum[((i) & 3) * LANES + ((i) >> 2)])
#define SUMS [s0] SUM(0), [s1] SUM(1), [s2] SUM(2), [s3] SUM(3), [s4] SUM(4), [s5] SUM(5), [s6] SUM(6), [s7] SUM(7)
#define OPERANDS [a0] "w"(a[0]), [a1] "w"(a[1]), [a2] "w"(a[2]), [a3] "w"(a[3]), [w0] "w"(w[0]), [w1] "w"(w[1])
#define MEMORY(p) [m##p] "Q"(*(const int8_t(*)[WHOLE])(in + (p) * pixel))
#define PRODUCTS "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31"

/* The first two outputs; meanwhile loads the weights of the other two. */
STDO_INLINE void add_first16(const int8x16_t *a, int8x16_t *w, const int8_t *weight, int32x4_t *sum)
{
    __asm__(EIGHT(MULTIPLY) "ldp %q[w2], %q[w3], [%[weight], #32]\n\t" EIGHT(MULTIPLY_HIGH) EIGHT(ADD)
            : SUMS, [w2] "=&w"(w[2]), [w3] "=&w"(w[3])
            : OPERANDS, [weight] "r"(weight), "m"(*(const int8_t(*)[LANES * WHOLE])weight)
            : PRODUCTS);
}

STDO_INLINE void add_outputs16(const int8x16_t *a, const int8x16_t *w, int32x4_t *sum)
{
    __asm__(EIGHT(MULTIPLY) EIGHT(MULTIPLY_HIGH) EIGHT(ADD) : SUMS : OPERANDS : PRODUCTS);
}

STDO_INLINE void add_outputs8(const int8x8_t *a, const int8x8_t *w, int32x4_t *sum)
{
    __asm__(EIGHT(MULTIPLY) EIGHT(ADD) : SUMS : OPERANDS : PRODUCTS);
}

/* The products of eight pixels with one output. */
#define EIGHT_PIXELS(op) \
    op("24", "w0", "0", "0") op("25", "w0", "1", "1") op("26", "w0", "2", "2") op("27", "w0", "3", "3") \
    op("28", "w0", "4", "4") op("29", "w0", "5", "5") op("30", "w0", "6", "6") op("31", "w0", "7", "7")
#define NARROW_SUMS [s0] "+w"(sum[0]), [s1] "+w"(sum[1]), [s2] "+w"(sum[2]), [s3] "+w"(sum[3]), \
        [s4] "+w"(sum[4]), [s5] "+w"(sum[5]), [s6] "+w"(sum[6]), [s7] "+w"(sum[7])
#define NARROW_OPERANDS [w0] "w"(w), [a0] "w"(a[0]), [a1] "w"(a[1]), [a2] "w"(a[2]), [a3] "w"(a[3]), \
        [a4] "w"(a[4]), [a5] "w"(a[5]), [a6] "w"(a[6]), [a7] "w"(a[7])

/* Sixteen bytes of each pixel, or eight. */
STDO_INLINE void add_narrow(const int8_t *in, size_t pixel, const int8_t *weight, int half, int32x4_t *sum)
{
    const int8x16_t w = vld1q_s8(weight);
    int8x16_t a[NARROW_PIXELS];
    STDO_UNROLL
    for (size_t p = 0; p < NARROW_PIXELS; p++) a[p] = vld1q_s8(in + p * pixel);
    if (half)
        __asm__(EIGHT_PIXELS(MULTIPLY) EIGHT_PIXELS(ADD) : NARROW_SUMS : NARROW_OPERANDS : PRODUCTS);
    else
        __asm__(EIGHT_PIXELS(MULTIPLY) EIGHT_PIXELS(MULTIPLY_HIGH) EIGHT_PIXELS(ADD)
                : NARROW_SUMS : NARROW_OPERANDS : PRODUCTS);
}

/* Sixteen bytes of each pixel with each output: sum[p * LANES + o]. */
STDO_INLINE void add_whole(const int8_t *in, size_t pixel, const int8_t *weight, int careful, int32x4_t *sum)
{
    int8x16_t a[AT_ONCE], w[LANES];
    if (!careful) {
        __asm__("ldp %q[w0], %q[w1], [%[weight]]\n\tldr %q[a0], %[m0]\n\tldr %q[a1], %[m1]\n\t"
                "ldr %q[a2], %[m2]\n\tldr %q[a3], %[m3]"
                : [w0] "=&w"(w[0]), [w1] "=&w"(w[1]), [a0] "=&w"(a[0]), [a1] "=&w"(a[1]), [a2] "=&w"(a[2]),
                  [a3] "=&w"(a[3])
                : [weight] "r"(weight), "m"(*(const int8_t(*)[LANES * WHOLE])weight), MEMORY(0), MEMORY(1), MEMORY(2),
                  MEMORY(3));
        add_first16(a, w, weight, sum);
        add_outputs16(a, w + 2, sum + 2);
        return;
    }
    STDO_UNROLL
    for (size_t o = 0; o < LANES; o++) w[o] = vld1q_s8(weight + o * WHOLE);
    STDO_UNROLL
    for (size_t p = 0; p < AT_ONCE; p++) a[p] = vld1q_s8(in + p * pixel);
    STDO_UNROLL
    for (size_t i = 0; i < AT_ONCE * LANES; i++) {
        const int8x16_t u = a[i >> 2], v = w[i & 3];
        const int16x8_t low = vmull_s8(vget_low_s8(u), vget_low_s8(v));
        sum[i] = vpadalq_s16(vpadalq_s16(sum[i], low), vmull_high_s8(u, v));
    }
}

/* Eight bytes of each pixel. */
STDO_INLINE void add_half(const int8_t *in, size_t pixel, const int8_t *weight, int32x4_t *sum)
{
    int8x8_t a[AT_ONCE], w[LANES];
    STDO_UNROLL
    for (size_t o = 0; o < LANES; o++) w[o] = vld1_s8(weight + o * HALF);
    STDO_UNROLL
    for (size_t p = 0; p < AT_ONCE; p++) a[p] = vld1_s8(in + p * pixel);
    add_outputs8(a, w, sum);
    add_outputs8(a, w + 2, sum + 2);
}
#endif

/* The sums of AT_ONCE pixels and four outputs. */
STDO_INLINE void convolve(const shape *s, const uint8_t *const rows[], size_t offset, const stdo_finish *finish,
                          int careful, int halves, int32x4_t *result)
{
    const int8_t *weight = (const int8_t *)(finish + 1);
    const size_t pixel = s->pixel;
    int32x4_t sum[AT_ONCE * LANES];
    STDO_UNROLL
    for (size_t i = 0; i < AT_ONCE * LANES; i++) sum[i] = vdupq_n_s32(0);
    for (size_t row = 0; row < s->rows; row++) {
        const int8_t *in = (const int8_t *)rows[row] + offset;
        for (size_t g = 0; g < s->wholes; g++, in += WHOLE, weight += LANES * WHOLE)
            add_whole(in, pixel, weight, careful, sum);
        if (halves) {
            add_half(in, pixel, weight, sum);
            weight += LANES * HALF;
        }
    }
    const int32x4_t bias = vld1q_s32(finish->bias);
    STDO_UNROLL
    for (size_t p = 0; p < AT_ONCE; p++) {
        const int32x4_t *a = sum + p * LANES;
        result[p] = vaddq_s32(bias, vpaddq_s32(vpaddq_s32(a[0], a[1]), vpaddq_s32(a[2], a[3])));
    }
}

/* The windows of four pixels, one after the other. */
static void gather(const stdo_layer *layer, const shape *s, const void *const rows[], size_t x, uint8_t *window)
{
    for (size_t p = 0; p < PIXELS; p++)
        for (size_t row = 0; row < layer->kernel; row++, window += s->gathered) {
            const uint8_t *in = (const uint8_t *)rows[row] + x + p;
            vst1_u8(window, vld1_u8(in));
            if (s->gathered > HALF) vst1_u8(window + HALF, vld1_u8(in + HALF));
        }
}

/* How a row of a layer is run: constants, for loops without branches. A careful layer is rare and asks for its
   halves. */
enum { CAREFUL = 1, HALVES = 2, LAST = 4 };

/* Where the finished sums of a row go: a hidden layer's to `hidden`, the last one's to `residual`. */
typedef struct target {
    uint8_t *hidden;
    size_t hidden_pixel;
    stdo_residual residual;
    size_t scale;
} target;

/* The sums of the pixels from x on with one vector of outputs, to where those go. */
STDO_INLINE void finish_pixels(const shape *s, const uint8_t *const rows[], size_t offset, size_t x,
                               const stdo_finish *finish, int how, const target *to)
{
    const int32x4_t shift = shift_of(s->shift);
    int32x4_t sum[PIXELS];
    const int halves = how & CAREFUL ? s->halves > 0 : how & HALVES;
    STDO_UNROLL
    for (size_t p = 0; p < PIXELS; p += AT_ONCE)
        convolve(s, rows, offset + p * s->pixel, finish, how & CAREFUL, halves, sum + p);
    const int16x8_t multiplier = vld1q_s16(finish->multiplier);
    int16x8_t q[PIXELS / 2];
    STDO_UNROLL
    for (size_t p = 0; p < PIXELS / 2; p++) q[p] = requantise(sum[2 * p], sum[2 * p + 1], shift, multiplier);
    if (how & LAST) {
        store_last(q, PIXELS, 1, to->scale, x, &to->residual);
        return;
    }
    const size_t pixel = to->hidden_pixel;
    STDO_UNROLL
    for (size_t p = 0; p < PIXELS; p += 2) {
        uint8_t *out = to->hidden + (x + p) * pixel;
        store_fours(vqmovun_s16(q[p / 2]), out, out + pixel, pixel);
    }
}

/* The same target from output `o` on. */
STDO_INLINE target target_from(const target *to, size_t o, int how)
{
    target rest = *to;
    if (how & LAST) rest.residual = stdo_residual_from(&to->residual, o);
    else rest.hidden += o;
    return rest;
}

/* One row of a layer. */
STDO_INLINE void layer_row(const stdo_layer *layer, const void *const rows[], size_t width, int how, const target *to)
{
    const shape s = *(const shape *)layer->packed;
    const uint8_t *const first = (const uint8_t *)layer->packed + head_bytes(), *at = first;
    if (s.gathered > 0) {
        uint8_t window[PIXELS * STDO_MAX_KERNEL * 2 * HALF + WHOLE];
        const uint8_t *const gathered[1] = {window};
        for (size_t x = 0; x < width; x += PIXELS) {
            gather(layer, &s, rows, x, window);
            at = first;
            for (size_t o = 0; o < layer->out; o += LANES, at += s.vector_bytes) {
                const target here = target_from(to, o, how);
                finish_pixels(&s, gathered, 0, x, (const stdo_finish *)(const void *)at, how, &here);
            }
        }
        return;
    }
    const uint8_t *in[STDO_MAX_KERNEL];
    for (size_t i = 0; i < s.rows; i++) in[i] = rows[i];
    for (size_t o = 0; o < layer->out; o += LANES, at += s.vector_bytes) {
        const target here = target_from(to, o, how);
        for (size_t x = 0; x < width; x += PIXELS)
            finish_pixels(&s, in, x * s.pixel, x, (const stdo_finish *)(const void *)at, how, &here);
    }
}

STDO_INLINE void any_layer(const stdo_layer *layer, const void *const rows[], size_t width, int last,
                           const target *to)
{
    const shape *s = layer->packed;
    if (s->careful)
        layer_row(layer, rows, width, last | CAREFUL, to);
    else if (s->halves > 0)
        layer_row(layer, rows, width, last | HALVES, to);
    else
        layer_row(layer, rows, width, last, to);
}

static void hidden(const stdo_layer *layer, const void *const rows[], size_t width, void *out)
{
    const target to = {.hidden = out, .hidden_pixel = stdo_arm_pixel_bytes(layer->out)};
    any_layer(layer, rows, width, 0, &to);
}

/* A last layer at scale 1, of one to three outputs: each is run for itself, as four would be. */
static void narrow_row(const stdo_layer *layer, const void *const rows[], size_t width, const target *to)
{
    const shape *s = layer->packed;
    const stdo_finish *finish = (const stdo_finish *)(const void *)((const uint8_t *)layer->packed + head_bytes());
    const int32x4_t shift = shift_of(s->shift);
    for (size_t o = 0; o < layer->out; o++) {
        int16_t *out = to->residual.values + to->residual.offset[o];
        for (size_t x = 0; x < width; x += NARROW_PIXELS) {
            const int8_t *weight = (const int8_t *)(finish + 1);
            int32x4_t sum[NARROW_PIXELS];
            STDO_UNROLL
            for (size_t p = 0; p < NARROW_PIXELS; p++) sum[p] = vdupq_n_s32(0);
            for (size_t row = 0; row < s->rows; row++) {
                const int8_t *in = (const int8_t *)rows[row] + x * s->pixel;
                for (size_t g = 0; g < s->wholes; g++, in += WHOLE, weight += LANES * WHOLE)
                    add_narrow(in, s->pixel, weight + o * WHOLE, 0, sum);
                if (s->halves == 0) continue;
                add_narrow(in, s->pixel, weight + o * HALF, 1, sum);
                weight += LANES * HALF;
            }
            const int32x4_t a = vpaddq_s32(vpaddq_s32(sum[0], sum[1]), vpaddq_s32(sum[2], sum[3]));
            const int32x4_t b = vpaddq_s32(vpaddq_s32(sum[4], sum[5]), vpaddq_s32(sum[6], sum[7]));
            store_narrow(a, b, finish, o, shift, out + x);
        }
    }
}

static void last(const stdo_layer *layer, const void *const rows[], size_t width, uint32_t scale, int16_t *residual,
                 size_t stride)
{
    size_t offset[STDO_MAX_LAST];
    const target to = {.residual = stdo_residual_of(layer, scale, residual, stride, offset), .scale = scale};
    const shape *s = layer->packed;
    if (scale == 1 && s->gathered == 0 && !s->careful)
        narrow_row(layer, rows, width, &to);
    else
        any_layer(layer, rows, width, LAST, &to);
}

const stdo_conv stdo_int8_neon = {stdo_arm_pixel_bytes, packed_bytes, pack, stdo_arm_load, hidden, last, 0, 2};

#include "end_neon.inc"
#endif
