/* The base of any rectangle of a plane, row by row. */
#include "base.h"

#include "sizes.h"

#include <string.h>

enum { MARGIN = STDO_BASE_MARGIN };

const stdo_phase stdo_phases[2][STDO_MAX_SCALE][STDO_MAX_SCALE] = {
    {
        /* centre */
        {{0, {0, 128, 0, 0}}},
        {{-1, {-4, 34, 112, -14}}, {0, {-14, 112, 34, -4}}},
        {{-1, {-7, 47, 102, -14}}, {0, {0, 128, 0, 0}}, {0, {-14, 102, 47, -7}}},
        {{-1, {-8, 55, 95, -14}}, {-1, {-1, 15, 123, -9}}, {0, {-9, 123, 15, -1}}, {0, {-14, 95, 55, -8}}},
    },
    {
        /* left */
        {{0, {0, 128, 0, 0}}},
        {{-1, {-1, 15, 123, -9}}, {0, {-14, 95, 55, -8}}},
        {{-1, {-2, 21, 120, -11}}, {0, {-11, 120, 21, -2}}, {0, {-12, 76, 76, -12}}},
        {{-1, {-3, 24, 119, -12}}, {0, {-5, 126, 7, 0}}, {0, {-14, 104, 44, -6}}, {0, {-10, 65, 86, -13}}},
    },
};

const stdo_phase stdo_phases_3_2[2][3] = {
    {{-1, {-2, 21, 120, -11}}, {0, {-12, 76, 76, -12}}, {1, {-11, 120, 21, -2}}}, /* centre */
    {{-1, {-1, 9, 127, -7}}, {0, {-10, 62, 90, -14}}, {1, {-14, 112, 34, -4}}}, /* left */
};

const uint8_t *stdo_lr_row(const stdo_plane *plane, int64_t y)
{
    const int64_t inside = y < 0 ? 0 : y >= plane->lr_height ? (int64_t)plane->lr_height - 1 : y;
    return plane->lr + (ptrdiff_t)inside * plane->lr_stride;
}

size_t stdo_base_room(uint32_t width)
{
    return width + 2 * MARGIN + STDO_SLACK + STDO_SLACK_VALUES;
}

size_t stdo_base_room_in_turns(uint32_t lr_width) { return stdo_base_room(lr_width) + stdo_base_room(2 * lr_width); }

/* Every other value of a row, which has slack; blocks of a fixed length are what compilers make vectors of. */
static void take_turns(const int16_t *restrict both, size_t width, int16_t *restrict one)
{
    enum { BLOCK = STDO_SLACK };
    for (size_t x = 0; x < width; x += BLOCK)
        for (size_t i = 0; i < BLOCK; i++) one[x + i] = both[2 * (x + i)];
}

/* V of one hr row of lr row y, for the lr columns x0..x1-1 and the margin. */
static void vertical(const stdo_kernels *kernels, const stdo_plane *plane, uint32_t x0, uint32_t x1, uint32_t y,
                     const stdo_phase *phase, int16_t *v)
{
    const uint32_t left = min_u32(x0, MARGIN), right = min_u32(plane->lr_width - x1, MARGIN);
    const uint32_t begin = x0 - left, width = x1 + right - begin;
    const uint8_t *row[4];
    for (int j = 0; j < 4; j++)
        row[j] = stdo_lr_row(plane, (int64_t)y + phase->offset - 1 + j) + (size_t)begin * plane->lr_step;

    int16_t *inside = v + MARGIN - left;
    if (plane->lr_step == 1) {
        kernels->base_vertical(row, phase, width, inside);
    } else {
        int16_t *both = v + stdo_base_room(plane->lr_width); /* the other plane's values too, which cost little here */
        kernels->base_vertical(row, phase, 2 * (size_t)width - 1, both);
        take_turns(both, width, inside);
    }
    /* Clamping the columns before or after the vertical taps is the same, and after is cheaper. */
    for (uint32_t i = 0; i < MARGIN - left; i++) v[i] = inside[0];
    for (uint32_t i = 0; i < MARGIN - right; i++) inside[width + i] = inside[width - 1];
}

void stdo_row_3_2(const stdo_kernels *kernels, const stdo_plane *plane, uint32_t x, uint32_t y, uint32_t width,
                  int16_t *v, uint8_t *out)
{
    const uint32_t lr_x = x / 3 * 2, lr_width = (width + 2) / 3 * 2;
    vertical(kernels, plane, lr_x, min_u32(lr_x + lr_width, plane->lr_width), y / 3 * 2, &stdo_phases_3_2[0][y % 3], v);
    kernels->hr_row_3_2(v, stdo_phases_3_2[plane->left != 0], width, out);
}

static uint8_t *hr_sample(const stdo_plane *plane, uint32_t x, uint32_t y)
{
    return plane->hr + (ptrdiff_t)(y - plane->hr_y) * plane->hr_stride + (x - plane->hr_x);
}

void stdo_base_row(const stdo_kernels *kernels, const stdo_plane *plane, const stdo_rect *rect, uint32_t y,
                   const int16_t *residual, size_t stride, int16_t *v)
{
    const uint32_t scale = plane->scale;
    const uint32_t hr_x = rect->x0 * scale;
    if (hr_x >= plane->hr_width) return;
    const uint32_t visible = min_u32((rect->x1 - rect->x0) * scale, plane->hr_width - hr_x);
    if (plane->full_size) {
        if (y < plane->hr_height)
            stdo_row_3_2(kernels, plane, hr_x, y, visible, v, hr_sample(plane, hr_x, y));
        return;
    }
    if (scale == 1 && residual == NULL && plane->lr_step == 1) {
        if (y < plane->hr_height) memcpy(hr_sample(plane, hr_x, y), stdo_lr_row(plane, y) + hr_x, visible);
        return;
    }
    for (uint32_t r = 0; r < scale && y * scale + r < plane->hr_height; r++) {
        uint8_t *hr = hr_sample(plane, hr_x, y * scale + r);
        vertical(kernels, plane, rect->x0, rect->x1, y, &stdo_phases[0][scale - 1][r], v);
        const int16_t *more = residual == NULL ? NULL : residual + r * stride;
        kernels->hr_row(v, stdo_phases[plane->left != 0][scale - 1], scale, more, visible, hr);
    }
}
