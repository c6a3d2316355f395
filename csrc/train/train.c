/* Training's convolutions over a batch: weights are re-laid, then each patch goes through the kernels block by block. */
#include "train.h"

#include "../kernels.h"
#include "../unroll.h"

#include <math.h>
#include <string.h>

enum { BLOCK = STDO_TRAIN_BLOCK, ALIGNMENT = 64 };

const stdo_train_kernels *stdo_train_best(const char *tiers)
{
    const uint32_t named = stdo_tiers_named(tiers), runs = named & stdo_cpu_tiers();
    if (named == 0) return NULL;
#if defined(__x86_64__)
    if (runs & 1 << STDO_TIER_AVX512VNNI) return &stdo_train_avx512vnni;
    if (runs & 1 << STDO_TIER_AVX2) return &stdo_train_avx2;
#elif defined(__AARCH64EL__)
    if (runs & 1 << STDO_TIER_NEON) return &stdo_train_neon;
#endif
    (void)runs;
    return &stdo_train_c;
}

const char *stdo_train_tier(const stdo_train_kernels *kernels) { return kernels->tier; }

static int within_limits(const stdo_train_layer *l)
{
    return l->patches >= 1 && l->patches <= 65535 && l->height >= 1 && l->height <= 4096 && l->width >= 1 &&
           l->width <= 4096 && l->kernel % 2 == 1 && l->kernel <= STDO_MAX_KERNEL && l->in >= 1 && l->out >= 1 &&
           l->in <= STDO_MAX_CHANNELS && l->out <= STDO_MAX_CHANNELS && (!l->dense || l->in <= BLOCK);
}

static size_t blocks(size_t channels) { return (channels + BLOCK - 1) / BLOCK; }
static size_t in_block(size_t channels, size_t block)
{
    const size_t left = channels - block * BLOCK;
    return left < BLOCK ? left : BLOCK;
}

/* Floats of one output block's weights for `channels` inputs. */
static size_t packed_block(const stdo_train_layer *l, size_t channels)
{
    return (size_t)l->kernel * l->kernel * channels * BLOCK;
}

static size_t margin_row(const stdo_train_layer *l) { return ((size_t)l->width + 2 * (l->kernel - 1)) * BLOCK; }

size_t stdo_train_scratch_size(const stdo_train_layer *l)
{
    if (!within_limits(l)) return 0;
    const size_t weights = packed_block(l, l->in) * blocks(l->out), turned = packed_block(l, l->out) * blocks(l->in);
    const size_t margins = blocks(l->out) * l->height * margin_row(l);
    const size_t backward = turned + margins;
    return ((weights > backward ? weights : backward) + BLOCK * blocks(l->out)) * sizeof(float) + ALIGNMENT;
}

static float *aligned(void *scratch)
{
    return (float *)(void *)((unsigned char *)scratch + (ALIGNMENT - (uintptr_t)scratch % ALIGNMENT) % ALIGNMENT);
}

/* Copies weights between the file's order [out][in][row][column] and that of the kernels: into the latter, or `back`.
   Channels past the last are 0. `turned` is for the gradient of the input, where input and output change places and the
   kernel turns by half a circle. */
STDO_INLINE void relay(const stdo_train_layer *l, int turned, int back, const float *from, float *to)
{
    const size_t taps = (size_t)l->kernel * l->kernel, inputs = turned ? l->out : l->in, outputs = turned ? l->in : l->out;
    size_t packed = 0;
    for (size_t first = 0; first < outputs; first += BLOCK)
        for (size_t block = 0; block < blocks(inputs); block++)
            for (size_t tap = 0; tap < taps; tap++)
                for (size_t c = block * BLOCK; c < block * BLOCK + in_block(inputs, block); c++)
                    for (size_t o = first; o < first + BLOCK; o++, packed++) {
                        const size_t out = turned ? c : o, in = turned ? o : c, at = turned ? taps - 1 - tap : tap;
                        const size_t place = (out * l->in + in) * taps + at;
                        if (!back)
                            to[packed] = o < outputs ? from[place] : 0;
                        else if (o < outputs)
                            to[place] = from[packed];
                    }
}

stdo_status stdo_train_forward(const stdo_train_kernels *kernels, const stdo_train_layer *l, const float *x,
                               const float *weight, const float *bias, float *out, void *scratch)
{
    if (!kernels || !l || !x || !weight || !bias || !out || !scratch || !within_limits(l)) return STDO_ERROR_ARGUMENT;
    float *const start = aligned(scratch), *const packed = start + blocks(l->out) * BLOCK;
    for (size_t o = 0; o < blocks(l->out) * BLOCK; o++) start[o] = o < l->out ? bias[o] : 0;
    relay(l, 0, 0, weight, packed);
    const size_t k = l->kernel, in_width = l->width + k - 1, in_height = l->height + k - 1;
    stdo_train_row row = {.channels = l->in, .kernel = k, .rows = k, .width = l->width, .relu = l->relu};
    row.in_pixel = l->dense ? l->in : BLOCK;
    row.in_row = in_width * row.in_pixel;
    row.in_block = in_height * row.in_row;
    for (size_t patch = 0; patch < l->patches; patch++, x += blocks(l->in) * row.in_block)
        for (size_t block = 0; block < blocks(l->out); block++) {
            row.weight = packed + block * packed_block(l, l->in);
            row.start = start + block * BLOCK;
            for (size_t y = 0; y < l->height; y++, out += l->width * BLOCK) {
                row.in = x + y * row.in_row;
                row.out = out;
                kernels->row(&row);
            }
        }
    return STDO_OK;
}

