/* Training's kernels that are wrong in one place each. */
#include "check.h"

#include <string.h>

static stdo_train_kernels wrong_train;

static void train_row_keeps_negative(const stdo_train_row *r)
{
    stdo_train_row kept = *r;
    kept.relu = 0;
    stdo_train_c.row(r->mask == NULL ? &kept : r);
}

static void train_row_masks_too_little(const stdo_train_row *r)
{
    stdo_train_row bare = *r;
    bare.mask = NULL;
    stdo_train_c.row(&bare);
    for (size_t i = 0; r->mask != NULL && i + 1 < r->width * STDO_TRAIN_BLOCK; i++)
        if (!(r->mask[i] > 0)) r->out[i] = 0;
}

static void train_row_beyond(const stdo_train_row *r)
{
    stdo_train_c.row(r);
    ((uint8_t *)(r->out + r->width * STDO_TRAIN_BLOCK))[0] ^= 1;
}

static void train_row_adds_apart(const stdo_train_row *r)
{
    static const float zeros[STDO_TRAIN_BLOCK];
    stdo_train_row bare = *r;
    bare.start = zeros;
    stdo_train_c.row(r->relu || r->mask != NULL ? r : &bare);
    for (size_t i = 0; !r->relu && r->mask == NULL && i < r->width * STDO_TRAIN_BLOCK; i++)
        r->out[i] += r->start[i % STDO_TRAIN_BLOCK];
}

static void train_weights_forget(const stdo_train_weights *w)
{
    memset(w->sum, 0, w->kernel * w->columns * w->channels * STDO_TRAIN_BLOCK * sizeof(float));
    stdo_train_c.weights(w);
}

static void train_weights_skip_row(const stdo_train_weights *w)
{
    stdo_train_weights fewer = *w;
    if (w->height > 6) fewer.height--;
    stdo_train_c.weights(&fewer);
}

static void train_weights_read_beyond(const stdo_train_weights *w)
{
    const volatile float *end = w->d_out + w->height * w->width * STDO_TRAIN_BLOCK;
    stdo_train_c.weights(w);
    (void)*end;
}

static void train_tiles_read_beyond(const stdo_train_tiles *t)
{
    const volatile float *end = t->in + t->width * STDO_TRAIN_BLOCK;
    stdo_train_c.input_tiles(t);
    (void)*end;
}

static void train_tiles_wrap_margin(const stdo_train_tiles *t)
{
    stdo_train_c.gradient_tiles(t);
    if (t->width % STDO_TRAIN_TILE == 1) t->out[5 * t->plane + (t->tiles - 1) * STDO_TRAIN_BLOCK] = 1;
}

static void train_tiles_write_beyond(const stdo_train_tiles *t)
{
    stdo_train_c.output_tiles(t);
    if (t->width % STDO_TRAIN_TILE) t->out[t->width * STDO_TRAIN_BLOCK] = 0;
}

static void train_tiles_round_otherwise(const stdo_train_tiles *t)
{
    static const float zeros[STDO_TRAIN_BLOCK];
    stdo_train_tiles bare = *t;
    bare.start = zeros;
    stdo_train_c.output_tiles(t->relu || t->mask != NULL ? t : &bare);
    for (size_t i = 0; !t->relu && t->mask == NULL && i < t->width * STDO_TRAIN_BLOCK; i++)
        t->out[i] += t->start[i % STDO_TRAIN_BLOCK] * 1.0000001f;
}

static void train_errors_sum_all(stdo_train_errors *e)
{
    stdo_train_c.errors(e);
    if (e->channels < STDO_TRAIN_BLOCK) e->sum[STDO_TRAIN_BLOCK - 1] = 1;
}

static void train_errors_slope_at_zero(stdo_train_errors *e)
{
    stdo_train_c.errors(e);
    if (e->loss == STDO_TRAIN_L1 && e->d_y != NULL && e->d_y[0] <= 0) e->d_y[0] = -e->slope;
}

#define WRONG_TRAIN(field, function) \
    static void apply_##function(void) \
    { \
        wrong_train = stdo_train_c; \
        wrong_train.field = function; \
        train_override = &wrong_train; \
    }
WRONG_TRAIN(row, train_row_keeps_negative)
WRONG_TRAIN(row, train_row_masks_too_little)
WRONG_TRAIN(row, train_row_beyond)
WRONG_TRAIN(row, train_row_adds_apart)
WRONG_TRAIN(weights, train_weights_forget)
WRONG_TRAIN(weights, train_weights_skip_row)
WRONG_TRAIN(weights, train_weights_read_beyond)
WRONG_TRAIN(input_tiles, train_tiles_read_beyond)
WRONG_TRAIN(gradient_tiles, train_tiles_wrap_margin)
WRONG_TRAIN(output_tiles, train_tiles_write_beyond)
WRONG_TRAIN(output_tiles, train_tiles_round_otherwise)
WRONG_TRAIN(errors, train_errors_sum_all)
WRONG_TRAIN(errors, train_errors_slope_at_zero)
#undef WRONG_TRAIN

const wrong_kernel wrong_training[] = {
    {"train row ignores its ReLU", check_train_row, apply_train_row_keeps_negative},
    {"train row masks all but the last value", check_train_row, apply_train_row_masks_too_little},
    {"train row writes past the row", check_train_row, apply_train_row_beyond},
    {"train row adds the start at the end", check_train_row, apply_train_row_adds_apart},
    {"train weights forget what was summed before", check_train_weights, apply_train_weights_forget},
    {"train weights skip the last of many rows", check_train_weights, apply_train_weights_skip_row},
    {"train weights read past the gradient", check_train_weights, apply_train_weights_read_beyond},
    {"train input tiles read past the row", check_train_input_tiles, apply_train_tiles_read_beyond},
    {"train gradient tiles go on past the row", check_train_gradient_tiles, apply_train_tiles_wrap_margin},
    {"train output tiles write past the row", check_train_output_tiles, apply_train_tiles_write_beyond},
    {"train output tiles round otherwise", check_train_output_tiles, apply_train_tiles_round_otherwise},
    {"train errors fill channels there are not", check_train_errors, apply_train_errors_sum_all},
    {"train errors have a slope at zero", check_train_errors, apply_train_errors_slope_at_zero},
    {"a net in training, weights skip a row", check_train_net, apply_train_weights_skip_row},
    {"a net in training, row adds the start at the end", check_train_net, apply_train_row_adds_apart},
};
const size_t wrong_training_count = sizeof wrong_training / sizeof *wrong_training;
