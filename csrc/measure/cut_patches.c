/* Patches with their halo, and what the base lacks of the source, for the patches that are kept alone. */
#include "cut_patches.h"

#include "../base.h"
#include "../unroll.h"

#include <string.h>

enum { MARGIN = STDO_BASE_MARGIN, MAX_SIDE = 128, MAX_BLOCK = MAX_SIDE + 2 * MARGIN };

static int64_t clamp_i64(int64_t value, int64_t most) { return value < 0 ? 0 : value > most ? most : value; }

/* `width` pixels of row y from column x on; those outside are the nearest inside. */
static void copy_row(const stdo_pair *p, int64_t y, int64_t x, size_t width, uint8_t *out)
{
    const uint8_t *row = p->lr + (ptrdiff_t)clamp_i64(y, (int64_t)p->lr_height - 1) * p->lr_stride;
    const int64_t last = (int64_t)p->lr_width - 1;
    if (x >= 0 && x + (int64_t)width - 1 <= last) {
        memcpy(out, row + x, width);
        return;
    }
    for (size_t i = 0; i < width; i++) out[i] = row[clamp_i64(x + (int64_t)i, last)];
}

/* One row of one vertical phase, in 128ths of a grey level less 128 levels; block: lr rows from the first tap's on. */
static void vertical(const uint8_t *block, size_t width, const stdo_phase *phase, int16_t *v)
{
    const uint8_t *row0 = block, *row1 = row0 + width, *row2 = row1 + width, *row3 = row2 + width;
    const int32_t *tap = phase->tap;
    for (size_t x = 0; x < width; x++)
        v[x] = (int16_t)(tap[0] * (row0[x] - 128) + tap[1] * (row1[x] - 128) + tap[2] * (row2[x] - 128) +
                         tap[3] * (row3[x] - 128));
}

/* One hr row's residual at the columns of one horizontal phase; truth: its pixels at these columns, step apart. */
STDO_INLINE uint64_t residual_row(const int16_t *v, const stdo_phase *phase, const uint8_t *truth, uint32_t side,
                                  uint32_t step, int16_t *out)
{
    const int16_t *first = v + MARGIN - 1 + phase->offset;
    const int32_t *tap = phase->tap;
    uint64_t sum = 0;
    for (uint32_t x = 0; x < side; x++) {
        const int32_t taps =
            tap[0] * first[x] + tap[1] * first[x + 1] + tap[2] * first[x + 2] + tap[3] * first[x + 3];
        const int32_t base = (taps + (128 << 14) + 128 + (32 << 8)) >> 8;
        const int32_t lacking = 64 * truth[x * step] + 32 - base;
        out[(size_t)x * step * step] = (int16_t)lacking;
        sum += (uint32_t)(lacking * lacking);
    }
    return sum;
}

/* Row y of the source from column x on; pixels outside are the nearest inside. `room` takes them where some are. */
static const uint8_t *truth_row(const stdo_pair *p, uint32_t y, uint32_t x, uint32_t width, uint8_t *room)
{
    const uint8_t *row = p->hr + (ptrdiff_t)(y < p->hr_height ? y : p->hr_height - 1) * p->hr_stride;
    if (x + width <= p->hr_width) return row + x;
    for (uint32_t i = 0; i < width; i++) room[i] = row[x + i < p->hr_width ? x + i : p->hr_width - 1];
    return room;
}

static uint64_t cut_residual(const stdo_pair *p, uint32_t x0, uint32_t y0, uint32_t side, int16_t *out)
{
    const uint32_t scale = p->scale, width = side + 2 * MARGIN;
    uint8_t block[MAX_BLOCK * MAX_BLOCK], room[MAX_SIDE * STDO_MAX_SCALE];
    int16_t v[MAX_BLOCK];
    for (uint32_t y = 0; y < width; y++)
        copy_row(p, (int64_t)y0 + y - MARGIN, (int64_t)x0 - MARGIN, width, block + (size_t)y * width);

    const stdo_phase *phase = stdo_phases[0][scale - 1];
    uint64_t sum = 0;
    for (uint32_t y = 0; y < side; y++)
        for (uint32_t r = 0; r < scale; r++) {
            const uint8_t *truth = truth_row(p, (y0 + y) * scale + r, x0 * scale, side * scale, room);
            int16_t *row = out + ((size_t)y * side * scale + r) * scale;
            vertical(block + (size_t)((int64_t)y + MARGIN - 1 + phase[r].offset) * width, width, &phase[r], v);
            /* A known step lets the compiler use vectors. */
            for (uint32_t c = 0; c < scale; c++)
                sum += scale == 1   ? residual_row(v, &phase[c], truth + c, side, 1, row + c)
                       : scale == 2 ? residual_row(v, &phase[c], truth + c, side, 2, row + c)
                       : scale == 3 ? residual_row(v, &phase[c], truth + c, side, 3, row + c)
                                    : residual_row(v, &phase[c], truth + c, side, 4, row + c);
        }
    return sum;
}

static int within_limits(const stdo_pair *p, const stdo_corners *corners)
{
    if (p->scale < 1 || p->scale > STDO_MAX_SCALE || corners->side < 1 || corners->side > MAX_SIDE ||
        corners->side > p->lr_width || corners->side > p->lr_height || corners->halo > MAX_SIDE || p->hr_width < 1 ||
        p->hr_height < 1)
        return 0;
    const int64_t right = (int64_t)p->lr_width - corners->side, bottom = (int64_t)p->lr_height - corners->side;
    for (size_t i = 0; i < corners->count; i++)
        if (corners->x[i] < 0 || corners->x[i] > right || corners->y[i] < 0 || corners->y[i] > bottom ||
            corners->place[i] < 0)
            return 0;
    return 1;
}

stdo_status stdo_cut_patches(const stdo_pair *pair, const stdo_corners *corners, const stdo_cut *out)
{
    if (pair == NULL || corners == NULL || out == NULL || pair->lr == NULL || pair->hr == NULL ||
        out->lr == NULL || out->residual == NULL || out->error == NULL || !within_limits(pair, corners))
        return STDO_ERROR_ARGUMENT;
    const uint32_t side = corners->side, halo = corners->halo;
    const size_t whole = side + 2 * (size_t)halo, hr_pixels = (size_t)side * side * pair->scale * pair->scale;
    for (size_t i = 0; i < corners->count; i++) {
        const int64_t x = corners->x[i], y = corners->y[i];
        uint8_t *lr = out->lr + (size_t)corners->place[i] * whole * whole;
        for (size_t row = 0; row < whole; row++)
            copy_row(pair, y - halo + (int64_t)row, x - halo, whole, lr + row * whole);
        const uint64_t sum = cut_residual(pair, (uint32_t)x, (uint32_t)y, side,
                                          out->residual + (size_t)corners->place[i] * hr_pixels);
        out->error[i] = (double)sum / (4096.0 * (double)hr_pixels);
    }
    return STDO_OK;
}