stdo_status stdo_train_input_gradient(const stdo_train_kernels *kernels, const stdo_train_layer *l, const float *x,
                                      const float *weight, const float *d_out, float *d_x, void *scratch)
{
    if (!kernels || !l || !x || !weight || !d_out || !d_x || !scratch || !within_limits(l) || l->dense)
        return STDO_ERROR_ARGUMENT;
    static const float zeros[BLOCK];
    float *const packed = aligned(scratch), *const margins = packed + blocks(l->in) * packed_block(l, l->out);
    relay(l, 1, 0, weight, packed);
    const size_t k = l->kernel, margin = (k - 1) * BLOCK, width = l->width + k - 1, rows = blocks(l->out) * l->height;
    memset(margins, 0, rows * margin_row(l) * sizeof(float));
    stdo_train_row row = {.in_pixel = BLOCK, .in_row = margin_row(l), .in_block = l->height * margin_row(l),
                          .channels = l->out, .kernel = k, .start = zeros, .width = width};
    for (size_t patch = 0; patch < l->patches; patch++) {
        for (size_t y = 0; y < rows; y++, d_out += l->width * BLOCK)
            memcpy(margins + y * margin_row(l) + margin, d_out, l->width * BLOCK * sizeof(float));
        for (size_t block = 0; block < blocks(l->in); block++) {
            row.weight = packed + block * packed_block(l, l->out);
            for (size_t y = 0; y < l->height + k - 1; y++, x += width * BLOCK, d_x += width * BLOCK) {
                /* Kernel row r meets row y + r - (k - 1) of the gradient, where there is one. */
                const size_t last = y < l->height ? k - 1 : l->height + k - 2 - y;
                row.first = y < k - 1 ? k - 1 - y : 0;
                row.rows = last + 1 - row.first;
                row.in = margins + (y + row.first - (k - 1)) * row.in_row;
                row.out = d_x;
                row.mask = x;
                kernels->row(&row);
            }
        }
    }
    return STDO_OK;
}

/* Sums up one block of one patch: four chains, each of every fourth pixel. */
static void add_bias_gradient(const float *d_out, size_t pixels, float *sum)
{
    float chain[4][BLOCK] = {{0}};
    for (size_t i = 0; i < pixels; i++)
        for (size_t o = 0; o < BLOCK; o++) chain[i % 4][o] += d_out[i * BLOCK + o];
    for (size_t o = 0; o < BLOCK; o++) sum[o] += (chain[0][o] + chain[1][o]) + (chain[2][o] + chain[3][o]);
}

stdo_status stdo_train_weight_gradient(const stdo_train_kernels *kernels, const stdo_train_layer *l, const float *x,
                                       const float *d_out, float *d_weight, float *d_bias, void *scratch)
{
    if (!kernels || !l || !x || !d_out || !d_weight || !d_bias || !scratch || !within_limits(l))
        return STDO_ERROR_ARGUMENT;
    const size_t pixels = (size_t)l->height * l->width, k = l->kernel;
    float *const bias = aligned(scratch), *const sums = bias + blocks(l->out) * BLOCK;
    memset(bias, 0, blocks(l->out) * (BLOCK + packed_block(l, l->in)) * sizeof(float));
    stdo_train_weights job = {.kernel = k, .height = l->height, .width = l->width};
    job.in_pixel = l->dense ? l->in : BLOCK;
    job.in_row = (l->width + k - 1) * job.in_pixel;
    const size_t plane = (l->height + k - 1) * job.in_row;
    for (size_t patch = 0; patch < l->patches; patch++, x += blocks(l->in) * plane) {
        job.sum = sums;
        for (size_t block = 0; block < blocks(l->out); block++, d_out += pixels * BLOCK) {
            add_bias_gradient(d_out, pixels, bias + block * BLOCK);
            job.d_out = d_out;
            for (size_t from = 0; from < blocks(l->in); from++) {
                job.in = x + from * plane;
                job.channels = in_block(l->in, from);
                kernels->weights(&job);
                job.sum += k * k * job.channels * BLOCK;
            }
        }
    }
    relay(l, 0, 1, sums, d_weight);
    memcpy(d_bias, bias, l->out * sizeof(float));
    return STDO_OK;
}

