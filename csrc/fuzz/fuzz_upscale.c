/* Fuzzes the whole player: any bytes are opened, and where they are a sidecar, two frames are upscaled, the second with
   the first to reuse, each plane in a block of its own size, so that a byte past it is seen to be touched. U and V in
   turns must give the same as planes of their own. */
#include "sidecar_mutator.h"
#include <stdo/stdo.h>

#include <stdlib.h>
#include <string.h>

enum { MOST_PIXELS = 1 << 12, LARGEST_FILE = 1 << 14 };

/* Noise that `seed` changes in a part of the picture. Aborts without memory: that is a finding. */
static stdo_image new_planes(uint32_t width, uint32_t height, uint32_t colour, uint32_t seed)
{
    stdo_image p = {.chroma_step = 1};
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

/* The same image with U and V in turns, each of both parts in a block of its own size. */
static stdo_image in_turns(const stdo_image *from, uint32_t width, uint32_t height)
{
    const size_t luma = (size_t)width * height, columns = (width + 1) / 2, chroma = columns * ((height + 1) / 2);
    uint8_t *y = malloc(luma), *both = malloc(2 * chroma);
    if (y == NULL || both == NULL) abort();
    memcpy(y, from->plane[0], luma);
    for (size_t i = 0; i < chroma; i++)
        for (size_t p = 0; p < 2; p++) both[2 * i + p] = from->plane[1 + p][i];
    const ptrdiff_t stride = (ptrdiff_t)(2 * columns);
    return (stdo_image){{y, both, both + 1}, {(ptrdiff_t)width, stride, stride}, 2};
}

static void free_in_turns(const stdo_image *image)
{
    free(image->plane[0]);
    free(image->plane[1]);
}

/* Upscales a frame once more, after itself, so that all is copied: a pair of images with U and V in turns. */
static void compare_copied(const stdo_sidecar *sidecar, const stdo_info *info, const stdo_frame *f, const stdo_image *lr,
                           const stdo_image *wanted, void *scratch)
{
    const uint32_t width = info->hr_width, height = info->hr_height;
    const size_t luma = (size_t)width * height, chroma = (size_t)wanted->stride[1] * ((height + 1) / 2);
    const stdo_image before = in_turns(lr, info->lr_width, info->lr_height);
    stdo_frame g = *f;
    const stdo_previous previous = {.size = sizeof previous, .segment = f->segment, .labels = f->labels,
                                    .lr = stdo_image_for_reading(&before), .hr = stdo_image_for_reading(wanted)};
    g.previous = &previous;
    memset(g.hr.plane[0], 2, luma);
    memset(g.hr.plane[1], 2, chroma);
    if (stdo_upscale_rows(sidecar, &g, 0, info->rows, scratch, NULL) != STDO_OK) abort();
    if (memcmp(g.hr.plane[0], wanted->plane[0], luma) != 0 || memcmp(g.hr.plane[1], wanted->plane[1], chroma) != 0)
        abort();
    free_in_turns(&before);
}

/* Upscales a frame once more, with U and V in turns in lr, in hr, or both, and compares with what it gave. */
static void compare_in_turns(const stdo_sidecar *sidecar, const stdo_info *info, const stdo_frame *f,
                             const stdo_image *lr, void *scratch)
{
    const uint32_t width = info->hr_width, height = info->hr_height;
    const stdo_image lr_both = in_turns(lr, info->lr_width, info->lr_height);
    const stdo_image wanted = in_turns(&f->hr, width, height);
    const size_t luma = (size_t)width * height, chroma = (size_t)wanted.stride[1] * ((height + 1) / 2);
    for (int which = 1; which < 4; which++) {
        stdo_frame g = *f;
        g.previous = NULL;
        if (which & 1) g.lr = stdo_image_for_reading(&lr_both);
        if (which & 2) {
            g.hr = in_turns(&f->hr, width, height);
            memset(g.hr.plane[0], 1, luma);
            memset(g.hr.plane[1], 1, chroma);
        }
        if (stdo_upscale_rows(sidecar, &g, 0, info->rows, scratch, NULL) != STDO_OK) abort();
        const stdo_image found = which & 2 ? g.hr : in_turns(&g.hr, width, height);
        if (memcmp(found.plane[0], wanted.plane[0], luma) != 0 ||
            memcmp(found.plane[1], wanted.plane[1], chroma) != 0)
            abort();
        if (which == 3) compare_copied(sidecar, info, &g, lr, &wanted, scratch);
        free_in_turns(&found);
    }
    free_in_turns(&lr_both);
    free_in_turns(&wanted);
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
                if (end == info->rows && info->colour == STDO_COLOUR_YUV420)
                    compare_in_turns(sidecar, info, &f, &lr[frame], scratch);
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
