/* Kernels that are wrong in one place each, to see that the checks notice. */
#include "check.h"

#include <string.h>

static stdo_kernels right; /* the plain ones, which the wrong ones call */

static size_t room(size_t width, size_t pixel) { return (width + STDO_SLACK) * pixel + STDO_SLACK_BYTES; }

/* ---- Integer ---- */

static void load_last_pixel(const uint8_t *const lr[], uint32_t planes, size_t width, void *row)
{
    right.int8.load(lr, planes, width, row);
    ((int16_t *)row)[width * planes - 1] ^= 1;
}

static void load_past_frame(const uint8_t *const lr[], uint32_t planes, size_t width, void *row)
{
    const volatile uint8_t *end = lr[planes - 1] + width;
    right.int8.load(lr, planes, width, row);
    (void)*end;
}

static void load_before_row(const uint8_t *const lr[], uint32_t planes, size_t width, void *row)
{
    right.int8.load(lr, planes, width, row);
    ((int16_t *)row)[-1] = 7;
}

static void hidden_one_off(const stdo_layer *layer, const void *const rows[], size_t width, void *out)
{
    right.int8.hidden(layer, rows, width, out);
    if (width == 67) ((int16_t *)out)[66 * layer->out] ^= 1;
}

static void hidden_skips_pixel(const stdo_layer *layer, const void *const rows[], size_t width, void *out)
{
    right.int8.hidden(layer, rows, width > 16 ? width - 1 : width, out);
}

static void hidden_beyond(const stdo_layer *layer, const void *const rows[], size_t width, void *out)
{
    right.int8.hidden(layer, rows, width, out);
    if (width > 1) ((uint8_t *)out)[room(width, layer->out * sizeof(int16_t))] ^= 1;
}

static void hidden_before(const stdo_layer *layer, const void *const rows[], size_t width, void *out)
{
    right.int8.hidden(layer, rows, width, out);
    if (width > 1) ((uint8_t *)out)[-1] ^= 1;
}

static void hidden_reads_slack(const stdo_layer *layer, const void *const rows[], size_t width, void *out)
{
    right.int8.hidden(layer, rows, width, out);
    int16_t *value = out;
    const int16_t *in = rows[0];
    if (in[(width + layer->kernel - 1) * layer->in] & 1) value[0] = value[0] > 100 ? 0 : 255;
}

static void hidden_reads_beyond(const stdo_layer *layer, const void *const rows[], size_t width, void *out)
{
    const size_t row = room(width + layer->kernel - 1, layer->in * sizeof(int16_t));
    const volatile uint8_t *end = (const uint8_t *)rows[layer->kernel - 1] + (row + 63) / 64 * 64;
    right.int8.hidden(layer, rows, width, out);
    if (width > 1) (void)*end;
}

/* As _mm256_maddubs_epi16 does it: pairs of products saturate at 16 bits, which only the greatest operands show. */
static void hidden_saturates(const stdo_layer *layer, const void *const rows[], size_t width, void *out)
{
    const size_t run = (size_t)layer->kernel * layer->in;
    int16_t *to = out;
    for (size_t x = 0; x < width; x++)
        for (uint32_t o = 0; o < layer->out; o++) {
            const int8_t *w = (const int8_t *)layer->weight + o * layer->kernel * run;
            int32_t sum = ((const int32_t *)layer->bias)[o];
            for (uint32_t y = 0; y < layer->kernel; y++) {
                const int16_t *in = (const int16_t *)rows[y] + x * layer->in;
                for (size_t t = 0; t < run; t += 2) {
                    int32_t two = in[t] * w[t] + (t + 1 < run ? in[t + 1] * w[t + 1] : 0);
                    sum += two < INT16_MIN ? INT16_MIN : two > INT16_MAX ? INT16_MAX : two;
                }
                w += run;
            }
            int32_t a = sum >> layer->shift;
            a = a < INT16_MIN ? INT16_MIN : a > INT16_MAX ? INT16_MAX : a;
            a = (a * layer->multiplier[o] + (1 << 14)) >> 15;
            *to++ = (int16_t)(a < 0 ? 0 : a > 255 ? 255 : a);
        }
}

static size_t packed_short(const stdo_layer *layer)
{
    return right.int8.packed_bytes(layer) - (layer->kernel == 9 ? STDO_ALIGNMENT : 0);
}

static void last_one_off(const stdo_layer *layer, const void *const rows[], size_t width, uint32_t scale,
                         int16_t *residual, size_t stride)
{
    right.int8.last(layer, rows, width, scale, residual, stride);
    residual[(layer->out / scale - 1) * stride + width * scale - 1] += 1;
}

