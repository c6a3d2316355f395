/* The labels of a frame: decoded from the map by an adaptive binary range decoder and a prediction, or computed from the
   activity of the lr patches. */
#include "range_decoder.h"
#include "sidecar.h"
#include "sizes.h"

#include <stdlib.h>
#include <string.h>

struct stdo_map {
    const stdo_sidecar *sidecar;
    uint32_t segment;           /* the one being decoded */
    uint32_t next;              /* frame that decode_frame gives next, counted in the segment */
    stdo_range_decoder coder;
    uint16_t same[4];
    uint16_t other[STDO_MAX_NETS + 1][STDO_MAX_NETS - 1];
    uint8_t *labels;            /* [rows][columns] of the frame before `next` */
    uint8_t *moved;             /* [columns]: of the row above, from the left overwritten by this row */
};

static uint8_t decode_label(stdo_map *map, const stdo_segment *segment, uint8_t predicted, unsigned context)
{
    if (stdo_range_bit(&map->coder, &map->same[context]) == 0) return predicted;
    uint8_t i = 0;
    while (i + 1u < segment->info.nets && stdo_range_bit(&map->coder, &map->other[predicted][i])) i++;
    return (uint8_t)(i + (i >= predicted));
}

static void start_segment(stdo_map *map, uint32_t index)
{
    const stdo_segment *segment = &map->sidecar->segment[index];
    map->segment = index;
    map->next = 0;
    stdo_range_start(&map->coder, segment->map, segment->info.map_bytes);
    for (int i = 0; i < 4; i++) map->same[i] = STDO_CONTEXT_START;
    for (int i = 0; i <= STDO_MAX_NETS; i++)
        for (int j = 0; j < STDO_MAX_NETS - 1; j++) map->other[i][j] = STDO_CONTEXT_START;
    memset(map->labels, 0, (size_t)map->sidecar->info.columns * map->sidecar->info.rows);
}

static void decode_frame(stdo_map *map)
{
    const stdo_info *info = &map->sidecar->info;
    const stdo_segment *segment = &map->sidecar->segment[map->segment];
    const int first = map->next++ == 0;
    if (segment->info.nets == 0) return;

    uint8_t *label = map->labels;
    memset(map->moved, 0, info->columns);
    for (uint32_t y = 0; y < info->rows; y++)
        for (uint32_t x = 0; x < info->columns; x++, label++) {
            uint8_t predicted = *label;
            unsigned context = 3;
            if (first)
                predicted = x > 0 ? label[-1] : y > 0 ? *(label - info->columns) : 0;
            else
                context = map->moved[x] + (x > 0 ? map->moved[x - 1] : 0u);
            *label = decode_label(map, segment, predicted, context);
            map->moved[x] = *label != predicted;
        }
}

/* ---- Computed labels ---- */

static uint32_t difference(int32_t centre, int32_t a, int32_t b, int32_t c, int32_t d)
{
    const int32_t value = 4 * centre - a - b - c - d;
    return (uint32_t)(value < 0 ? -value : value);
}

/* Sum of |4c - left - right - up - down| over pixels x0..x1-1 of a row; `up` and `down` are the rows beside it. */
static uint32_t row_activity(const uint8_t *up, const uint8_t *row, const uint8_t *down, uint32_t width, uint32_t x0,
                             uint32_t x1)
{
    uint32_t sum = 0;
    for (uint32_t x = x0; x < x1; x++) {
        if (x > 0 && x + 1 < width) continue; /* the loop below, which has no edges */
        sum += difference(row[x], row[x - (x > 0)], row[x + (x + 1 < width)], up[x], down[x]);
    }
    for (uint32_t x = max_u32(x0, 1); x < x1 && x + 1 < width; x++)
        sum += difference(row[x], row[x - 1], row[x + 1], up[x], down[x]);
    return sum;
}

/* The label of a patch by the classes of FORMAT.md; 16 * sum / pixels >= threshold without the division. */
static uint8_t class_label(const uint8_t *classes, uint64_t sum, uint64_t pixels)
{
    const uint32_t count = classes[0];
    uint32_t i = 0;
    while (i < count && 16 * sum >= pixels * ((uint32_t)classes[1 + 2 * i] | (uint32_t)classes[2 + 2 * i] << 8)) i++;
    return classes[1 + 2 * count + i];
}

static void compute_labels(const stdo_info *info, const stdo_segment *segment, const stdo_const_image *lr,
                           uint8_t *labels)
{
    const uint32_t width = info->lr_width, height = info->lr_height, side = info->patch;
    for (uint32_t y0 = 0; y0 < height; y0 += side)
        for (uint32_t x0 = 0; x0 < width; x0 += side) {
            const uint32_t x1 = min_u32(x0 + side, width), y1 = min_u32(y0 + side, height);
            uint64_t sum = 0;
            for (uint32_t y = y0; y < y1; y++) {
                const uint8_t *row = lr->plane[0] + (ptrdiff_t)y * lr->stride[0];
                sum += row_activity(y > 0 ? row - lr->stride[0] : row, row, y + 1 < height ? row + lr->stride[0] : row,
                                    width, x0, x1);
            }
            *labels++ = class_label(segment->map, sum, (uint64_t)(x1 - x0) * (y1 - y0));
        }
}

/* ---- Public ---- */

static uint32_t segment_of(const stdo_sidecar *sidecar, uint32_t frame)
{
    uint32_t low = 0, high = sidecar->info.segments;
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (sidecar->segment[middle].info.first_frame <= frame) low = middle;
        else high = middle;
    }
    return low;
}

stdo_status stdo_map_new(const stdo_sidecar *sidecar, stdo_map **out)
{
    if (out == NULL) return STDO_ERROR_ARGUMENT;
    *out = NULL;
    if (sidecar == NULL) return STDO_ERROR_ARGUMENT;

    const size_t patches = (size_t)sidecar->info.columns * sidecar->info.rows;
    stdo_map *map = malloc(sizeof *map + patches + sidecar->info.columns);
    if (map == NULL) return STDO_ERROR_MEMORY;
    map->sidecar = sidecar;
    map->labels = (uint8_t *)(map + 1);
    map->moved = map->labels + patches;
    start_segment(map, 0);
    *out = map;
    return STDO_OK;
}

void stdo_map_free(stdo_map *map) { free(map); }

stdo_status stdo_map_read(stdo_map *map, uint32_t frame, const stdo_const_image *lr, uint8_t *labels)
{
    if (map == NULL || labels == NULL) return STDO_ERROR_ARGUMENT;
    const stdo_info *info = &map->sidecar->info;
    if (frame >= info->frames) return STDO_ERROR_FRAME_RANGE;

    const uint32_t segment = segment_of(map->sidecar, frame);
    if (map->sidecar->segment[segment].info.computed) {
        if (lr == NULL || lr->plane[0] == NULL) return STDO_ERROR_ARGUMENT;
        compute_labels(info, &map->sidecar->segment[segment], lr, labels);
        return STDO_OK;
    }
    const uint32_t wanted = frame - map->sidecar->segment[segment].info.first_frame;
    if (segment != map->segment || wanted + 1 < map->next) start_segment(map, segment);
    while (map->next <= wanted) decode_frame(map);
    memcpy(labels, map->labels, (size_t)info->columns * info->rows);
    return STDO_OK;
}
