/* Training's 3x3 convolutions by Winograd's minimal filtering (Winograd 1980; Lavin and Gray, CVPR 2016), along rows
   only.

   Four outputs y beside each other come from six inputs d and three weights g by F(4, 3): y = A' [(G g) * (B' d)]. That
   is six products, one at each point, instead of twelve. Sums over channels and kernel rows are made at the points, so
   A' is applied once per output and B' once per input, and a step takes half the products. The gradient of the weights
   is the transpose: G' [(A dy) * (B' d)], summed over all pixels at the points. Each plane of points is a convolution
   with a kernel of 3x1, for which direct convolution's inner loops serve. Along rows alone the transforms are short and
   lose little precision, and tiles need not fit the height of a patch. */
#include "winograd.h"

#include "../unroll.h"
#include "train_blocks.h"

#include <string.h>

enum { BLOCK = STDO_TRAIN_BLOCK, TILE = STDO_TRAIN_TILE, POINTS = STDO_TRAIN_POINTS, TAPS = 3 };

/* Zeros on each side of the input, and its sizes without them. */
static size_t zeros_of(const stdo_train_layer *l) { return l->padded ? TAPS / 2 : 0; }
static size_t in_width(const stdo_train_layer *l) { return l->width + TAPS - 1 - 2 * zeros_of(l); }
static size_t in_height(const stdo_train_layer *l) { return l->height + TAPS - 1 - 2 * zeros_of(l); }

static size_t tiles_of(size_t width) { return (width + TILE - 1) / TILE; }

/* Floats at all points together: of the weights of one block of outputs, and of one block of a patch. */
static size_t weights_of(size_t inputs) { return POINTS * TAPS * inputs * BLOCK; }
static size_t area_of(size_t height, size_t tiles) { return POINTS * height * tiles * BLOCK; }

size_t stdo_winograd_floats(const stdo_train_layer *l)
{
    const size_t in = stdo_train_blocks(l->in), out = stdo_train_blocks(l->out), most = in > out ? in : out;
    const size_t forward = weights_of(l->in) * out, backward = weights_of(l->out) * in;
    const size_t area = area_of((size_t)l->height + 2 * (TAPS - 1), tiles_of((size_t)l->width + TAPS - 1));
    return (forward > backward ? forward : backward) + (most + 1) * area + most * BLOCK;
}

/* G g: three weights of a kernel row to six points, `apart` floats from one another. */
static void weight_points(const float g[TAPS], float *to, size_t apart)
{
    const float outer = g[0] + g[2], two = 0.25f * g[0] + g[2];
    to[0] = 0.25f * g[0];
    to[apart] = (outer + g[1]) * (-1 / 6.0f);
    to[2 * apart] = (outer - g[1]) * (-1 / 6.0f);
    to[3 * apart] = (two + 0.5f * g[1]) * (1 / 6.0f);
    to[4 * apart] = (two - 0.5f * g[1]) * (1 / 6.0f);
    to[5 * apart] = g[2];
}

/* G' s: sums at six points to the gradients of three weights. */
static void weights_of_points(const float *s, size_t apart, float g[TAPS])
{
    const float ones = s[apart] + s[2 * apart], ones_apart = s[2 * apart] - s[apart];
    const float twos = s[3 * apart] + s[4 * apart], twos_apart = s[3 * apart] - s[4 * apart];
    g[0] = (0.25f * s[0] - ones * (1 / 6.0f)) + twos * (1 / 24.0f);
    g[1] = ones_apart * (1 / 6.0f) + twos_apart * (1 / 12.0f);
    g[2] = (twos - ones) * (1 / 6.0f) + s[5 * apart];
}

/* Weights [out][in][row][column] to points [point][out / 16][in / 16][row][in % 16][16], 0 past the last output.
   `turned` is for the gradient of the input, where input and output change places and the kernel turns by half a
   circle. */
STDO_INLINE void relay_weights(const stdo_train_layer *l, int turned, const float *weight, float *to)
{
    const size_t inputs = turned ? l->out : l->in, outputs = turned ? l->in : l->out;
    const size_t apart = stdo_train_blocks(outputs) * weights_of(inputs) / POINTS;
    for (size_t first = 0; first < outputs; first += BLOCK)
        for (size_t block = 0; block < stdo_train_blocks(inputs); block++)
            for (size_t row = 0; row < TAPS; row++)
                for (size_t c = block * BLOCK; c < block * BLOCK + stdo_train_in_block(inputs, block); c++)
                    for (size_t o = first; o < first + BLOCK; o++, to++) {
                        float g[TAPS] = {0, 0, 0};
                        if (o < outputs) {
                            const size_t out = turned ? c : o, in = turned ? o : c, at = turned ? TAPS - 1 - row : row;
                            const float *taps = weight + ((out * l->in + in) * TAPS + at) * TAPS;
                            for (size_t k = 0; k < TAPS; k++) g[k] = taps[turned ? TAPS - 1 - k : k];
                        }
                        weight_points(g, to, apart);
                    }
}