static void last_beyond(const stdo_layer *layer, const void *const rows[], size_t width, uint32_t scale,
                        int16_t *residual, size_t stride)
{
    right.int8.last(layer, rows, width, scale, residual, stride);
    residual[(layer->out / scale - 1) * stride + (width + STDO_SLACK) * scale + STDO_SLACK_BYTES / 2] = 0;
}

static void last_between_rows(const stdo_layer *layer, const void *const rows[], size_t width, uint32_t scale,
                              int16_t *residual, size_t stride)
{
    right.int8.last(layer, rows, width, scale, residual, stride);
    if (layer->out / scale > 1) residual[(width + STDO_SLACK) * scale + STDO_SLACK_BYTES / 2] = 0;
}

static void last_shifts_less(const stdo_layer *layer, const void *const rows[], size_t width, uint32_t scale,
                               int16_t *residual, size_t stride)
{
    stdo_layer wrong = *layer;
    if (wrong.shift > 18) wrong.shift--;
    right.int8.last(&wrong, rows, width, scale, residual, stride);
}

/* ---- Float ---- */

static stdo_conv wrong_float;

static void float_hidden_last_bit(const stdo_layer *layer, const void *const rows[], size_t width, void *out)
{
    stdo_float_c.hidden(layer, rows, width, out);
    uint32_t bits;
    uint8_t *at = (uint8_t *)out + (width * layer->out - 1) * sizeof bits;
    memcpy(&bits, at, sizeof bits);
    if (bits > 0) bits--;
    memcpy(at, &bits, sizeof bits);
}

static void float_hidden_keeps_nan(const stdo_layer *layer, const void *const rows[], size_t width, void *out)
{
    stdo_float_c.hidden(layer, rows, width, out);
    for (uint32_t o = 0; o < layer->out; o++) {
        const float *w = (const float *)layer->weight + o * layer->kernel * layer->kernel * layer->in;
        for (uint32_t t = 0; t < layer->kernel * layer->kernel * layer->in; t++)
            if (w[t] != w[t]) ((float *)out)[o] = w[t];
    }
}

static void float_last_truncates(const stdo_layer *layer, const void *const rows[], size_t width, uint32_t scale,
                                 int16_t *residual, size_t stride)
{
    stdo_float_c.last(layer, rows, width, scale, residual, stride);
    if (residual[0] % 2 != 0) residual[0]--;
}

/* ---- Base ---- */

static void base_one_off(const uint8_t *const lr[4], const stdo_phase *phase, size_t width, int16_t *v)
{
    right.base_vertical(lr, phase, width, v);
    if (width % 16 == 1) v[width - 1]++;
}

static void base_past_frame(const uint8_t *const lr[4], const stdo_phase *phase, size_t width, int16_t *v)
{
    const volatile uint8_t *end = lr[3] + width;
    right.base_vertical(lr, phase, width, v);
    (void)*end;
}

static void base_beyond(const uint8_t *const lr[4], const stdo_phase *phase, size_t width, int16_t *v)
{
    right.base_vertical(lr, phase, width, v);
    v[width + STDO_SLACK + STDO_SLACK_BYTES / 2] = 0;
}

static void hr_skips_pixel(const int16_t *v, const stdo_phase *phase, uint32_t scale, const int16_t *residual,
                           size_t width, uint8_t *hr)
{
    right.hr_row(v, phase, scale, residual, width - 1, hr);
}

static void hr_beyond(const int16_t *v, const stdo_phase *phase, uint32_t scale, const int16_t *residual, size_t width,
                      uint8_t *hr)
{
    right.hr_row(v, phase, scale, residual, width, hr);
    *(volatile uint8_t *)(hr + width) = 0;
}

static void hr_before(const int16_t *v, const stdo_phase *phase, uint32_t scale, const int16_t *residual, size_t width,
                      uint8_t *hr)
{
    right.hr_row(v, phase, scale, residual, width, hr);
    hr[-1] ^= 1;
}

/* Adds what the rounding of the residual's own would add. */
static void hr_rounds_twice(const int16_t *v, const stdo_phase *phase, uint32_t scale, const int16_t *residual,
                            size_t width, uint8_t *hr)
{
    right.hr_row(v, phase, scale, residual, width, hr);
    if (residual != NULL && residual[0] < 0 && hr[0] < 255) hr[0]++;
}

/* ---- Training ---- */

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

/* ---- Each against its check ---- */

static stdo_kernels wrong;

typedef struct wrong_kernel {
    const char *what;
    check_function *check;
    void (*apply)(void);
} wrong_kernel;

#define WRONG(field, function) \
    static void apply_##function(void) { wrong.field = function; }
