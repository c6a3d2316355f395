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
    stdo_statistics *statistics;   /* never NULL */
    stdo_plane plane[4];        /* Y, U, V, and the mean luma of chroma's samples */
    uint32_t row_begin, row_end;
    uint8_t *todo;              /* [row_end - row_begin][columns] labels, or DONE */
    int16_t *v;
    uint8_t *net_memory;
    uint8_t *mean;              /* the samples of plane[3] */
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

/* The lr pixels that a rectangle of a plane comes from. */
static stdo_rect lr_rect(const stdo_plane *plane, const stdo_rect *r, uint32_t halo)
{
    stdo_rect lr = *r;
    lr_extent(plane, plane->lr_width, halo, &lr.x0, &lr.x1);
    lr_extent(plane, plane->lr_height, halo, &lr.y0, &lr.y1);
    return lr;
}

static int is_same(const stdo_plane *plane, const stdo_previous *previous, int index, const stdo_rect *lr)
{
    for (uint32_t y = lr->y0; y < lr->y1; y++)
        if (memcmp(plane->lr + (ptrdiff_t)y * plane->lr_stride + lr->x0,
                   previous->lr.plane[index] + (ptrdiff_t)y * previous->lr.stride[index] + lr->x0,
                   lr->x1 - lr->x0) != 0)
            return 0;
    return 1;
}

static int lr_unchanged(const stdo_plane *plane, const stdo_previous *previous, int index, const stdo_rect *r,
                        uint32_t halo)
{
    const stdo_rect lr = lr_rect(plane, r, halo);
    return is_same(plane, previous, index, &lr);
}