/* All rows of all blocks of a patch to points [block][point][row][tile][16], row->plane floats a point. */
static void spread(void (*transform)(const stdo_train_tiles *), const float *in, size_t blocks, size_t height,
                   stdo_train_tiles *row, float *to)
{
    for (size_t block = 0; block < blocks; block++, to += POINTS * row->plane)
        for (size_t y = 0; y < height; y++, in += row->width * BLOCK) {
            row->in = in;
            row->out = to + y * row->tiles * BLOCK;
            transform(row);
        }
}

/* Zeros for `rows` rows above and below each of `planes` planes. */
static void clear_margins(const stdo_train_tiles *row, size_t planes, size_t rows, float *to)
{
    const size_t margin = rows * row->tiles * BLOCK;
    for (size_t i = 0; i < planes; i++, to += row->plane) {
        memset(to, 0, margin * sizeof(float));
        memset(to + row->plane - margin, 0, margin * sizeof(float));
    }
}

void stdo_winograd_forward(const stdo_train_kernels *kernels, const stdo_train_layer *l, const float *x,
                           const float *weight, const float *bias, float *out, float *scratch)
{
    const size_t in = stdo_train_blocks(l->in), blocks = stdo_train_blocks(l->out), tiles = tiles_of(l->width);
    const size_t height = (size_t)l->height + TAPS - 1, margin = zeros_of(l);
    const size_t packed = weights_of(l->in) / POINTS, product = l->height * tiles * BLOCK;
    float *const start = scratch, *const weights = start + blocks * BLOCK;
    float *const inputs = weights + POINTS * packed * blocks, *const outputs = inputs + in * area_of(height, tiles);
    static const float zeros[BLOCK];
    for (size_t o = 0; o < blocks * BLOCK; o++) start[o] = o < l->out ? bias[o] : 0;
    relay_weights(l, 0, weight, weights);
    stdo_train_tiles from = {.width = in_width(l), .tiles = tiles, .margin = margin, .plane = height * tiles * BLOCK};
    stdo_train_tiles to = {.width = l->width, .tiles = tiles, .plane = product, .relu = l->relu};
    stdo_train_row row = {.in_pixel = BLOCK, .in_row = tiles * BLOCK, .in_block = area_of(height, tiles),
                          .channels = l->in, .kernel = TAPS, .columns = 1, .rows = TAPS, .start = zeros,
                          .width = l->height * tiles};
    clear_margins(&from, in * POINTS, margin, inputs);
    for (size_t patch = 0; patch < l->patches; patch++, x += in * in_height(l) * in_width(l) * BLOCK) {
        spread(kernels->input_tiles, x, in, in_height(l), &from, inputs + margin * tiles * BLOCK);
        for (size_t block = 0; block < blocks; block++) {
            for (size_t point = 0; point < POINTS; point++) {
                row.in = inputs + point * from.plane;
                row.weight = weights + (point * blocks + block) * packed;
                row.out = outputs + point * product;
                kernels->row(&row);
            }
            to.start = start + block * BLOCK;
            for (size_t y = 0; y < l->height; y++, out += l->width * BLOCK) {
                to.in = outputs + y * tiles * BLOCK;
                to.out = out;
                kernels->output_tiles(&to);
            }
        }
    }
}

