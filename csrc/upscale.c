/* Upscales frames: finds the patches that changed, joins those of one net to rectangles, and runs them. */
#include "sidecar.h"

#include "sizes.h"

#include <string.h>

enum { DONE = 255 }; /* in the work list: labels are 0..63 */

/* One call: what it was given, and the parts of its scratch. */
typedef struct job {
    const stdo_sidecar *sidecar;
    const stdo_segment *segment;
    const stdo_previous *previous; /* NULL if nothing can be copied from it */
    stdo_statistics *done;
    uint8_t *ages;              /* may be NULL */
    uint32_t hr_age;
    stdo_plane plane[3];
    uint32_t row_begin, row_end;
    uint8_t *todo;              /* [row_end - row_begin][columns] labels, or DONE */
    int16_t *v;
    uint8_t *chroma;            /* rows of U and V, before they lie in turns */
    uint8_t *net_memory;
} job;

/* The part of a plane that belongs to the patches of some columns and one row. A patch of odd side may end within a
   chroma sample: rounding down at both ends gives each sample to exactly one patch. */
static stdo_rect patch_rect(const stdo_info *info, const stdo_plane *plane, int is_chroma, uint32_t column,
                            uint32_t columns, uint32_t row)
{
    const uint32_t halved = is_chroma ? 1 : 0, end = column + columns;
    const uint32_t side = net_side(info);
    const stdo_rect r = {column * side >> halved, row * side >> halved,
                         end == info->columns ? plane->width : end * side >> halved,
                         row + 1 == info->rows ? plane->height : (row + 1) * side >> halved};
    return r;
}

/* ---- Reuse: what did not change since the previous frame is copied ---- */

/* The lr pixels that the net pixels begin..end-1 of a row or column come from, `halo` of them read beside. */
static void lr_extent(const stdo_plane *plane, uint32_t lr_size, uint32_t halo, uint32_t *begin, uint32_t *end)
{
    if (plane->full_size) {
        *begin = (*begin - min_u32(*begin, halo)) / 3 * 2;
        *end = (*end + halo + 2) / 3 * 2;
        halo = 0;
    }
    const uint32_t margin = max_u32(halo, STDO_BASE_MARGIN);
    *begin -= min_u32(*begin, margin);
    *end = min_u32(*end + margin, lr_size);
}

static int lr_unchanged(const stdo_plane *plane, const stdo_previous *previous, int index, const stdo_rect *r,
                        uint32_t halo)
{
    uint32_t x0 = r->x0, x1 = r->x1, y0 = r->y0, y1 = r->y1;
    lr_extent(plane, plane->lr_width, halo, &x0, &x1);
    lr_extent(plane, plane->lr_height, halo, &y0, &y1);
    const size_t step = plane->lr_step; /* at 2 a change of the other plane counts as well */
    for (uint32_t y = y0; y < y1; y++)
        if (memcmp(plane->lr + (ptrdiff_t)y * plane->lr_stride + x0 * step,
                   previous->lr.plane[index] + (ptrdiff_t)y * previous->lr.stride[index] + x0 * step,
                   (x1 - x0 - 1) * step + 1) != 0)
            return 0;
    return 1;
}

/* Where samples lie in turns, those of both planes: `plane` is that of the first. */
static void copy_hr(const stdo_plane *plane, const stdo_previous *previous, int index, const stdo_rect *r)
{
    const uint32_t scale = plane->scale;
    const size_t step = plane->hr_step;
    if (previous->hr.plane[index] == plane->hr && previous->hr.stride[index] == plane->hr_stride) return;
    const uint32_t x0 = r->x0 * scale, x1 = min_u32(r->x1 * scale, plane->hr_width);
    if (x0 >= x1) return;
    for (uint32_t y = r->y0 * scale; y < min_u32(r->y1 * scale, plane->hr_height); y++)
        memcpy(plane->hr + (ptrdiff_t)y * plane->hr_stride + x0 * step,
               previous->hr.plane[index] + (ptrdiff_t)y * previous->hr.stride[index] + x0 * step, (x1 - x0) * step);
}

static void grow_older(const job *j, size_t index)
{
    if (j->ages != NULL && j->ages[index] < UINT8_MAX) j->ages[index]++;
}

