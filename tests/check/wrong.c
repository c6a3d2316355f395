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

static void hr_3_2_skips_pixel(const int16_t *v, const stdo_phase phase[3], size_t width, uint8_t *hr)
{
    right.hr_row_3_2(v, phase, width - 1, hr);
}

static void hr_3_2_beyond(const int16_t *v, const stdo_phase phase[3], size_t width, uint8_t *hr)
{
    right.hr_row_3_2(v, phase, width, hr);
    *(volatile uint8_t *)(hr + width) = 0;
}

/* ---- Each against its check ---- */

static stdo_kernels wrong;

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
WRONG(hr_row_3_2, hr_3_2_skips_pixel)
WRONG(hr_row_3_2, hr_3_2_beyond)
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
    {"hr_row_3_2 leaves out the last pixel", check_hr_row_3_2, apply_hr_3_2_skips_pixel},
    {"hr_row_3_2 writes after the row", check_hr_row_3_2, apply_hr_3_2_beyond},
    {"a frame of integers, hidden skips", check_int8_frame, apply_hidden_skips_pixel},
    {"a frame of integers, last is one off", check_int8_frame, apply_last_one_off},
    {"a frame of integers, hr_row writes past the row", check_int8_frame, apply_hr_beyond},
    {"a frame of floats, hr_row skips the last pixel", check_float32_frame, apply_hr_skips_pixel},
};

static int is_caught(const wrong_kernel *w, int quick)
{
    char report[1000];
    stdo_kernels_c(&wrong);
    w->apply();
    const int missed = passes(w->check, &wrong, 1, quick, report, sizeof report);
    train_override = NULL;
    float_override = NULL;
    printf("%-6s %s%s%s\n", missed ? "MISSED" : "caught", w->what, missed ? "" : ": ", missed ? "" : report);
    return !missed;
}

static int are_caught(const wrong_kernel *list, size_t count, int quick)
{
    char report[1000];
    int all = 1;
    for (size_t i = 0; i < count; i++) {
        const int same_check = i > 0 && list[i].check == list[i - 1].check;
        if (!same_check && !passes(list[i].check, &right, 1, quick, report, sizeof report)) {
            printf("fails before it is wrong: %s\n", report);
            return 0;
        }
        all = is_caught(&list[i], quick) && all;
    }
    return all;
}

int self_test(int quick)
{
    stdo_kernels_c(&right);
    const int player = are_caught(kernels, sizeof kernels / sizeof *kernels, quick);
    return are_caught(wrong_training, wrong_training_count, quick) && player;
}
