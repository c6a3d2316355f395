/* Fuzzes the whole player: any bytes are opened, and where they are a sidecar, two frames are upscaled, the second with
   the first to reuse, each plane in a block of its own size, so that a byte past it is seen to be touched. */
#include "sidecar_mutator.h"
#include <stdo/stdo.h>

#include <stdlib.h>
#include <string.h>

enum { MOST_PIXELS = 1 << 12, LARGEST_FILE = 1 << 14 };

/* Noise that `seed` changes in a part of the picture. Aborts without memory: that is a finding. */
static stdo_image new_planes(uint32_t width, uint32_t height, uint32_t colour, uint32_t seed)
{
    stdo_image p;
    for (uint32_t i = 0; i < 3; i++) {
        const uint32_t half = i > 0 && colour == STDO_COLOUR_YUV420 ? 2 : 1;
        const size_t columns = (width + half - 1) / half, size = columns * ((height + half - 1) / half);
        p.stride[i] = (ptrdiff_t)columns;
        if ((p.plane[i] = malloc(size)) == NULL) abort();
        for (size_t at = 0; at < size; at++) p.plane[i][at] = (uint8_t)(at * at >> 3);
        for (size_t at = 0; at < size / 3; at++) p.plane[i][at] ^= (uint8_t)(seed * 37);
    }
    return p;
}

static void free_planes(stdo_image *p)
{
    for (int i = 0; i < 3; i++) free(p->plane[i]);
}

static void upscale(const stdo_sidecar *sidecar, const stdo_info *info)
{
    stdo_image lr[2], hr = new_planes(info->hr_width, info->hr_height, info->colour, 0);
    uint8_t *labels[2];
    void *scratch = malloc(stdo_scratch_size(sidecar));
    stdo_map *map;
    if (scratch == NULL || stdo_map_new(sidecar, &map) != STDO_OK) abort();
    stdo_previous previous = {.size = sizeof previous};
    uint32_t segment = 0;
    for (uint32_t frame = 0; frame < 2; frame++) {
        lr[frame] = new_planes(info->lr_width, info->lr_height, info->colour, frame);
        if ((labels[frame] = malloc((size_t)info->columns * info->rows)) == NULL) abort();
        const stdo_const_image source = stdo_image_for_reading(&lr[frame]);
        if (frame < info->frames) {
            stdo_segment_info at = {.size = sizeof at};
            while (stdo_get_segment(sidecar, segment, &at) == STDO_OK && at.first_frame + at.frames <= frame) segment++;
            if (stdo_map_read(map, frame, &source, labels[frame]) != STDO_OK) abort();
            for (uint32_t row = 0, end; row < info->rows; row = end) {
                end = row + 2 < info->rows ? row + 2 : info->rows;
                const stdo_frame f = {.size = sizeof f, .segment = segment, .labels = labels[frame], .lr = source,
                                      .hr = hr, .previous = frame > 0 ? &previous : NULL};
                if (stdo_upscale_rows(sidecar, &f, row, end, scratch, NULL) != STDO_OK) abort();
            }
        }
        previous = (stdo_previous){.size = sizeof previous, .segment = segment, .labels = labels[frame], .lr = source,
                                   .hr = stdo_image_for_reading(&hr)};
    }
    stdo_map_free(map);
    free(scratch);
    free_planes(&hr);
    for (int i = 0; i < 2; i++) {
        free_planes(&lr[i]);
        free(labels[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    stdo_sidecar *sidecar;
    stdo_info info = {.size = sizeof info};
    if (stdo_open_memory(data, size, NULL, &sidecar) != STDO_OK) return 0;
    if (stdo_get_info(sidecar, &info) != STDO_OK) abort();
    /* Large pictures and nets are slow, and reach no code that small ones do not. */
    if (info.lr_width * info.lr_height <= MOST_PIXELS && size <= LARGEST_FILE) upscale(sidecar, &info);
    stdo_close(sidecar);
    return 0;
}