static void grow_new(const job *j, size_t index)
{
    if (j->ages != NULL) j->ages[index] = 0;
}

/* Whether hr has held a patch that is unchanged now since before it was last written. */
static int holds(const job *j, size_t index) { return j->hr_age > 0 && j->ages[index] >= j->hr_age; }

static int reuse(const job *j, const uint8_t *labels, uint32_t column, uint32_t row)
{
    const stdo_info *info = &j->sidecar->info;
    const size_t index = (size_t)row * info->columns + column;
    if (j->previous == NULL || j->previous->labels[index] != labels[index]) return 0;
    const uint32_t halo = labels[index] == 0 ? 0 : j->segment->net[labels[index] - 1].halo;
    const uint32_t planes = j->sidecar->net_planes;
    for (uint32_t p = 0; p < planes; p++) {
        const stdo_rect r = patch_rect(info, &j->plane[p], 0, column, 1, row);
        if (!lr_unchanged(&j->plane[p], j->previous, (int)p, &r, halo)) return 0;
    }
    grow_older(j, index);
    for (uint32_t p = 0; p < planes && !holds(j, index); p++) {
        const stdo_rect r = patch_rect(info, &j->plane[p], 0, column, 1, row);
        copy_hr(&j->plane[p], j->previous, (int)p, &r);
    }
    return 1;
}

static void list_work(const job *j, const uint8_t *labels)
{
    const uint32_t columns = j->sidecar->info.columns;
    uint8_t *todo = j->todo;
    for (uint32_t row = j->row_begin; row < j->row_end; row++)
        for (uint32_t column = 0; column < columns; column++) {
            const size_t index = (size_t)row * columns + column;
            const uint8_t label = labels[index];
            const int done = reuse(j, labels, column, row);
            if (!done) grow_new(j, index);
            *todo++ = done ? DONE : label;
            if (done)
                j->done->reused++;
            else if (label == 0)
                j->done->base++;
            else
                j->done->net++;
        }
}

/* ---- The planes that nets read ---- */

static void run_rect(const job *j, uint8_t label, const stdo_rect *r)
{
    const stdo_sidecar *s = j->sidecar;
    const uint32_t planes = s->net_planes;
    if (label > 0) {
        stdo_net_run(&j->segment->net[label - 1], &s->kernels, s->conv, j->plane, planes, r, j->v, j->net_memory);
        return;
    }
    for (uint32_t p = 0; p < planes; p++)
        for (uint32_t y = r->y0; y < r->y1; y++)
            stdo_base_row(&s->kernels, &j->plane[p], r, y, NULL, 0, j->v);
}

/* The width of strips that cut the columns into as few strips as `limit` allows, all about equally wide. */
static uint32_t strip_of(uint32_t columns, uint32_t limit)
{
    uint32_t strips = 1, width = min_u32(columns, limit);
    while (strips * limit < columns) strips++;
    while ((width - 1) * strips >= columns) width--;
    return width;
}

/* Takes off the list a rectangle of patches with one label, from its upper left patch on: first as wide as possible,
   then as high as possible. */
static stdo_rect take_rect(const job *j, uint32_t column, uint32_t row)
{
    const stdo_info *info = &j->sidecar->info;
    uint8_t *first = j->todo + (size_t)(row - j->row_begin) * info->columns + column;
    const uint8_t label = *first;
    uint32_t columns = 1, rows = 1;
    while (column + columns < info->columns && first[columns] == label) columns++;
    if (label > 0) columns = strip_of(columns, j->segment->net[label - 1].strip);
    for (; row + rows < j->row_end; rows++) {
        const uint8_t *next = first + (size_t)rows * info->columns;
        if (next[0] != label || memcmp(next, first, columns) != 0) break;
    }
    for (uint32_t i = 0; i < rows; i++) memset(first + (size_t)i * info->columns, DONE, columns);

    stdo_rect r = patch_rect(info, &j->plane[0], 0, column, columns, row);
    r.y1 = patch_rect(info, &j->plane[0], 0, column, columns, row + rows - 1).y1;
    return r;
}

