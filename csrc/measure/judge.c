/* Squared errors of every patch under every net of a segment, band by band: a band of hr rows is written and compared
   again and again, so it stays in the cache. */
#include "judge.h"

#include "../sidecar.h"
#include "../sizes.h"
#include "squared_errors.h"

/* hr pixels of a band, at least one row of patches. More rows mean less halo that is computed twice. */
enum { BAND_PIXELS = 256 << 10 };

/* The plane under one net, or the base for label 0, in rows y0..y1 of lr pixels. */
static void show(const stdo_sidecar *s, const stdo_segment *segment, uint32_t label, const stdo_plane *plane,
                 const stdo_rect *band, uint8_t *memory)
{
    int16_t *v = (int16_t *)(void *)(memory + s->scratch.v);
    if (label == 0) {
        for (uint32_t y = band->y0; y < band->y1; y++) stdo_base_row(&s->kernels, plane, band, y, NULL, 0, v);
        return;
    }
    const stdo_net *net = segment->net[label - 1];
    const uint32_t strip = net->strip * net_side(&s->info);
    stdo_region all = {.rect = *band};
    for (all.rect.x0 = 0; all.rect.x0 < band->x1; all.rect.x0 = all.rect.x1) {
        all.rect.x1 = min_u32(all.rect.x0 + strip, band->x1);
        stdo_net_run(net, &s->kernels, s->conv, plane, 1, &all, v, memory + s->scratch.net);
    }
}

stdo_status stdo_judge_rows(const stdo_sidecar *sidecar, const stdo_judged *frame, uint32_t row_begin,
                            uint32_t row_end, void *scratch, uint64_t *sums)
{
    if (sidecar == NULL || frame == NULL || scratch == NULL || sums == NULL || frame->lr == NULL ||
        frame->truth == NULL || frame->shown == NULL || sidecar->net_planes != 1)
        return STDO_ERROR_ARGUMENT;
    const stdo_info *info = &sidecar->info;
    if (frame->segment >= info->segments) return STDO_ERROR_SEGMENT_RANGE;
    if (row_begin > row_end || row_end > info->rows) return STDO_ERROR_ROW_RANGE;
    if (frame->segment >= info->segments_there) return STDO_ERROR_TRUNCATED;
    stdo_segment segment;
    if (!stdo_segment_look_up(sidecar, frame->segment, &segment)) return STDO_ERROR_NOT_LOADED;
    uint8_t *memory = align_pointer(scratch, STDO_ALIGNMENT);
    stdo_plane plane = sidecar->plane[0];
    plane.lr = frame->lr;
    plane.lr_stride = frame->lr_stride;
    plane.hr = frame->shown;
    plane.hr_stride = frame->shown_stride;

    const uint32_t net_rows = net_side(info), side = net_rows * plane.scale;
    const uint32_t rows = max_u32(BAND_PIXELS / (side * info->hr_width), 1);
    for (uint32_t row = row_begin; row < row_end; row += rows) {
        const uint32_t end = min_u32(row + rows, row_end);
        const stdo_rect band = {0, row * net_rows, plane.width, min_u32(end * net_rows, plane.height)};
        const uint32_t y0 = min_u32(row * side, info->hr_height), y1 = min_u32(end * side, info->hr_height);
        const stdo_compared planes = {frame->truth + (ptrdiff_t)y0 * frame->truth_stride,
                                      frame->shown + (ptrdiff_t)y0 * frame->shown_stride,
                                      frame->truth_stride, frame->shown_stride, info->hr_width, y1 - y0};
        const stdo_patch_grid grid = {side, info->columns, end - row};
        for (uint32_t label = 0; label <= segment.info.nets; label++) {
            show(sidecar, &segment, label, &plane, &band, memory);
            stdo_squared_errors(&planes, &grid, sums + ((size_t)label * info->rows + row) * info->columns);
        }
    }
    return STDO_OK;
}
