/* Training's convolutions over a batch, and the loss. 3x3 convolutions go to winograd.c. The others are direct: weights
   are re-laid, then each patch goes through the kernels block by block. */
#include "train.h"

#include "../architecture.h"
#include "../kernels.h"
#include "../sizes.h"
#include "../unroll.h"
#include "train_blocks.h"
#include "winograd.h"

#include <string.h>

enum { BLOCK = STDO_TRAIN_BLOCK, ALIGNMENT = 64 };

const stdo_train_kernels *stdo_train_best(const char *tiers)
{
    const uint32_t named = stdo_tiers_named(tiers), runs = named & stdo_cpu_tiers();
    if (named == 0) return NULL;
#if defined(STDO_X86)
    if (runs & 1 << STDO_TIER_AVX512VNNI) return &stdo_train_avx512vnni;
    if (runs & 1 << STDO_TIER_AVX2) return &stdo_train_avx2;
#elif defined(STDO_ARM64)
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
           l->in <= STDO_TRAIN_MAX_CHANNELS && l->out <= STDO_TRAIN_MAX_CHANNELS && (!l->dense || l->in <= BLOCK);
}

/* Winograd's tiles halve the products of 3x3; the input of a net is too thin to be worth its transform. */
static int by_tiles(const stdo_train_layer *l) { return l->kernel == 3 && !l->dense; }

/* Floats of one output block's weights for `channels` inputs. */
static size_t packed_block(const stdo_train_layer *l, size_t channels)
{
    return (size_t)l->kernel * l->kernel * channels * BLOCK;
}

static size_t margin_row(const stdo_train_layer *l) { return ((size_t)l->width + 2 * (l->kernel - 1)) * BLOCK; }

static size_t in_pixel(const stdo_train_layer *l) { return l->dense ? l->in : BLOCK; }

/* Floats of a patch of the input with the zeros around it. */
static size_t padded_patch(const stdo_train_layer *l)
{
    const size_t k = l->kernel;
    return stdo_train_blocks(l->in) * (l->height + k - 1) * (l->width + k - 1) * in_pixel(l);
}

size_t stdo_train_scratch_size(const stdo_train_layer *l)
{
    if (!within_limits(l)) return 0;
    const size_t in = stdo_train_blocks(l->in), out = stdo_train_blocks(l->out);
    const size_t forward = packed_block(l, l->in) * out + out * BLOCK + (l->padded ? padded_patch(l) : 0);
    const size_t backward = packed_block(l, l->out) * in + out * l->height * margin_row(l);
    const size_t direct = forward > backward ? forward : backward;
    return (by_tiles(l) ? stdo_winograd_floats(l) : direct) * sizeof(float) + ALIGNMENT;
}

static float *aligned(void *scratch) { return align_pointer(scratch, ALIGNMENT); }

/* Copies weights from the caller's order [out][in][row][column] into that of the kernels, or `back` out of it. Channels
   past the last are 0. `turned` is for the gradient of the input, where input and output change places and the
   kernel turns by half a circle. */
STDO_INLINE void relay(const stdo_train_layer *l, int turned, int back, const float *from, float *to)
{
    const size_t taps = (size_t)l->kernel * l->kernel;
    const size_t inputs = turned ? l->out : l->in, outputs = turned ? l->in : l->out;
    size_t packed = 0;
    for (size_t first = 0; first < outputs; first += BLOCK)
        for (size_t block = 0; block < stdo_train_blocks(inputs); block++)
            for (size_t tap = 0; tap < taps; tap++)
                for (size_t c = block * BLOCK; c < block * BLOCK + stdo_train_in_block(inputs, block); c++)
                    for (size_t o = first; o < first + BLOCK; o++, packed++) {
                        const size_t out = turned ? c : o, in = turned ? o : c, at = turned ? taps - 1 - tap : tap;
                        const size_t place = (out * l->in + in) * taps + at;
                        if (!back)
                            to[packed] = o < outputs ? from[place] : 0;
                        else if (o < outputs)
                            to[place] = from[packed];
                    }
}

