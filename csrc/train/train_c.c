/* Training's inner loops in plain C. */
#include "train_kernels.h"

#include <math.h>

enum { BLOCK = STDO_TRAIN_BLOCK, TILE = STDO_TRAIN_TILE, POINTS = STDO_TRAIN_POINTS };

static float sum_of(const stdo_train_row *r, size_t x, size_t o)
{
    float sum = r->start[o];
    const float *weight = r->weight + o;
    for (size_t block = 0; block * BLOCK < r->channels; block++) {
        const size_t left = r->channels - block * BLOCK, channels = left < BLOCK ? left : BLOCK;
        for (size_t row = 0; row < r->rows; row++)
            for (size_t column = 0; column < r->columns; column++)
                for (size_t c = 0; c < channels; c++) {
                    const float in = r->in[block * r->in_block + row * r->in_row + (x + column) * r->in_pixel + c];
                    sum = fmaf(in, weight[(((r->first + row) * r->columns + column) * channels + c) * BLOCK], sum);
                }
        weight += r->kernel * r->columns * channels * BLOCK;
    }
    return sum;
}

static void row(const stdo_train_row *r)
{
    for (size_t x = 0; x < r->width; x++)
        for (size_t o = 0; o < BLOCK; o++) {
            const float sum = sum_of(r, x, o);
            const int lost = (r->relu && !(sum > 0)) || (r->mask != NULL && !(r->mask[x * BLOCK + o] > 0));
            r->out[x * BLOCK + o] = lost ? 0 : sum;
        }
}

static void weights(const stdo_train_weights *w)
{
    float *sum = w->sum;
    for (size_t row = 0; row < w->kernel; row++)
        for (size_t column = 0; column < w->columns; column++)
            for (size_t c = 0; c < w->channels; c++, sum += BLOCK)
                for (size_t y = 0; y < w->height; y++)
                    for (size_t x = 0; x < w->width; x++) {
                        const float in = w->in[(y + row) * w->in_row + (x + column) * w->in_pixel + c];
                        for (size_t o = 0; o < BLOCK; o++)
                            sum[o] = fmaf(in, w->d_out[(y * w->width + x) * BLOCK + o], sum[o]);
                    }
}

/* Channel o of pixel `at` of a row that begins after `margin` zeros; 0 past its end too. */
static float pixel_or_zero(const stdo_train_tiles *t, size_t at, size_t o)
{
    return at >= t->margin && at < t->margin + t->width ? t->in[(at - t->margin) * BLOCK + o] : 0;
}

/* B' d of F(4, 3) with the points 0, 1, -1, 2, -2 and infinity. */
static void input_tiles(const stdo_train_tiles *t)
{
    for (size_t i = 0; i < t->tiles * BLOCK; i++) {
        float d[POINTS];
        for (size_t n = 0; n < POINTS; n++) d[n] = pixel_or_zero(t, i / BLOCK * TILE + n, i % BLOCK);
        const float even = fmaf(-4, d[2], d[4]), odd = fmaf(-4, d[1], d[3]), even_2 = d[4] - d[2], odd_2 = d[3] - d[1];
        t->out[i] = fmaf(4, d[0], fmaf(-5, d[2], d[4]));
        t->out[i + t->plane] = even + odd;
        t->out[i + 2 * t->plane] = even - odd;
        t->out[i + 3 * t->plane] = fmaf(2, odd_2, even_2);
        t->out[i + 4 * t->plane] = fmaf(-2, odd_2, even_2);
        t->out[i + 5 * t->plane] = fmaf(4, d[1], fmaf(-5, d[3], d[5]));
    }
}

/* A d */
static void gradient_tiles(const stdo_train_tiles *t)
{
    for (size_t i = 0; i < t->tiles * BLOCK; i++) {
        float d[TILE];
        for (size_t n = 0; n < TILE; n++) d[n] = pixel_or_zero(t, i / BLOCK * TILE + n, i % BLOCK);
        const float even = d[0] + d[2], odd = d[1] + d[3], even_2 = fmaf(4, d[2], d[0]), odd_2 = fmaf(4, d[3], d[1]);
        t->out[i] = d[0];
        t->out[i + t->plane] = even + odd;
        t->out[i + 2 * t->plane] = even - odd;
        t->out[i + 3 * t->plane] = fmaf(2, odd_2, even_2);
        t->out[i + 4 * t->plane] = fmaf(-2, odd_2, even_2);
        t->out[i + 5 * t->plane] = d[3];
    }
}

/* A' m */
static void output_tiles(const stdo_train_tiles *t)
{
    for (size_t i = 0; i < t->tiles * BLOCK; i++) {
        const float *m = t->in + i, m1 = m[t->plane], m2 = m[2 * t->plane], m3 = m[3 * t->plane], m4 = m[4 * t->plane];
        const float ones = m1 + m2, ones_apart = m1 - m2, twos = m3 + m4, twos_apart = m3 - m4;
        const float y[TILE] = {(m[0] + ones) + twos, fmaf(2, twos_apart, ones_apart), fmaf(4, twos, ones),
                               fmaf(8, twos_apart, ones_apart) + m[5 * t->plane]};
        for (size_t n = 0; n < TILE && i / BLOCK * TILE + n < t->width; n++) {
            const size_t at = (i / BLOCK * TILE + n) * BLOCK + i % BLOCK;
            const float value = y[n] + t->start[i % BLOCK];
            const int lost = (t->relu && !(value > 0)) || (t->mask != NULL && !(t->mask[at] > 0));
            t->out[at] = lost ? 0 : value;
        }
    }
}

static float loss_of(const stdo_train_errors *e, float d, float *gradient)
{
    if (e->loss == STDO_TRAIN_L1) {
        *gradient = d > 0 ? e->slope : d < 0 ? -e->slope : 0;
        return fabsf(d);
    }
    if (e->loss == STDO_TRAIN_L2) {
        *gradient = 2 * e->slope * d;
        return d * d;
    }
    const float root = sqrtf(d * d + e->epsilon * e->epsilon);
    *gradient = e->slope * d / root;
    return root;
}

static void errors(stdo_train_errors *e)
{
    for (size_t o = 0; o < BLOCK; o++) e->sum[o] = 0;
    for (size_t i = 0; i < e->pixels; i++)
        for (size_t o = 0; o < BLOCK; o++) {
            float gradient = 0;
            if (o < e->channels)
                e->sum[o] += loss_of(e, e->y[i * BLOCK + o] - e->unit * (float)e->target[i * e->out + o], &gradient);
            if (e->d_y != NULL) e->d_y[i * BLOCK + o] = gradient;
        }
}

const stdo_train_kernels stdo_train_c = {"c", row, weights, input_tiles, gradient_tiles, output_tiles, errors};
