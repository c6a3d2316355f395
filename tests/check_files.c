/* Opens each file named on the command line, upscales all its frames from planes of noise, and prints one line: the
   status and the crc of what came out. Every buffer is a block of its own of the exact size, so that a sanitizer sees the
   first byte beyond it. */
#include "stdo.h"

#include <stdio.h>
#include <stdlib.h>

static uint8_t *block(size_t size)
{
    uint8_t *bytes = malloc(size ? size : 1);
    if (bytes == NULL) abort();
    for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)(i * i >> 3);
    return bytes;
}

static uint8_t *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) abort();
    *size = (size_t)ftell(file);
    uint8_t *data = block(*size);
    rewind(file);
    if (fread(data, 1, *size, file) != *size) abort();
    fclose(file);
    return data;
}

static uint32_t upscale_all(const stdo_sidecar *sidecar)
{
    stdo_info info;
    if (stdo_get_info(sidecar, &info) != STDO_OK) abort();
    stdo_const_image lr;
    stdo_image hr;
    size_t hr_size[3];
    for (int i = 0; i < 3; i++) {
        const uint32_t half = i > 0 && info.colour == STDO_COLOUR_YUV420 ? 2 : 1;
        const uint32_t lr_width = (info.lr_width + half - 1) / half, hr_width = (info.hr_width + half - 1) / half;
        lr.plane[i] = block((size_t)lr_width * ((info.lr_height + half - 1) / half));
        lr.stride[i] = (ptrdiff_t)lr_width;
        hr_size[i] = (size_t)hr_width * ((info.hr_height + half - 1) / half);
        hr.plane[i] = block(hr_size[i]);
        hr.stride[i] = (ptrdiff_t)hr_width;
    }
    uint8_t *labels = block((size_t)info.columns * info.rows), *scratch = block(stdo_scratch_size(sidecar));
    stdo_map *map;
    if (stdo_map_new(sidecar, &map) != STDO_OK) abort();

    uint32_t crc = 0, segment = 0;
    for (uint32_t frame = 0; frame < info.frames; frame++) {
        stdo_segment_info now;
        while (stdo_get_segment(sidecar, segment, &now) == STDO_OK && now.first_frame + now.frames <= frame) segment++;
        if (stdo_map_read(map, frame, labels) != STDO_OK) abort();
        for (uint32_t row = 0; row < info.rows; row++)
            if (stdo_upscale_rows(sidecar, segment, labels, &lr, &hr, NULL, row, row + 1, scratch, NULL) != STDO_OK) abort();
        for (int i = 0; i < 3; i++) crc = stdo_crc32(crc, hr.plane[i], hr_size[i]);
    }
    stdo_map_free(map);
    free(scratch);
    free(labels);
    for (int i = 0; i < 3; i++) {
        free((void *)lr.plane[i]);
        free(hr.plane[i]);
    }
    return crc;
}

int main(int count, char **paths)
{
    for (int i = 1; i < count; i++) {
        size_t size;
        uint8_t *data = read_file(paths[i], &size);
        stdo_sidecar *sidecar;
        const stdo_status status = stdo_open_memory(data, size, getenv("STDO_CPU"), &sidecar);
        free(data);
        printf("%s %08x\n", stdo_status_string(status), status == STDO_OK ? (unsigned)upscale_all(sidecar) : 0);
        stdo_close(sidecar);
    }
    return 0;
}