/* A patch as a valid convolution reads it: itself, or where zeros lie around it, its copy in `room`. */
static const float *with_margin(const stdo_train_layer *l, const float *x, float *room)
{
    if (!l->padded) return x;
    const size_t margin = l->kernel / 2, row = l->width * in_pixel(l), side = margin * in_pixel(l);
    float *to = memset(room, 0, padded_patch(l) * sizeof(float));
    for (size_t block = 0; block < stdo_train_blocks(l->in); block++) {
        to += margin * (row + 2 * side);
        for (size_t y = 0; y < l->height; y++, x += row, to += row + 2 * side)
            memcpy(to + side, x, row * sizeof(float));
        to += margin * (row + 2 * side);
    }
    return room;
}

/* Floats of a patch of the input as the caller has it. */
static size_t patch_floats(const stdo_train_layer *l)
{
    return l->padded ? stdo_train_blocks(l->in) * l->height * l->width * in_pixel(l) : padded_patch(l);
}

stdo_status stdo_train_forward(const stdo_train_kernels *kernels, const stdo_train_layer *l, const float *x,
                               const float *weight, const float *bias, float *out, void *scratch)
{
    if (!kernels || !l || !x || !weight || !bias || !out || !scratch || !within_limits(l)) return STDO_ERROR_ARGUMENT;
    if (by_tiles(l)) {
        stdo_winograd_forward(kernels, l, x, weight, bias, out, aligned(scratch));
        return STDO_OK;
    }
    float *const start = aligned(scratch), *const packed = start + stdo_train_blocks(l->out) * BLOCK;
    for (size_t o = 0; o < stdo_train_blocks(l->out) * BLOCK; o++) start[o] = o < l->out ? bias[o] : 0;
    relay(l, 0, 0, weight, packed);
    float *const room = packed + stdo_train_blocks(l->out) * packed_block(l, l->in);
    const size_t k = l->kernel, in_width = l->width + k - 1, in_height = l->height + k - 1;
    stdo_train_row row = {.channels = l->in, .kernel = k, .columns = k, .rows = k, .width = l->width, .relu = l->relu};
    row.in_pixel = in_pixel(l);
    row.in_row = in_width * row.in_pixel;
    row.in_block = in_height * row.in_row;
    for (size_t patch = 0; patch < l->patches; patch++, x += patch_floats(l)) {
        const float *const in = with_margin(l, x, room);
        for (size_t block = 0; block < stdo_train_blocks(l->out); block++) {
            row.weight = packed + block * packed_block(l, l->in);
            row.start = start + block * BLOCK;
            for (size_t y = 0; y < l->height; y++, out += l->width * BLOCK) {
                row.in = in + y * row.in_row;
                row.out = out;
                kernels->row(&row);
            }
        }
    }
    return STDO_OK;
}

stdo_status stdo_train_input_gradient(const stdo_train_kernels *kernels, const stdo_train_layer *l, const float *x,
                                      const float *weight, const float *d_out, float *d_x, void *scratch)
{
    if (!kernels || !l || !weight || !d_out || !d_x || !scratch || !within_limits(l) || l->dense)
        return STDO_ERROR_ARGUMENT;
    if (by_tiles(l)) {
        stdo_winograd_input_gradient(kernels, l, x, weight, d_out, d_x, aligned(scratch));
        return STDO_OK;
    }
    static const float zeros[BLOCK];
    const size_t blocks = stdo_train_blocks(l->in), rows = stdo_train_blocks(l->out) * l->height;
    const size_t k = l->kernel, margin = (k - 1) * BLOCK, cut = l->padded ? k / 2 : 0;
    const size_t width = l->width + k - 1 - 2 * cut, height = l->height + k - 1 - 2 * cut;
    float *const packed = aligned(scratch), *const margins = packed + blocks * packed_block(l, l->out);
    relay(l, 1, 0, weight, packed);
    memset(margins, 0, rows * margin_row(l) * sizeof(float));
    stdo_train_row row = {.in_pixel = BLOCK, .in_row = margin_row(l), .in_block = l->height * margin_row(l),
                          .channels = l->out, .kernel = k, .columns = k, .start = zeros, .width = width};
    for (size_t patch = 0; patch < l->patches; patch++) {
        for (size_t y = 0; y < rows; y++, d_out += l->width * BLOCK)
            memcpy(margins + y * margin_row(l) + margin, d_out, l->width * BLOCK * sizeof(float));
        for (size_t block = 0; block < blocks; block++) {
            row.weight = packed + block * packed_block(l, l->out);
            for (size_t y = cut; y < height + cut; y++, d_x += width * BLOCK) {
                /* Kernel row r meets row y + r - (k - 1) of the gradient, where there is one. */
                const size_t last = y < l->height ? k - 1 : l->height + k - 2 - y;
                row.first = y < k - 1 ? k - 1 - y : 0;
                row.rows = last + 1 - row.first;
                row.in = margins + (y + row.first - (k - 1)) * row.in_row + cut * BLOCK;
                row.out = d_x;
                row.mask = x;
                kernels->row(&row);
                if (x != NULL) x += width * BLOCK;
            }
        }
    }
    return STDO_OK;
}