static void upscale_net_planes(const job *j)
{
    const uint32_t columns = j->sidecar->info.columns;
    for (uint32_t row = j->row_begin; row < j->row_end; row++)
        for (uint32_t column = 0; column < columns; column++) {
            const uint8_t label = j->todo[(size_t)(row - j->row_begin) * columns + column];
            if (label == DONE) continue;
            const stdo_rect r = take_rect(j, column, row);
            run_rect(j, label, &r);
        }
}

/* ---- Chroma, which only has a base ---- */

/* The chroma planes first..last of one patch. Luma came before, so the patch has its new age, which is 0 if either was
   computed: then hr is not known to hold it. */
static int reuse_chroma(const job *j, int first, int last, uint32_t column, uint32_t row)
{
    if (j->previous == NULL) return 0;
    const size_t index = (size_t)row * j->sidecar->info.columns + column;
    const stdo_rect r = patch_rect(&j->sidecar->info, &j->plane[first], 1, column, 1, row);
    for (int i = first; i <= last; i++)
        if (!lr_unchanged(&j->plane[i], j->previous, i, &r, 0)) {
            grow_new(j, index);
            return 0;
        }
    const int copied = first < last && j->plane[last].hr < j->plane[first].hr ? last : first;
    if (!holds(j, index)) copy_hr(&j->plane[copied], j->previous, copied, &r);
    return 1;
}

static void base_of_plane(const job *j, const stdo_plane *plane, const stdo_rect *r)
{
    for (uint32_t y = r->y0; y < r->y1; y++) stdo_base_row(&j->sidecar->kernels, plane, r, y, NULL, 0, j->v);
}

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

/* Both planes, where their hr samples lie in turns: first each by itself, in scratch. */
static void base_in_turns(const job *j, const stdo_rect *r)
{
    const stdo_plane *hr = j->plane[2].hr < j->plane[1].hr ? &j->plane[2] : &j->plane[1];
    const uint32_t scale = hr->scale, x0 = r->x0 * scale, x1 = min_u32(r->x1 * scale, hr->hr_width);
    if (x0 >= x1) return;
    const size_t width = x1 - x0;
    stdo_plane alone[2] = {*hr, j->plane[hr == &j->plane[1] ? 2 : 1]};
    for (uint32_t i = 0; i < 2; i++) {
        alone[i].hr = j->chroma + i * scale * width;
        alone[i].hr_stride = (ptrdiff_t)width;
        alone[i].hr_x = x0;
    }
    for (uint32_t y = r->y0; y < r->y1; y++) {
        for (int i = 0; i < 2; i++) {
            alone[i].hr_y = y * scale;
            stdo_base_row(&j->sidecar->kernels, &alone[i], r, y, NULL, 0, j->v);
        }
        for (uint32_t i = 0; i < scale && y * scale + i < hr->hr_height; i++)
            lay_in_turns(alone[0].hr + i * width, alone[1].hr + i * width, width,
                         hr->hr + (ptrdiff_t)(y * scale + i) * hr->hr_stride + 2 * (size_t)x0);
    }
}

static void upscale_chroma_row(const job *j, int first, int last, uint32_t row)
{
    const stdo_info *info = &j->sidecar->info;
    uint32_t column = 0;
    while (column < info->columns) {
        uint32_t run = 0;
        while (column + run < info->columns && !reuse_chroma(j, first, last, column + run, row)) run++;
        if (run > 0) {
            const stdo_rect r = patch_rect(info, &j->plane[first], 1, column, run, row);
            if (first < last) base_in_turns(j, &r);
            else base_of_plane(j, &j->plane[first], &r);
        }
        column += run + 1;
    }
}

/* ---- Public ---- */

size_t stdo_scratch_size(const stdo_sidecar *sidecar)
{
    return sidecar == NULL ? 0 : sidecar->scratch.bytes + STDO_ALIGNMENT - 1;
}

static uint32_t step_of(const stdo_const_image *image) { return image->chroma_step == 0 ? 1 : image->chroma_step; }

