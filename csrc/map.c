/* The labels of a frame: decoded from the map by an adaptive binary range decoder and a prediction, or computed from the
   activity of the lr patches. */
#include "range_decoder.h"
#include "sidecar.h"
#include "sizes.h"

#include <stdlib.h>
#include <string.h>

enum { RESTARTS = 32 };

/* The decoder before a frame, but for what lies in arrays. */
typedef struct position {
    uint32_t next;              /* the frame, counted in the segment */
    stdo_range_decoder coder;
} position;

/* Going on, the decoder is copied at RESTARTS frames spread over the segment, so that going back need not begin at its
   start. `state` holds one copy after the other, the first the one at work: contexts, then the labels of the frame
   before. */
struct stdo_map {
    const stdo_sidecar *sidecar;
    uint32_t segment;           /* the one being decoded, or none where it is UINT32_MAX */
    stdo_segment_info info;     /* of it */
    const uint8_t *bytes;       /* its map */
    position now, restart[RESTARTS];
    uint32_t spacing, restarts; /* frames from one copy to the next; how many there are */
    size_t contexts, state_size; /* contexts of a map with the most nets; bytes of a copy */
    uint8_t *state;             /* [1 + RESTARTS][state_size] */
    uint8_t *moved;             /* [columns]: of the row above, from the left overwritten by this row */
};

enum { SAME = 4 }; /* contexts of the flag; those of each predicted label follow */

static uint16_t *contexts_of(const stdo_map *map) { return (uint16_t *)(void *)map->state; }
static uint8_t *labels_of(const stdo_map *map) { return map->state + map->contexts * sizeof(uint16_t); }

static uint8_t decode_label(stdo_map *map, uint8_t predicted, unsigned context)
{
    uint16_t *contexts = contexts_of(map);
    if (stdo_range_bit(&map->now.coder, &contexts[context]) == 0) return predicted;
    const uint32_t ranks = map->info.nets - 1;
    uint16_t *other = contexts + SAME + (size_t)predicted * ranks;
    uint8_t i = 0;
    while (i < ranks && stdo_range_bit(&map->now.coder, &other[i])) i++;
    return (uint8_t)(i + (i >= predicted));
}

static void start_segment(stdo_map *map, uint32_t index)
{
    stdo_segment segment;
    stdo_segment_look_up(map->sidecar, index, &segment);
    map->segment = index;
    map->info = segment.info;
    map->bytes = segment.map;
    map->spacing = segment.info.frames / RESTARTS + 1;
    map->restarts = 0;
    map->now.next = 0;
    stdo_range_start(&map->now.coder, segment.map, segment.info.map_bytes);
    for (size_t i = 0; i < map->contexts; i++) contexts_of(map)[i] = STDO_CONTEXT_START;
    memset(labels_of(map), 0, (size_t)map->sidecar->info.columns * map->sidecar->info.rows);
}

static uint8_t *copy_of(const stdo_map *map, uint32_t number) { return map->state + (1 + number) * map->state_size; }

static void keep_restart(stdo_map *map)
{
    map->restart[map->restarts] = map->now;
    memcpy(copy_of(map, map->restarts++), map->state, map->state_size);
}

/* Goes back to the latest copy that is not after a frame. The first is the start. */
static void go_back(stdo_map *map, uint32_t wanted)
{
    uint32_t number = map->restarts - 1;
    while (map->restart[number].next > wanted) number--;
    map->now = map->restart[number];
    memcpy(map->state, copy_of(map, number), map->state_size);
}

static void decode_frame(stdo_map *map)
{
    const stdo_info *info = &map->sidecar->info;
    if (map->now.next == map->restarts * map->spacing) keep_restart(map);
    const int first = map->now.next++ == 0;
    if (map->info.nets == 0) return;

    uint8_t *label = labels_of(map);
    memset(map->moved, 0, info->columns);
    for (uint32_t y = 0; y < info->rows; y++)
        for (uint32_t x = 0; x < info->columns; x++, label++) {
            uint8_t predicted = *label;
            unsigned context = 3;
            if (first)
                predicted = x > 0 ? label[-1] : y > 0 ? *(label - info->columns) : 0;
            else
                context = map->moved[x] + (x > 0 ? map->moved[x - 1] : 0u);
            *label = decode_label(map, predicted, context);
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

static void compute_labels(const stdo_info *info, const uint8_t *classes, const stdo_const_image *lr, uint8_t *labels)
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
            *labels++ = class_label(classes, sum, (uint64_t)(x1 - x0) * (y1 - y0));
        }
}

/* ---- Public ---- */

/* Of a frame that is there. */
static uint32_t segment_of(const stdo_sidecar *sidecar, uint32_t frame)
{
    if (sidecar->alone != NULL) return 0;
    uint32_t low = 0, high = sidecar->info.segments_there;
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (sidecar->segment[middle].first_frame <= frame) low = middle;
        else high = middle;
    }
    return low;
}

stdo_status stdo_map_new(const stdo_sidecar *sidecar, stdo_map **out)
{
    if (out == NULL) return STDO_ERROR_ARGUMENT;
    *out = NULL;
    if (sidecar == NULL) return STDO_ERROR_ARGUMENT;

    const size_t patches = (size_t)sidecar->info.columns * sidecar->info.rows, nets = sidecar->most_nets;
    const size_t contexts = SAME + (nets > 1 ? (nets + 1) * (nets - 1) : 0);
    const size_t state_size = (size_t)align_up(contexts * sizeof(uint16_t) + patches, STDO_ALIGNMENT);
    stdo_map *map = malloc(sizeof *map + (1 + RESTARTS) * state_size + sidecar->info.columns);
    if (map == NULL) return STDO_ERROR_MEMORY;
    *map = (stdo_map){.sidecar = sidecar, .segment = UINT32_MAX, .contexts = contexts, .state_size = state_size};
    map->state = (uint8_t *)(map + 1);
    map->moved = map->state + (1 + RESTARTS) * state_size;
    *out = map;
    return STDO_OK;
}

void stdo_map_free(stdo_map *map) { free(map); }

stdo_status stdo_map_read(stdo_map *map, uint32_t frame, const stdo_const_image *lr, uint8_t *labels)
{
    if (map == NULL || labels == NULL) return STDO_ERROR_ARGUMENT;
    const stdo_info *info = &map->sidecar->info;
    if (frame >= info->frames) return STDO_ERROR_FRAME_RANGE;
    if (frame >= info->frames_there) return STDO_ERROR_TRUNCATED;

    const uint32_t segment = segment_of(map->sidecar, frame);
    if (segment != map->segment) start_segment(map, segment);
    if (map->info.computed) {
        if (lr == NULL || lr->plane[0] == NULL) return STDO_ERROR_ARGUMENT;
        compute_labels(info, map->bytes, lr, labels);
        return STDO_OK;
    }
    const uint32_t wanted = frame - map->info.first_frame;
    if (wanted + 1 < map->now.next) go_back(map, wanted);
    while (map->now.next <= wanted) decode_frame(map);
    memcpy(labels, labels_of(map), (size_t)info->columns * info->rows);
    return STDO_OK;
}
