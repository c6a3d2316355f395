/* U and V: by a net that reads luma, too, or by the base alone; in planes of their own or with samples that lie in turns
   (NV12, NV21). */
#include "patches.h"

#include "sizes.h"

/* ---- Samples that lie in turns ---- */

static void lay_in_turns(const uint8_t *restrict first, const uint8_t *restrict second, size_t width,
                         uint8_t *restrict both)
{
    enum { BLOCK = 16 }; /* of a fixed length, so that compilers make vectors of it */
    size_t x = 0;
    for (; x + BLOCK <= width; x += BLOCK)
        for (size_t i = 0; i < BLOCK; i++) {
            both[2 * (x + i)] = first[x + i];
            both[2 * (x + i) + 1] = second[x + i];
        }
    for (; x < width; x++) {
        both[2 * x] = first[x];
        both[2 * x + 1] = second[x];
    }
}

static const stdo_plane *first_in_turns(const stdo_job *j)
{
    return j->plane[2].hr < j->plane[1].hr ? &j->plane[2] : &j->plane[1];
}

/* U and V with hr rows in scratch, for a rectangle of at most STDO_TURN_ROWS rows. */
static void take_alone(const stdo_job *j, const stdo_rect *r, stdo_plane alone[2])
{
    const uint32_t scale = j->plane[1].scale;
    const size_t width = j->plane[1].hr_width, rows = (size_t)(r->y1 - r->y0) * scale;
    for (int i = 0; i < 2; i++) {
        alone[i] = j->plane[1 + i];
        alone[i].hr = j->turns + (size_t)i * rows * width;
        alone[i].hr_stride = (ptrdiff_t)width;
        alone[i].hr_step = 1;
        alone[i].hr_x = r->x0 * scale;
        alone[i].hr_y = r->y0 * scale;
    }
}

/* Lays what was written to them into hr. */
static void lay_rows_in_turns(const stdo_job *j, const stdo_rect *r, const stdo_plane alone[2])
{
    const stdo_plane *hr = first_in_turns(j), *first = &alone[hr == &j->plane[2]], *second = &alone[hr == &j->plane[1]];
    const uint32_t scale = hr->scale, x0 = r->x0 * scale, x1 = min_u32(r->x1 * scale, hr->hr_width);
    const uint32_t y0 = r->y0 * scale, y1 = min_u32(r->y1 * scale, hr->hr_height);
    for (uint32_t y = y0; y < y1 && x0 < x1; y++) {
        const ptrdiff_t row = (ptrdiff_t)(y - y0) * first->hr_stride;
        lay_in_turns(first->hr + row, second->hr + row, x1 - x0,
                     hr->hr + (ptrdiff_t)y * hr->hr_stride + 2 * (size_t)x0);
    }
}

/* Writes every other sample of an lr plane, in the rows and columns of a rectangle, into a plane of its own. */
static void take_turns(const stdo_plane *plane, const stdo_rect *lr, uint8_t *alone)
{
    for (uint32_t y = lr->y0; y < lr->y1; y++) {
        const uint8_t *from = plane->lr + (ptrdiff_t)y * plane->lr_stride;
        uint8_t *to = alone + (size_t)y * plane->lr_width;
        for (uint32_t x = lr->x0; x < lr->x1; x++) to[x] = from[2 * (size_t)x];
    }
}

/* ---- Chroma that has a net ---- */

/* The luma that a rectangle of lr chroma has. */
static stdo_rect luma_of(const stdo_job *j, const stdo_rect *lr)
{
    return (stdo_rect){2 * lr->x0, 2 * lr->y0, min_u32(2 * lr->x1, j->plane[0].lr_width),
                       min_u32(2 * lr->y1, j->plane[0].lr_height)};
}

/* As `reuse_base` below. */
static int reuse_net(const stdo_job *j, uint32_t column, uint32_t row)
{
    if (j->previous == NULL) return 0;
    const size_t index = (size_t)row * j->sidecar->info.columns + column;
    const stdo_rect r = stdo_patch_rect(&j->sidecar->info, &j->plane[1], 1, column, 1, row);
    const stdo_rect lr = stdo_lr_rect(&j->plane[1], &r, j->segment->chroma->halo), luma = luma_of(j, &lr);
    int same = stdo_is_same(&j->plane[0], j->previous, 0, &luma);
    for (int p = 1; p < 3 && same; p++) same = stdo_is_same(&j->plane[p], j->previous, p, &lr);
    if (!same) {
        stdo_grow_new(j, index);
        return 0;
    }
    if (stdo_holds(j, index)) return 1;
    if (j->plane[1].hr_step == 2) {
        const stdo_plane *both = first_in_turns(j);
        stdo_copy_hr(both, j->previous, (int)(both - j->plane), &r);
        return 1;
    }
    for (int p = 1; p < 3; p++) stdo_copy_hr(&j->plane[p], j->previous, p, &r);
    return 1;
}

/* Writes the mean luma of the chroma samples that a rectangle of chroma reads. */
static void write_mean(const stdo_job *j, const stdo_rect *lr)
{
    const stdo_plane *luma = &j->plane[0], *mean = &j->plane[3];
    for (uint32_t y = lr->y0; y < lr->y1; y++) {
        const uint8_t *above = stdo_lr_row(luma, 2 * (int64_t)y), *below = stdo_lr_row(luma, 2 * (int64_t)y + 1);
        uint8_t *out = j->read + (size_t)y * mean->lr_width;
        const uint32_t pairs = min_u32(lr->x1, luma->lr_width / 2);
        for (uint32_t x = lr->x0; x < pairs; x++)
            out[x] = (uint8_t)((above[2 * x] + above[2 * x + 1] + below[2 * x] + below[2 * x + 1] + 2) >> 2);
        if (pairs < lr->x1) out[pairs] = (uint8_t)((2 * above[2 * pairs] + 2 * below[2 * pairs] + 2) >> 2);
    }
}