static void copy_hr(const stdo_plane *plane, const stdo_previous *previous, int index, const stdo_rect *r)
{
    const uint32_t scale = plane->scale;
    if (previous->hr.plane[index] == plane->hr && previous->hr.stride[index] == plane->hr_stride) return;
    const uint32_t x0 = r->x0 * scale, x1 = min_u32(r->x1 * scale, plane->hr_width);
    if (x0 >= x1) return;
    for (uint32_t y = r->y0 * scale; y < min_u32(r->y1 * scale, plane->hr_height); y++)
        memcpy(plane->hr + (ptrdiff_t)y * plane->hr_stride + x0,
               previous->hr.plane[index] + (ptrdiff_t)y * previous->hr.stride[index] + x0, x1 - x0);
}

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
    for (uint32_t p = 0; p < planes; p++) {
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
            const uint8_t label = labels[(size_t)row * columns + column];
            const int done = reuse(j, labels, column, row);
            *todo++ = done ? DONE : label;
            if (done)
                j->statistics->reused++;
            else if (label == 0)
                j->statistics->base++;
            else
                j->statistics->net++;
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
   but for a net, then as high as possible. Counts the pixels of luma, or of chroma. */
static stdo_rect take_rect(const job *j, const stdo_net *net, int is_chroma, uint32_t column, uint32_t row)
{
    const stdo_info *info = &j->sidecar->info;
    uint8_t *first = j->todo + (size_t)(row - j->row_begin) * info->columns + column;
    const uint8_t label = *first;
    uint32_t columns = 1, rows = 1;
    while (column + columns < info->columns && first[columns] == label) columns++;
    if (net != NULL) columns = strip_of(columns, net->strip);
    for (; row + rows < j->row_end; rows++) {
        const uint8_t *next = first + (size_t)rows * info->columns;
        if (next[0] != label || memcmp(next, first, columns) != 0) break;
    }
    for (uint32_t i = 0; i < rows; i++) memset(first + (size_t)i * info->columns, DONE, columns);

    stdo_rect r = patch_rect(info, &j->plane[is_chroma], is_chroma, column, columns, row);
    r.y1 = patch_rect(info, &j->plane[is_chroma], is_chroma, column, columns, row + rows - 1).y1;
    return r;
}

static void upscale_net_planes(const job *j)
{
    const uint32_t columns = j->sidecar->info.columns;
    for (uint32_t row = j->row_begin; row < j->row_end; row++)
        for (uint32_t column = 0; column < columns; column++) {
            const uint8_t label = j->todo[(size_t)(row - j->row_begin) * columns + column];
            if (label == DONE) continue;
            const stdo_net *net = label == 0 ? NULL : &j->segment->net[label - 1];
            const stdo_rect r = take_rect(j, net, 0, column, row);
            run_rect(j, label, &r);
        }
}

/* ---- Chroma that has a net, which reads luma, too ---- */

/* The luma that a rectangle of lr chroma has. */
static stdo_rect luma_of(const job *j, const stdo_rect *lr)
{
    return (stdo_rect){2 * lr->x0, 2 * lr->y0, min_u32(2 * lr->x1, j->plane[0].lr_width),
                       min_u32(2 * lr->y1, j->plane[0].lr_height)};
}

static int reuse_with_luma(const job *j, uint32_t column, uint32_t row)
{
    if (j->previous == NULL) return 0;
    const stdo_rect r = patch_rect(&j->sidecar->info, &j->plane[1], 1, column, 1, row);
    const stdo_rect lr = lr_rect(&j->plane[1], &r, j->segment->chroma->halo), luma = luma_of(j, &lr);
    if (!is_same(&j->plane[0], j->previous, 0, &luma)) return 0;
    for (int p = 1; p < 3; p++)
        if (!is_same(&j->plane[p], j->previous, p, &lr)) return 0;
    for (int p = 1; p < 3; p++) copy_hr(&j->plane[p], j->previous, p, &r);
    return 1;
}

/* Writes the mean luma of the chroma samples that a rectangle of chroma reads. */
static void write_mean(const job *j, const stdo_rect *r)
{
    const stdo_plane *luma = &j->plane[0], *mean = &j->plane[3];
    const stdo_rect lr = lr_rect(mean, r, j->segment->chroma->halo);
    for (uint32_t y = lr.y0; y < lr.y1; y++) {
        const uint8_t *above = stdo_lr_row(luma, 2 * (int64_t)y), *below = stdo_lr_row(luma, 2 * (int64_t)y + 1);
        uint8_t *out = j->mean + (size_t)y * mean->lr_width;
        const uint32_t pairs = min_u32(lr.x1, luma->lr_width / 2);
        for (uint32_t x = lr.x0; x < pairs; x++)
            out[x] = (uint8_t)((above[2 * x] + above[2 * x + 1] + below[2 * x] + below[2 * x + 1] + 2) >> 2);
        if (pairs < lr.x1) out[pairs] = (uint8_t)((2 * above[2 * pairs] + 2 * below[2 * pairs] + 2) >> 2);
    }
}

static void upscale_chroma_net(const job *j)
{
    const stdo_sidecar *s = j->sidecar;
    const uint32_t columns = s->info.columns;
    uint8_t *todo = j->todo;
    for (uint32_t row = j->row_begin; row < j->row_end; row++)
        for (uint32_t column = 0; column < columns; column++)
            *todo++ = reuse_with_luma(j, column, row) ? DONE : 0;
    for (uint32_t row = j->row_begin; row < j->row_end; row++)
        for (uint32_t column = 0; column < columns; column++) {
            if (j->todo[(size_t)(row - j->row_begin) * columns + column] == DONE) continue;
            const stdo_rect r = take_rect(j, j->segment->chroma, 1, column, row);
            write_mean(j, &r);
            stdo_net_run(j->segment->chroma, &s->kernels, s->conv, &j->plane[1], STDO_CHROMA_PLANES, &r, j->v,
                         j->net_memory);
        }
}

/* ---- Chroma that only has a base ---- */

static int reuse_chroma(const job *j, int index, uint32_t column, uint32_t row)
{
    if (j->previous == NULL) return 0;
    const stdo_rect r = patch_rect(&j->sidecar->info, &j->plane[index], 1, column, 1, row);
    if (!lr_unchanged(&j->plane[index], j->previous, index, &r, 0)) return 0;
    copy_hr(&j->plane[index], j->previous, index, &r);
    return 1;
}

static void upscale_chroma_row(const job *j, int index, uint32_t row)
{
    const stdo_sidecar *s = j->sidecar;
    uint32_t column = 0;
    while (column < s->info.columns) {
        uint32_t run = 0;
        while (column + run < s->info.columns && !reuse_chroma(j, index, column + run, row)) run++;
        if (run > 0) {
            const stdo_rect r = patch_rect(&s->info, &j->plane[index], 1, column, run, row);
            for (uint32_t y = r.y0; y < r.y1; y++)
                stdo_base_row(&s->kernels, &j->plane[index], &r, y, NULL, 0, j->v);
        }
        column += run + 1;
    }
}

/* ---- Public ---- */

size_t stdo_scratch_size(const stdo_sidecar *sidecar)
{
    return sidecar == NULL ? 0 : sidecar->scratch.bytes + STDO_ALIGNMENT - 1;
}

static int has_planes(const stdo_const_image *image)
{
    return image->plane[0] != NULL && image->plane[1] != NULL && image->plane[2] != NULL;
}

static int is_complete(const stdo_frame *frame)
{
    const stdo_previous *previous = frame->previous;
    const stdo_image *hr = &frame->hr;
    return frame->labels != NULL && has_planes(&frame->lr) && hr->plane[0] != NULL && hr->plane[1] != NULL &&
           hr->plane[2] != NULL &&
           (previous == NULL || (previous->labels != NULL && has_planes(&previous->lr) && has_planes(&previous->hr)));
}

stdo_status stdo_upscale_rows(const stdo_sidecar *sidecar, const stdo_frame *frame, uint32_t row_begin,
                              uint32_t row_end, void *scratch, stdo_statistics *statistics)
{
    if (sidecar == NULL || frame == NULL || scratch == NULL || !is_complete(frame)) return STDO_ERROR_ARGUMENT;
    const stdo_info *info = &sidecar->info;
    if (frame->segment >= info->segments) return STDO_ERROR_SEGMENT_RANGE;
    if (row_begin > row_end || row_end > info->rows) return STDO_ERROR_ROW_RANGE;
    const stdo_segment *nets = &sidecar->segment[frame->segment];
    const uint8_t *labels = frame->labels;
    for (size_t i = (size_t)row_begin * info->columns; i < (size_t)row_end * info->columns; i++)
        if (labels[i] > nets->info.nets) return STDO_ERROR_LABEL_RANGE;

    stdo_statistics unused = {0, 0, 0};
    uint8_t *memory = align_pointer(scratch, STDO_ALIGNMENT);
    job j = {.sidecar = sidecar, .segment = nets, .row_begin = row_begin, .row_end = row_end};
    j.previous = frame->previous != NULL && frame->previous->segment == frame->segment ? frame->previous : NULL;
    j.statistics = statistics != NULL ? statistics : &unused;
    j.todo = memory;
    j.v = (int16_t *)(void *)(memory + sidecar->scratch.v);
    j.net_memory = memory + sidecar->scratch.net;
    j.mean = memory + sidecar->scratch.mean;
    for (int i = 0; i < 3; i++) {
        j.plane[i] = sidecar->plane[i];
        j.plane[i].lr = frame->lr.plane[i];
        j.plane[i].lr_stride = frame->lr.stride[i];
        j.plane[i].hr = frame->hr.plane[i];
        j.plane[i].hr_stride = frame->hr.stride[i];
    }
    j.plane[3] = sidecar->plane[3];
    j.plane[3].lr = j.mean;
    j.plane[3].lr_stride = (ptrdiff_t)j.plane[3].lr_width;

    list_work(&j, labels);
    upscale_net_planes(&j);
    if (nets->chroma != NULL)
        upscale_chroma_net(&j);
    else if (sidecar->net_planes == 1)
        for (uint32_t row = row_begin; row < row_end; row++)
            for (int i = 1; i < 3; i++) upscale_chroma_row(&j, i, row);
    return STDO_OK;
}