WRONG(int8.load, load_last_pixel)
WRONG(int8.load, load_past_frame)
WRONG(int8.load, load_before_row)
WRONG(int8.hidden, hidden_one_off)
WRONG(int8.hidden, hidden_skips_pixel)
WRONG(int8.hidden, hidden_beyond)
WRONG(int8.hidden, hidden_before)
WRONG(int8.hidden, hidden_reads_slack)
WRONG(int8.hidden, hidden_reads_beyond)
WRONG(int8.hidden, hidden_saturates)
WRONG(int8.packed_bytes, packed_short)
WRONG(int8.last, last_one_off)
WRONG(int8.last, last_beyond)
WRONG(int8.last, last_between_rows)
WRONG(int8.last, last_shifts_less)
WRONG(base_vertical, base_one_off)
WRONG(base_vertical, base_past_frame)
WRONG(base_vertical, base_beyond)
WRONG(hr_row, hr_skips_pixel)
WRONG(hr_row, hr_beyond)
WRONG(hr_row, hr_before)
WRONG(hr_row, hr_rounds_twice)
#undef WRONG
#define WRONG_FLOAT(field, function) \
    static void apply_##function(void) \
    { \
        wrong_float = stdo_float_c; \
        wrong_float.field = function; \
        float_override = &wrong_float; \
    }
WRONG_FLOAT(hidden, float_hidden_last_bit)
WRONG_FLOAT(hidden, float_hidden_keeps_nan)
WRONG_FLOAT(last, float_last_truncates)
#undef WRONG_FLOAT
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

static const wrong_kernel kernels[] = {
    {"load changes the last pixel", check_int8_load, apply_load_last_pixel},
    {"load reads past the frame", check_int8_load, apply_load_past_frame},
    {"load writes before the row", check_int8_load, apply_load_before_row},
    {"hidden is one off at one place of one width", check_int8_hidden, apply_hidden_one_off},
    {"hidden skips the last pixel", check_int8_hidden, apply_hidden_skips_pixel},
    {"hidden writes past the slack", check_int8_hidden, apply_hidden_beyond},
    {"hidden writes before the row", check_int8_hidden, apply_hidden_before},
    {"hidden depends on the slack", check_int8_hidden, apply_hidden_reads_slack},
    {"hidden reads past the slack", check_int8_hidden, apply_hidden_reads_beyond},
    {"hidden saturates pairs of products", check_int8_hidden, apply_hidden_saturates},
    {"pack writes more than it said", check_int8_hidden, apply_packed_short},
    {"last is one off at the last value", check_int8_last, apply_last_one_off},
    {"last writes past the last row", check_int8_last, apply_last_beyond},
    {"last writes between rows", check_int8_last, apply_last_between_rows},
    {"last shifts one less", check_int8_last, apply_last_shifts_less},
    {"float hidden is off by a bit", check_float32_hidden, apply_float_hidden_last_bit},
    {"float hidden keeps NaN", check_float32_hidden, apply_float_hidden_keeps_nan},
    {"float last makes values even", check_float32_last, apply_float_last_truncates},
    {"base is one off at some widths", check_base_vertical, apply_base_one_off},
    {"base reads past the frame", check_base_vertical, apply_base_past_frame},
    {"base writes past the slack", check_base_vertical, apply_base_beyond},
    {"hr_row skips the last pixel", check_hr_row, apply_hr_skips_pixel},
    {"hr_row writes past the row", check_hr_row, apply_hr_beyond},
    {"hr_row writes before the row", check_hr_row, apply_hr_before},
    {"hr_row rounds negative residuals up", check_hr_row, apply_hr_rounds_twice},
    {"a frame of integers, hidden skips", check_int8_frame, apply_hidden_skips_pixel},
    {"a frame of integers, last is one off", check_int8_frame, apply_last_one_off},
    {"a frame of integers, hr_row writes past the row", check_int8_frame, apply_hr_beyond},
    {"a frame of floats, base is one off", check_float32_frame, apply_base_one_off},
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

int self_test(int quick)
{
    char report[1000];
    int all = 1;
    stdo_kernels_c(&right);
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
        const int same_check = i > 0 && kernels[i].check == kernels[i - 1].check;
        if (!same_check && !passes(kernels[i].check, &right, 1, quick, report, sizeof report)) {
            printf("fails before it is wrong: %s\n", report);
            return 0;
        }
        stdo_kernels_c(&wrong);
        kernels[i].apply();
        const int missed = passes(kernels[i].check, &wrong, 1, quick, report, sizeof report);
        train_override = NULL;
        float_override = NULL;
        printf("%-6s %s%s%s\n", missed ? "MISSED" : "caught", kernels[i].what, missed ? "" : ": ", missed ? "" : report);
        all = all && !missed;
    }
    return all;
}
