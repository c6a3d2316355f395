/* Fuzzes the sidecar reader: any bytes are opened, and where they are a sidecar, all of its map is read. */
#include "sidecar_mutator.h"
#include <stdo/stdo.h>

#include <stdlib.h>
#include <string.h>

enum { MOST_PATCHES = 1 << 14, MOST_FRAMES = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *exact = malloc(size > 0 ? size : 1); /* so that the first byte past the file is seen to be read */
    if (exact == NULL) return 0;
    memcpy(exact, data, size);
    stdo_sidecar *sidecar;
    const stdo_status status = stdo_open_memory(exact, size, NULL, &sidecar);
    free(exact);
    if ((status == STDO_OK) != (sidecar != NULL)) abort();
    if (sidecar == NULL) return 0;

    stdo_info info = {.size = sizeof info};
    stdo_map *map = NULL;
    if (stdo_get_info(sidecar, &info) != STDO_OK) abort();
    const size_t patches = (size_t)info.columns * info.rows;
    uint8_t *labels = patches <= MOST_PATCHES ? malloc(patches) : NULL;
    static uint8_t pixels[8192]; /* every row of the lr frame: sizes are at most that */
    for (size_t x = 0; x < sizeof pixels; x++) pixels[x] = (uint8_t)(x * x);
    const stdo_const_image lr = {{pixels, pixels, pixels}, {0, 0, 0}, 1};
    if (labels != NULL && stdo_map_new(sidecar, &map) == STDO_OK) {
        uint32_t segment = 0;
        for (uint32_t frame = 0; frame < info.frames && frame < MOST_FRAMES; frame++) {
            stdo_segment_info at = {.size = sizeof at};
            while (stdo_get_segment(sidecar, segment, &at) == STDO_OK && at.first_frame + at.frames <= frame) segment++;
            if (at.computed && stdo_map_read(map, frame, NULL, labels) != STDO_ERROR_ARGUMENT) abort();
            if (stdo_map_read(map, frame, &lr, labels) != STDO_OK) abort();
            for (size_t i = 0; i < patches; i++)
                if (labels[i] > at.nets) abort();
        }
        if (stdo_map_read(map, info.frames, &lr, labels) != STDO_ERROR_FRAME_RANGE) abort();
    }
    stdo_map_free(map);
    free(labels);
    stdo_close(sidecar);
    return 0;
}
