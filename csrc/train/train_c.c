/* Training's inner loops in plain C. */
#include "train.h"

#include <math.h>

enum { BLOCK = STDO_TRAIN_BLOCK };

static float sum_of(const stdo_train_row *r, size_t x, size_t o)
{
    float sum = r->start[o];
    const float *weight = r->weight + o;
    for (size_t block = 0; block * BLOCK < r->channels; block++) {
        const size_t left = r->channels - block * BLOCK, channels = left < BLOCK ? left : BLOCK;
        for (size_t row = 0; row < r->rows; row++)
            for (size_t column = 0; column < r->kernel; column++)
                for (size_t c = 0; c < channels; c++) {
                    const float in = r->in[block * r->in_block + row * r->in_row + (x + column) * r->in_pixel + c];
                    sum = fmaf(in, weight[(((r->first + row) * r->kernel + column) * channels + c) * BLOCK], sum);
                }
        weight += r->kernel * r->kernel * channels * BLOCK;
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
        for (size_t column = 0; column < w->kernel; column++)
            for (size_t c = 0; c < w->channels; c++, sum += BLOCK)
                for (size_t y = 0; y < w->height; y++)
                    for (size_t x = 0; x < w->width; x++) {
                        const float in = w->in[(y + row) * w->in_row + (x + column) * w->in_pixel + c];
                        for (size_t o = 0; o < BLOCK; o++)
                            sum[o] = fmaf(in, w->d_out[(y * w->width + x) * BLOCK + o], sum[o]);
                    }
}

const stdo_train_kernels stdo_train_c = {"c", row, weights};