void stdo_winograd_input_gradient(const stdo_train_kernels *kernels, const stdo_train_layer *l, const float *x,
                                  const float *weight, const float *d_out, float *d_x, float *scratch)
{
    const size_t in = stdo_train_blocks(l->out), blocks = stdo_train_blocks(l->in);
    const size_t width = in_width(l), height = in_height(l), tiles = tiles_of(width), margin = TAPS - 1 - zeros_of(l);
    const size_t packed = weights_of(l->out) / POINTS, row_floats = tiles * BLOCK, product = height * row_floats;
    const size_t plane = (l->height + 2 * margin) * row_floats;
    float *const weights = scratch, *const inputs = weights + POINTS * packed * blocks;
    float *const outputs = inputs + in * POINTS * plane;
    static const float zeros[BLOCK];
    relay_weights(l, 1, weight, weights);
    stdo_train_tiles from = {.width = l->width, .tiles = tiles, .margin = margin, .plane = plane};
    stdo_train_tiles to = {.width = width, .tiles = tiles, .plane = product, .start = zeros};
    stdo_train_row row = {.in_pixel = BLOCK, .in_row = row_floats, .in_block = POINTS * plane, .channels = l->out,
                          .kernel = TAPS, .columns = 1, .rows = TAPS, .start = zeros, .width = height * tiles};
    clear_margins(&from, in * POINTS, margin, inputs);
    for (size_t patch = 0; patch < l->patches; patch++, d_out += in * l->height * l->width * BLOCK) {
        spread(kernels->input_tiles, d_out, in, l->height, &from, inputs + margin * row_floats);
        for (size_t block = 0; block < blocks; block++) {
            for (size_t point = 0; point < POINTS; point++) {
                row.in = inputs + point * plane;
                row.weight = weights + (point * blocks + block) * packed;
                row.out = outputs + point * product;
                kernels->row(&row);
            }
            for (size_t y = 0; y < height; y++, d_x += width * BLOCK) {
                to.in = outputs + y * tiles * BLOCK;
                to.out = d_x;
                to.mask = x;
                kernels->output_tiles(&to);
                if (x != NULL) x += width * BLOCK;
            }
        }
    }
}

void stdo_winograd_weight_gradient(const stdo_train_kernels *kernels, const stdo_train_layer *l, const float *x,
                                   const float *d_out, float *d_weight, float *d_bias, float *scratch)
{
    const size_t in = stdo_train_blocks(l->in), blocks = stdo_train_blocks(l->out), tiles = tiles_of(l->width);
    const size_t height = (size_t)l->height + TAPS - 1, margin = zeros_of(l);
    const size_t packed = weights_of(l->in) / POINTS, apart = blocks * packed;
    float *const bias = scratch, *const sums = bias + blocks * BLOCK;
    float *const inputs = sums + POINTS * apart, *const gradients = inputs + in * area_of(height, tiles);
    memset(bias, 0, (blocks * BLOCK + POINTS * apart) * sizeof(float));
    stdo_train_tiles from = {.width = in_width(l), .tiles = tiles, .margin = margin, .plane = height * tiles * BLOCK};
    stdo_train_tiles gradient = {.width = l->width, .tiles = tiles, .plane = l->height * tiles * BLOCK};
    stdo_train_weights job = {.in_pixel = BLOCK, .in_row = tiles * BLOCK, .kernel = TAPS, .columns = 1, .height = 1,
                              .width = l->height * tiles};
    clear_margins(&from, in * POINTS, margin, inputs);
    for (size_t patch = 0; patch < l->patches; patch++, x += in * in_height(l) * in_width(l) * BLOCK) {
        spread(kernels->input_tiles, x, in, in_height(l), &from, inputs + margin * tiles * BLOCK);
        for (size_t block = 0; block < blocks; block++, d_out += l->height * l->width * BLOCK) {
            spread(kernels->gradient_tiles, d_out, 1, l->height, &gradient, gradients);
            /* Point 1 holds the sum of each tile. */
            stdo_train_add_bias_gradient(gradients + gradient.plane, job.width, bias + block * BLOCK);
            for (size_t block_in = 0; block_in < in; block_in++) {
                job.channels = stdo_train_in_block(l->in, block_in);
                for (size_t point = 0; point < POINTS; point++) {
                    job.in = inputs + block_in * area_of(height, tiles) + point * from.plane;
                    job.d_out = gradients + point * gradient.plane;
                    job.sum = sums + point * apart + block * packed + block_in * TAPS * BLOCK * BLOCK;
                    kernels->weights(&job);
                }
            }
        }
    }
    const float *sum = sums;
    for (size_t first = 0; first < l->out; first += BLOCK)
        for (size_t block_in = 0; block_in < in; block_in++)
            for (size_t row = 0; row < TAPS; row++)
                for (size_t c = block_in * BLOCK; c < block_in * BLOCK + stdo_train_in_block(l->in, block_in); c++)
                    for (size_t o = first; o < first + BLOCK; o++, sum++)
                        if (o < l->out) weights_of_points(sum, apart, d_weight + ((o * l->in + c) * TAPS + row) * TAPS);
    memcpy(d_bias, bias, l->out * sizeof(float));
}
