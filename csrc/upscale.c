/* Upscales patches: the base of any rectangle of a plane, and the residual of a luma patch. */
#include "sidecar.h"

#include <string.h>

enum { ALIGNMENT = 64, BASE_MARGIN = 2 }; /* lr pixels that the base reads on each side */

static const stdo_phase centre[STDO_MAX_SCALE][STDO_MAX_SCALE] = {
    {{0, {0, 128, 0, 0}}},
    {{-1, {-4, 34, 112, -14}}, {0, {-14, 112, 34, -4}}},
    {{-1, {-7, 47, 102, -14}}, {0, {0, 128, 0, 0}}, {0, {-14, 102, 47, -7}}},
    {{-1, {-8, 55, 95, -14}}, {-1, {-1, 15, 123, -9}}, {0, {-9, 123, 15, -1}}, {0, {-14, 95, 55, -8}}},
};

static const stdo_phase left[STDO_MAX_SCALE][STDO_MAX_SCALE] = {
    {{0, {0, 128, 0, 0}}},
    {{-1, {-1, 15, 123, -9}}, {0, {-14, 95, 55, -8}}},
    {{-1, {-2, 21, 120, -11}}, {0, {-11, 120, 21, -2}}, {0, {-12, 76, 76, -12}}},
    {{-1, {-3, 24, 119, -12}}, {0, {-5, 126, 7, 0}}, {0, {-14, 104, 44, -6}}, {0, {-10, 65, 86, -13}}},
};

/* One plane of the lr frame, and of the hr frame where its pixels go. */
typedef struct plane {
    const uint8_t *lr;
    uint8_t *hr;
    ptrdiff_t lr_stride, hr_stride;
    uint32_t lr_width, lr_height, hr_width, hr_height;
} plane;

/* A rectangle of lr pixels: x0 <= x < x1, y0 <= y < y1. */
typedef struct rect {
    uint32_t x0, y0, x1, y1;
} rect;

/* The parts of a call's scratch. */
typedef struct scratch {
    int16_t *v, *base, *window, *tile[2];
} scratch;

static uint32_t min_u32(uint32_t a, uint32_t b) { return a < b ? a : b; }
static uint32_t half_up(uint32_t n) { return (n + 1) / 2; }

/* How far inside 0..size-1 the position is, for positions outside too. */
static uint32_t clamp_to(int64_t position, uint32_t size)
{
    return position < 0 ? 0 : position >= size ? size - 1 : (uint32_t)position;
}

static const uint8_t *lr_row(const plane *p, int64_t y)
{
    return p->lr + (ptrdiff_t)clamp_to(y, p->lr_height) * p->lr_stride;
}

