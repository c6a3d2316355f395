/* Upscales frames: finds the patches that changed, joins those of one net to rectangles, and runs them. Chroma is in
   chroma.c. */
#include "patches.h"

#include "sizes.h"

static int reuse(const stdo_job *j, const uint8_t *labels, uint32_t column, uint32_t row)
{
    const stdo_info *info = &j->sidecar->info;
    const size_t index = (size_t)row * info->columns + column;
    if (j->previous == NULL || j->previous->labels[index] != labels[index]) return 0;
    const uint32_t halo = labels[index] == 0 ? 0 : j->segment->net[labels[index] - 1]->halo;
    const uint32_t planes = j->sidecar->net_planes;
    for (uint32_t p = 0; p < planes; p++) {
        const stdo_rect r = stdo_patch_rect(info, &j->plane[p], 0, column, 1, row);
        const stdo_rect lr = stdo_lr_rect(&j->plane[p], &r, halo);
        if (!stdo_is_same(&j->plane[p], j->previous, (int)p, &lr)) return 0;
    }
    stdo_grow_older(j, index);
    for (uint32_t p = 0; p < planes && !stdo_holds(j, index); p++) {
        const stdo_rect r = stdo_patch_rect(info, &j->plane[p], 0, column, 1, row);
        stdo_copy_hr(&j->plane[p], j->previous, (int)p, &r);
    }
    return 1;
}

static void list_work(const stdo_job *j, const uint8_t *labels)
{
    const uint32_t columns = j->sidecar->info.columns;
    uint8_t *todo = j->todo;
    for (uint32_t row = j->row_begin; row < j->row_end; row++)
        for (uint32_t column = 0; column < columns; column++) {
            const size_t index = (size_t)row * columns + column;
            const uint8_t label = labels[index];
            const int done = reuse(j, labels, column, row);
            if (!done) stdo_grow_new(j, index);
            *todo++ = done ? STDO_DONE : label;
            if (done)
                j->done->reused++;
            else if (label == 0)
                j->done->base++;
            else
                j->done->net++;
        }
}

/* ---- The planes that nets read ---- */

static void run_base(const stdo_job *j, uint32_t column, uint32_t row)
{
    const stdo_region region = stdo_take_region(j, NULL, 0, column, row);
    const stdo_rect *r = &region.rect;
    for (uint32_t p = 0; p < j->sidecar->net_planes; p++)
        for (uint32_t y = r->y0; y < r->y1; y++)
            stdo_base_row(&j->sidecar->kernels, &j->plane[p], r, y, NULL, 0, j->v);
    stdo_drop_region(j, &region);
}

static void run_net(const stdo_job *j, const stdo_net *net, uint32_t column, uint32_t row)
{
    const stdo_sidecar *s = j->sidecar;
    const stdo_region region = stdo_take_region(j, net, 0, column, row);
    stdo_net_run(net, &s->kernels, s->conv, j->plane, s->net_planes, &region, j->v, j->net_memory);
    stdo_drop_region(j, &region);
}

static void upscale_net_planes(const stdo_job *j)
{
    const uint32_t columns = j->sidecar->info.columns;
    for (uint32_t row = j->row_begin; row < j->row_end; row++)
        for (uint32_t column = 0; column < columns; column++) {
            const uint8_t label = j->todo[(size_t)(row - j->row_begin) * columns + column];
            if (label == STDO_DONE) continue;
            if (label == 0)
                run_base(j, column, row);
            else
                run_net(j, j->segment->net[label - 1], column, row);
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

/* NV21; both planes are copied together, so they must lie as they did. */
static int v_is_first(const stdo_const_image *image)
{
    return image->chroma_step == 2 && image->plane[1] == image->plane[2] + 1;
}

static int previous_ok(const stdo_previous *previous, const stdo_const_image *lr, const stdo_const_image *hr,
                       uint32_t colour)
{
    return previous->size >= STDO_SIZE_TO(stdo_previous, hr) && previous->labels != NULL &&
           image_ok(&previous->lr, colour) && step_of(&previous->lr) == step_of(lr) &&
           image_ok(&previous->hr, colour) && step_of(&previous->hr) == step_of(hr) &&
           v_is_first(&previous->hr) == v_is_first(hr);
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
    if (frame->segment >= info->segments_there) return STDO_ERROR_TRUNCATED;
    stdo_segment segment;
    if (!stdo_segment_look_up(sidecar, frame->segment, &segment)) return STDO_ERROR_NOT_LOADED;
    const uint8_t *labels = frame->labels;
    for (size_t i = (size_t)row_begin * info->columns; i < (size_t)row_end * info->columns; i++)
        if (labels[i] > segment.info.nets) return STDO_ERROR_LABEL_RANGE;

    stdo_statistics done = {.net = 0};
    uint8_t *memory = align_pointer(scratch, STDO_ALIGNMENT);
    stdo_job j = {.sidecar = sidecar, .segment = &segment, .row_begin = row_begin, .row_end = row_end};
    j.previous = frame->previous != NULL && frame->previous->segment == frame->segment ? frame->previous : NULL;
    j.done = &done;
    j.ages = frame->ages;
    j.hr_age = frame->hr_age;
    j.todo = memory;
    j.v = (int16_t *)(void *)(memory + sidecar->scratch.v);
    j.turns = memory + sidecar->scratch.turns;
    j.net_memory = memory + sidecar->scratch.net;
    j.read = memory + sidecar->scratch.read;
    for (int i = 0; i < 3; i++) {
        j.plane[i] = sidecar->plane[i];
        j.plane[i].lr = frame->lr.plane[i];
        j.plane[i].lr_stride = frame->lr.stride[i];
        j.plane[i].hr = frame->hr.plane[i];
        j.plane[i].hr_stride = frame->hr.stride[i];
        if (i > 0 && frame->lr.chroma_step == 2) j.plane[i].lr_step = 2;
        if (i > 0 && frame->hr.chroma_step == 2) j.plane[i].hr_step = 2;
    }
    j.plane[3] = sidecar->plane[3];
    j.plane[3].lr = j.read;
    j.plane[3].lr_stride = (ptrdiff_t)j.plane[3].lr_width;

    list_work(&j, labels);
    upscale_net_planes(&j);
    if (sidecar->net_planes == 1) stdo_upscale_chroma(&j);
    if (statistics != NULL) {
        statistics->net += done.net;
        statistics->base += done.base;
        statistics->reused += done.reused;
    }
    return STDO_OK;
}