static void run_net(const stdo_job *j, const stdo_plane *plane, const stdo_rect *r)
{
    const stdo_sidecar *s = j->sidecar;
    const stdo_region all = {.rect = *r};
    stdo_net_run(j->segment->chroma, &s->kernels, s->conv, plane, STDO_CHROMA_PLANES, &all, j->v, j->net_memory);
}

static void net_of_rect(const stdo_job *j, const stdo_rect *r)
{
    const stdo_rect lr = stdo_lr_rect(&j->plane[3], r, j->segment->chroma->halo);
    const size_t samples = (size_t)j->plane[3].lr_width * j->plane[3].lr_height;
    stdo_plane plane[STDO_CHROMA_INPUTS] = {j->plane[1], j->plane[2], j->plane[3]};
    write_mean(j, &lr);
    for (size_t i = 0; i < 2 && plane[i].lr_step == 2; i++) {
        uint8_t *alone = j->read + (i + 1) * samples;
        take_turns(&plane[i], &lr, alone);
        plane[i].lr = alone;
        plane[i].lr_stride = (ptrdiff_t)plane[i].lr_width;
        plane[i].lr_step = 1;
    }
    if (plane[0].hr_step == 1) {
        run_net(j, plane, r);
        return;
    }
    for (stdo_rect rows = *r; rows.y0 < r->y1; rows.y0 = rows.y1) {
        rows.y1 = min_u32(rows.y0 + STDO_TURN_ROWS, r->y1);
        stdo_plane alone[2];
        take_alone(j, &rows, alone);
        for (int i = 0; i < 2; i++) {
            alone[i].lr = plane[i].lr;
            alone[i].lr_stride = plane[i].lr_stride;
            alone[i].lr_step = plane[i].lr_step;
        }
        const stdo_plane given[STDO_CHROMA_INPUTS] = {alone[0], alone[1], plane[2]};
        run_net(j, given, &rows);
        lay_rows_in_turns(j, &rows, alone);
    }
}

static void upscale_by_net(const stdo_job *j)
{
    const uint32_t columns = j->sidecar->info.columns;
    uint8_t *todo = j->todo;
    for (uint32_t row = j->row_begin; row < j->row_end; row++)
        for (uint32_t column = 0; column < columns; column++) *todo++ = reuse_net(j, column, row) ? STDO_DONE : 0;
    for (uint32_t row = j->row_begin; row < j->row_end; row++)
        for (uint32_t column = 0; column < columns; column++) {
            if (j->todo[(size_t)(row - j->row_begin) * columns + column] == STDO_DONE) continue;
            const stdo_region region = stdo_take_region(j, j->segment->chroma, 1, column, row);
            net_of_rect(j, &region.rect);
            stdo_drop_region(j, &region);
        }
}

/* ---- Chroma that only has a base ---- */

static int unchanged(const stdo_job *j, int index, const stdo_rect *r)
{
    const stdo_rect lr = stdo_lr_rect(&j->plane[index], r, 0);
    return stdo_is_same(&j->plane[index], j->previous, index, &lr);
}

/* The chroma planes first..last of one patch. Luma came before, so the patch has its new age, which is 0 if either was
   computed: then hr is not known to hold it. */
static int reuse_base(const stdo_job *j, int first, int last, uint32_t column, uint32_t row)
{
    if (j->previous == NULL) return 0;
    const size_t index = (size_t)row * j->sidecar->info.columns + column;
    const stdo_rect r = stdo_patch_rect(&j->sidecar->info, &j->plane[first], 1, column, 1, row);
    for (int i = first; i <= last; i++)
        if (!unchanged(j, i, &r)) {
            stdo_grow_new(j, index);
            return 0;
        }
    const int copied = first < last && j->plane[last].hr < j->plane[first].hr ? last : first;
    if (!stdo_holds(j, index)) stdo_copy_hr(&j->plane[copied], j->previous, copied, &r);
    return 1;
}

static void base_of_plane(const stdo_job *j, const stdo_plane *plane, const stdo_rect *r)
{
    for (uint32_t y = r->y0; y < r->y1; y++) stdo_base_row(&j->sidecar->kernels, plane, r, y, NULL, 0, j->v);
}

static void base_in_turns(const stdo_job *j, const stdo_rect *r)
{
    for (stdo_rect row = *r; row.y0 < r->y1; row.y0++) {
        row.y1 = row.y0 + 1;
        stdo_plane alone[2];
        take_alone(j, &row, alone);
        for (int i = 0; i < 2; i++) base_of_plane(j, &alone[i], &row);
        lay_rows_in_turns(j, &row, alone);
    }
}

static void base_of_row(const stdo_job *j, int first, int last, uint32_t row)
{
    const stdo_info *info = &j->sidecar->info;
    uint32_t column = 0;
    while (column < info->columns) {
        uint32_t run = 0;
        while (column + run < info->columns && !reuse_base(j, first, last, column + run, row)) run++;
        if (run > 0) {
            const stdo_rect r = stdo_patch_rect(info, &j->plane[first], 1, column, run, row);
            if (first < last) base_in_turns(j, &r);
            else base_of_plane(j, &j->plane[first], &r);
        }
        column += run + 1;
    }
}

void stdo_upscale_chroma(const stdo_job *j)
{
    if (j->segment->chroma != NULL) {
        upscale_by_net(j);
        return;
    }
    const int together = j->plane[1].hr_step == 2;
    for (uint32_t row = j->row_begin; row < j->row_end; row++) {
        base_of_row(j, 1, together ? 2 : 1, row);
        if (!together) base_of_row(j, 2, 2, row);
    }
}