stdo_status stdo_train_weight_gradient(const stdo_train_kernels *kernels, const stdo_train_layer *l, const float *x,
                                       const float *d_out, float *d_weight, float *d_bias, void *scratch)
{
    if (!kernels || !l || !x || !d_out || !d_weight || !d_bias || !scratch || !within_limits(l))
        return STDO_ERROR_ARGUMENT;
    if (by_tiles(l)) {
        stdo_winograd_weight_gradient(kernels, l, x, d_out, d_weight, d_bias, aligned(scratch));
        return STDO_OK;
    }
    const size_t pixels = (size_t)l->height * l->width, k = l->kernel;
    float *const bias = aligned(scratch), *const sums = bias + stdo_train_blocks(l->out) * BLOCK;
    float *const room = sums + stdo_train_blocks(l->out) * packed_block(l, l->in);
    memset(bias, 0, stdo_train_blocks(l->out) * (BLOCK + packed_block(l, l->in)) * sizeof(float));
    stdo_train_weights job = {.kernel = k, .columns = k, .height = l->height, .width = l->width};
    job.in_pixel = in_pixel(l);
    job.in_row = (l->width + k - 1) * job.in_pixel;
    const size_t plane = (l->height + k - 1) * job.in_row;
    for (size_t patch = 0; patch < l->patches; patch++, x += patch_floats(l)) {
        const float *const in = with_margin(l, x, room);
        job.sum = sums;
        for (size_t block = 0; block < stdo_train_blocks(l->out); block++, d_out += pixels * BLOCK) {
            stdo_train_add_bias_gradient(d_out, pixels, bias + block * BLOCK);
            job.d_out = d_out;
            for (size_t from = 0; from < stdo_train_blocks(l->in); from++) {
                job.in = in + from * plane;
                job.channels = stdo_train_in_block(l->in, from);
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

stdo_status stdo_train_loss_gradient(const stdo_train_kernels *kernels, const stdo_train_layer *l,
                                     const stdo_train_targets *t, const float *y, float slope, double *losses,
                                     float *d_y)
{
    if (!kernels || !l || !t || !t->pool || !t->index || !y || !losses || !within_limits(l) ||
        (unsigned)t->loss > STDO_TRAIN_L2)
        return STDO_ERROR_ARGUMENT;
    const size_t pixels = (size_t)l->height * l->width;
    stdo_train_errors job = {.loss = t->loss, .epsilon = t->epsilon, .unit = t->unit, .slope = slope, .y = y,
                             .d_y = d_y, .out = l->out, .pixels = pixels};
    for (size_t n = 0; n < l->patches; n++) {
        losses[n] = 0;
        for (size_t first = 0; first < l->out; first += BLOCK, job.y += pixels * BLOCK) {
            job.target = t->pool + (size_t)t->index[n] * pixels * l->out + first;
            job.channels = stdo_train_in_block(l->out, first / BLOCK);
            kernels->errors(&job);
            for (size_t o = 0; o < job.channels; o++) losses[n] += (double)job.sum[o];
            if (d_y != NULL) job.d_y += pixels * BLOCK;
        }
    }
    return STDO_OK;
}