stdo_status stdo_train_net_forward(const stdo_train_kernels *kernels, const stdo_train_layer *layers,
                                   const stdo_train_arrays *arrays, uint32_t count, void *scratch)
{
    if (!layers || !arrays) return STDO_ERROR_ARGUMENT;
    for (uint32_t i = 0; i < count; i++) {
        const stdo_train_arrays *a = &arrays[i];
        const stdo_status status = stdo_train_forward(kernels, &layers[i], a->x, a->weight, a->bias, a->out, scratch);
        if (status != STDO_OK) return status;
    }
    return STDO_OK;
}

stdo_status stdo_train_net_backward(const stdo_train_kernels *kernels, const stdo_train_layer *layers,
                                    const stdo_train_arrays *arrays, uint32_t count, const float *d_out, void *scratch)
{
    if (!layers || !arrays) return STDO_ERROR_ARGUMENT;
    for (uint32_t i = count; i-- > 0; d_out = arrays[i].d_x) {
        const stdo_train_arrays *a = &arrays[i];
        stdo_status status =
            stdo_train_weight_gradient(kernels, &layers[i], a->x, d_out, a->d_weight, a->d_bias, scratch);
        if (status == STDO_OK && a->d_x != NULL)
            status = stdo_train_input_gradient(kernels, &layers[i], a->x, a->weight, d_out, a->d_x, scratch);
        if (status != STDO_OK) return status;
    }
    return STDO_OK;
}

void stdo_train_gather(const uint8_t *pool, const int64_t *index, size_t count, size_t size, float centre, float factor,
                       float *x)
{
    for (size_t n = 0; n < count; n++, x += size) {
        const uint8_t *patch = pool + (size_t)index[n] * size;
        for (size_t i = 0; i < size; i++) x[i] = ((float)patch[i] - centre) * factor;
    }
}

STDO_INLINE float loss_of(stdo_train_loss loss, float epsilon, float d, float slope, float *gradient)
{
    if (loss == STDO_TRAIN_L1) {
        *gradient = (float)((d > 0) - (d < 0)) * slope;
        return fabsf(d);
    }
    if (loss == STDO_TRAIN_L2) {
        *gradient = 2 * slope * d;
        return d * d;
    }
    const float root = sqrtf(d * d + epsilon * epsilon);
    *gradient = slope * d / root;
    return root;
}

/* One sum for each channel of a block, so that the compiler may keep them side by side. */
STDO_INLINE void loss_blocks(const stdo_train_layer *l, stdo_train_loss loss, float epsilon, const float *y,
                             const int16_t *pool, const int64_t *index, float unit, float slope, double *losses, float *d_y)
{
    const size_t pixels = (size_t)l->height * l->width;
    for (size_t n = 0; n < l->patches; n++) {
        losses[n] = 0;
        for (size_t first = 0; first < l->out; first += BLOCK, y += pixels * BLOCK) {
            const int16_t *target = pool + (size_t)index[n] * pixels * l->out + first;
            const size_t channels = l->out - first < BLOCK ? l->out - first : BLOCK;
            float sum[BLOCK] = {0};
            for (size_t i = 0; i < pixels; i++, target += l->out) {
                int16_t wanted[BLOCK] = {0};
                float loss_here[BLOCK], gradient[BLOCK];
                if (channels == BLOCK)
                    memcpy(wanted, target, sizeof wanted);
                else
                    memcpy(wanted, target, channels * sizeof *wanted);
                for (size_t o = 0; o < BLOCK; o++)
                    loss_here[o] = loss_of(loss, epsilon, y[i * BLOCK + o] - unit * (float)wanted[o], slope, &gradient[o]);
                for (size_t o = 0; o < BLOCK; o++) sum[o] += loss_here[o];
                if (d_y != NULL)
                    for (size_t o = 0; o < BLOCK; o++) *d_y++ = o < channels ? gradient[o] : 0;
            }
            for (size_t o = 0; o < channels; o++) losses[n] += (double)sum[o];
        }
    }
}

stdo_status stdo_train_loss_gradient(const stdo_train_layer *l, stdo_train_loss loss, float epsilon, const float *y,
                                     const int16_t *pool, const int64_t *index, float unit, float slope,
                                     double *losses, float *d_y)
{
    if (!l || !y || !pool || !index || !losses || !within_limits(l)) return STDO_ERROR_ARGUMENT;
    switch (loss) {
    case STDO_TRAIN_L1: loss_blocks(l, STDO_TRAIN_L1, 0, y, pool, index, unit, slope, losses, d_y); break;
    case STDO_TRAIN_CHARBONNIER:
        loss_blocks(l, STDO_TRAIN_CHARBONNIER, epsilon, y, pool, index, unit, slope, losses, d_y);
        break;
    case STDO_TRAIN_L2: loss_blocks(l, STDO_TRAIN_L2, 0, y, pool, index, unit, slope, losses, d_y); break;
    default: return STDO_ERROR_ARGUMENT;
    }
    return STDO_OK;
}