static int image_ok(const stdo_const_image *image, uint32_t colour)
{
    if (image->plane[0] == NULL || image->plane[1] == NULL || image->plane[2] == NULL) return 0;
    if (step_of(image) == 1) return 1;
    return image->chroma_step == 2 && colour == STDO_COLOUR_YUV420 && image->stride[1] == image->stride[2] &&
           (image->plane[2] == image->plane[1] + 1 || image->plane[1] == image->plane[2] + 1);
}

static int previous_ok(const stdo_previous *previous, const stdo_const_image *lr, const stdo_const_image *hr,
                       uint32_t colour)
{
    return previous->size >= STDO_SIZE_TO(stdo_previous, hr) && previous->labels != NULL &&
           image_ok(&previous->lr, colour) && step_of(&previous->lr) == step_of(lr) &&
           image_ok(&previous->hr, colour) && step_of(&previous->hr) == step_of(hr);
}

static int frame_ok(const stdo_frame *frame, uint32_t colour)
{
    if (frame->size < STDO_SIZE_TO(stdo_frame, ages)) return 0;
    const stdo_const_image hr = stdo_image_for_reading(&frame->hr);
    return frame->labels != NULL && image_ok(&frame->lr, colour) && image_ok(&hr, colour) &&
           (frame->ages != NULL || frame->hr_age == 0) &&
           (frame->previous == NULL || previous_ok(frame->previous, &frame->lr, &hr, colour));
}

static int has_room(const stdo_statistics *statistics)
{
    return statistics == NULL || statistics->size >= STDO_SIZE_TO(stdo_statistics, reused);
}

stdo_status stdo_upscale_rows(const stdo_sidecar *sidecar, const stdo_frame *frame, uint32_t row_begin,
                              uint32_t row_end, void *scratch, stdo_statistics *statistics)
{
    if (sidecar == NULL || frame == NULL || scratch == NULL || !frame_ok(frame, sidecar->info.colour) ||
        !has_room(statistics))
        return STDO_ERROR_ARGUMENT;
    const stdo_info *info = &sidecar->info;
    if (frame->segment >= info->segments) return STDO_ERROR_SEGMENT_RANGE;
    if (row_begin > row_end || row_end > info->rows) return STDO_ERROR_ROW_RANGE;
    const stdo_segment *nets = &sidecar->segment[frame->segment];
    const uint8_t *labels = frame->labels;
    for (size_t i = (size_t)row_begin * info->columns; i < (size_t)row_end * info->columns; i++)
        if (labels[i] > nets->info.nets) return STDO_ERROR_LABEL_RANGE;

    stdo_statistics done = {.net = 0};
    uint8_t *memory = align_pointer(scratch, STDO_ALIGNMENT);
    job j = {.sidecar = sidecar, .segment = nets, .row_begin = row_begin, .row_end = row_end};
    j.previous = frame->previous != NULL && frame->previous->segment == frame->segment ? frame->previous : NULL;
    j.done = &done;
    j.ages = frame->ages;
    j.hr_age = frame->hr_age;
    j.todo = memory;
    j.v = (int16_t *)(void *)(memory + sidecar->scratch.v);
    j.chroma = memory + sidecar->scratch.chroma;
    j.net_memory = memory + sidecar->scratch.net;
    for (int i = 0; i < 3; i++) {
        j.plane[i] = sidecar->plane[i];
        j.plane[i].lr = frame->lr.plane[i];
        j.plane[i].lr_stride = frame->lr.stride[i];
        j.plane[i].hr = frame->hr.plane[i];
        j.plane[i].hr_stride = frame->hr.stride[i];
        if (i > 0 && frame->lr.chroma_step == 2) j.plane[i].lr_step = 2;
        if (i > 0 && frame->hr.chroma_step == 2) j.plane[i].hr_step = 2;
    }

    list_work(&j, labels);
    upscale_net_planes(&j);
    if (sidecar->net_planes == 1)
        for (uint32_t row = row_begin; row < row_end; row++) {
            const int together = frame->hr.chroma_step == 2;
            upscale_chroma_row(&j, 1, together ? 2 : 1, row);
            if (!together) upscale_chroma_row(&j, 2, 2, row);
        }
    if (statistics != NULL) {
        statistics->net += done.net;
        statistics->base += done.base;
        statistics->reused += done.reused;
    }
    return STDO_OK;
}