/* Points the parts into `memory` (aligned) and returns the bytes they take; NULL only counts. */
static size_t lay_out(const stdo_sidecar *sidecar, uint8_t *memory, scratch *parts)
{
    const stdo_info *info = &sidecar->info;
    const size_t width = info->patch > half_up(info->lr_width) ? info->patch : half_up(info->lr_width);
    const size_t count[] = {width + 2 * BASE_MARGIN, width * info->scale, sidecar->max_taps, sidecar->max_tile,
                            sidecar->max_tile};
    int16_t **part[] = {&parts->v, &parts->base, &parts->window, &parts->tile[0], &parts->tile[1]};
    size_t used = 0;
    for (size_t i = 0; i < sizeof count / sizeof *count; i++) {
        if (memory != NULL) *part[i] = (int16_t *)(void *)(memory + used);
        used += (count[i] * sizeof(int16_t) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
    return used;
}

/* V for the rectangle's columns and the margin, of hr row scale * y + r. */
static void vertical(const stdo_kernels *kernels, const plane *p, const rect *r, uint32_t y, const stdo_phase *phase,
                     int16_t *v)
{
    const uint32_t margin_left = min_u32(r->x0, BASE_MARGIN), margin_right = min_u32(p->lr_width - r->x1, BASE_MARGIN);
    const uint32_t begin = r->x0 - margin_left, width = r->x1 + margin_right - begin;
    const uint8_t *row[4];
    for (int j = 0; j < 4; j++) row[j] = lr_row(p, (int64_t)y + phase->offset - 1 + j) + begin;

    int16_t *inside = v + BASE_MARGIN - margin_left;
    kernels->base_vertical(row, phase, width, inside);
    /* Clamping the columns before or after the vertical taps is the same, and after is cheaper. */
    for (uint32_t i = 0; i < BASE_MARGIN - margin_left; i++) v[i] = inside[0];
    for (uint32_t i = 0; i < BASE_MARGIN - margin_right; i++) inside[width + i] = inside[width - 1];
}

/* Writes the hr pixels of a rectangle; `residual`, where not NULL, holds as many values as it has pixels. */
static void write_rect(const stdo_kernels *kernels, const plane *p, const rect *r, uint32_t scale,
                       const stdo_phase *columns, const int16_t *residual, const scratch *s)
{
    const uint32_t hr_x = r->x0 * scale, width = (r->x1 - r->x0) * scale;
    if (hr_x >= p->hr_width) return;
    const uint32_t visible = min_u32(width, p->hr_width - hr_x);
    for (uint32_t hr_y = r->y0 * scale; hr_y < min_u32(r->y1 * scale, p->hr_height); hr_y++) {
        uint8_t *hr = p->hr + (ptrdiff_t)hr_y * p->hr_stride + hr_x;
        vertical(kernels, p, r, hr_y / scale, &centre[scale - 1][hr_y % scale], s->v);
        kernels->base_horizontal(s->v, columns, scale, r->x1 - r->x0, s->base);
        if (residual == NULL)
            kernels->store_base(s->base, visible, hr);
        else
            kernels->store_sum(s->base, residual + (size_t)(hr_y - r->y0 * scale) * width, visible, hr);
    }
}

/* The luma of a rectangle with `halo` pixels around it, as a tile of one channel. */
static void read_tile(const plane *p, const rect *r, uint32_t halo, int16_t *tile)
{
    for (int64_t y = (int64_t)r->y0 - halo; y < (int64_t)r->y1 + halo; y++) {
        const uint8_t *row = lr_row(p, y);
        for (int64_t x = (int64_t)r->x0 - halo; x < (int64_t)r->x1 + halo; x++) *tile++ = row[clamp_to(x, p->lr_width)];
    }
}

/* Returns the residual that a net gives a rectangle, in one of the two tiles. */
static const int16_t *net_residual(const stdo_kernels *kernels, const stdo_net *net, const plane *p, const rect *r,
                                   uint32_t scale, const scratch *s)
{
    int16_t *in = s->tile[0], *out = s->tile[1];
    size_t width = r->x1 - r->x0 + 2 * net->halo, height = r->y1 - r->y0 + 2 * net->halo;
    read_tile(p, r, net->halo, in);
    for (uint32_t l = 0; l < net->layers; l++) {
        const stdo_layer *layer = &net->layer[l];
        width -= layer->kernel - 1;
        height -= layer->kernel - 1;
        if (l + 1 == net->layers)
            kernels->last(layer, in, width, height, s->window, scale, out);
        else
            kernels->hidden(layer, in, width, height, s->window, out);
        int16_t *swap = in;
        in = out;
        out = swap;
    }
    return in;
}

/* ---- Public ---- */

size_t stdo_scratch_size(const stdo_sidecar *sidecar)
{
    scratch unused;
    return sidecar == NULL ? 0 : lay_out(sidecar, NULL, &unused) + ALIGNMENT - 1;
}

stdo_status stdo_upscale_rows(const stdo_sidecar *sidecar, uint32_t segment, const uint8_t *labels,
                              const stdo_const_image *lr, const stdo_image *hr,
                              uint32_t row_begin, uint32_t row_end, void *memory)
{
    if (sidecar == NULL || labels == NULL || lr == NULL || hr == NULL || memory == NULL) return STDO_ERROR_ARGUMENT;
    for (int i = 0; i < 3; i++)
        if (lr->plane[i] == NULL || hr->plane[i] == NULL) return STDO_ERROR_ARGUMENT;
    const stdo_info *info = &sidecar->info;
    if (segment >= info->segments) return STDO_ERROR_SEGMENT_RANGE;
    if (row_begin > row_end || row_end > info->rows) return STDO_ERROR_ROW_RANGE;
    const stdo_segment *nets = &sidecar->segment[segment];
    for (size_t i = (size_t)row_begin * info->columns; i < (size_t)row_end * info->columns; i++)
        if (labels[i] > nets->info.nets) return STDO_ERROR_LABEL_RANGE;

    scratch s;
    lay_out(sidecar, (uint8_t *)memory + (ALIGNMENT - (uintptr_t)memory % ALIGNMENT) % ALIGNMENT, &s);
    const stdo_kernels *kernels = &sidecar->kernels;
    const uint32_t scale = info->scale, patch = info->patch;

    const plane luma = {lr->plane[0], hr->plane[0], lr->stride[0], hr->stride[0],
                        info->lr_width, info->lr_height, info->hr_width, info->hr_height};
    for (uint32_t row = row_begin; row < row_end; row++)
        for (uint32_t column = 0; column < info->columns; column++) {
            const rect r = {column * patch, row * patch, min_u32((column + 1) * patch, info->lr_width),
                            min_u32((row + 1) * patch, info->lr_height)};
            const uint32_t label = labels[(size_t)row * info->columns + column];
            const int16_t *residual =
                label == 0 ? NULL : net_residual(kernels, &nets->net[label - 1], &luma, &r, scale, &s);
            write_rect(kernels, &luma, &r, scale, centre[scale - 1], residual, &s);
        }

    for (int i = 1; i < 3; i++) {
        const plane chroma = {lr->plane[i], hr->plane[i], lr->stride[i], hr->stride[i],
                              half_up(info->lr_width), half_up(info->lr_height),
                              half_up(info->hr_width), half_up(info->hr_height)};
        /* An odd patch ends within a chroma row: rounding down at both ends gives each row to exactly one range. */
        const rect r = {0, row_begin * patch / 2, chroma.lr_width,
                        row_end == info->rows ? chroma.lr_height : row_end * patch / 2};
        write_rect(kernels, &chroma, &r, scale, (info->chroma ? left : centre)[scale - 1], NULL, &s);
    }
    return STDO_OK;
}
