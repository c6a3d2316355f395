/* Opens each sidecar named on the command line, upscales all its frames from planes of noise, and prints one line: the
   status and the crc of what came out. With --vectors first, the frames come from the .lr file beside each sidecar (see
   make_vectors.py), each call is given the frame before, and a line for each hr plane says name, frame, plane and crc;
   stderr says for each sidecar which tier ran. Each frame is upscaled again with U and V in turns, which must be the
   same.
   Every buffer is a block of its own of the exact size, so that a sanitizer sees the first byte beyond it. The
   environment's STDO_CPU says which tiers may run. */
#include <stdo/stdo.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(2);
    }
    *size = (size_t)ftell(file);
    uint8_t *data = block(*size);
    rewind(file);
    if (fread(data, 1, *size, file) != *size) abort();
    fclose(file);
    return data;
}

typedef struct frame {
    stdo_image image;
    size_t size[3];
} frame;

static frame new_frame(uint32_t width, uint32_t height, uint32_t colour)
{
    frame f = {.image = {.chroma_step = 1}};
    for (uint32_t i = 0; i < 3; i++) {
        const uint32_t half = i > 0 && colour == STDO_COLOUR_YUV420 ? 2 : 1;
        f.image.stride[i] = (ptrdiff_t)((width + half - 1) / half);
        f.size[i] = (size_t)f.image.stride[i] * ((height + half - 1) / half);
        f.image.plane[i] = block(f.size[i]);
    }
    return f;
}

static void free_frame(frame *f)
{
    for (int i = 0; i < 3; i++) free(f->image.plane[i]);
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
        free_in_turns(&found);
    }
    free_in_turns(&lr_both);
    free_in_turns(&wanted);
}

/* Upscales all frames; from `name` and `frames`, where they are not NULL. Returns the crc of all that came out. */
static uint32_t upscale_all(const stdo_sidecar *sidecar, const char *name, const uint8_t *frames)
{
    stdo_info info = {.size = sizeof info};
    if (stdo_get_info(sidecar, &info) != STDO_OK) abort();
    frame lr[2], hr = new_frame(info.hr_width, info.hr_height, info.colour);
    uint8_t *labels[2], *scratch = block(stdo_scratch_size(sidecar));
    for (int i = 0; i < 2; i++) {
        lr[i] = new_frame(info.lr_width, info.lr_height, info.colour);
        labels[i] = block((size_t)info.columns * info.rows);
    }
    stdo_map *map;
    if (stdo_map_new(sidecar, &map) != STDO_OK) abort();

    uint32_t crc = 0, segment = 0;
    stdo_previous previous;
    for (uint32_t number = 0; number < info.frames; number++) {
        const int now = (int)(number % 2);
        stdo_segment_info at = {.size = sizeof at};
        while (stdo_get_segment(sidecar, segment, &at) == STDO_OK && at.first_frame + at.frames <= number) segment++;
        for (int i = 0; frames != NULL && i < 3; i++) {
            memcpy(lr[now].image.plane[i], frames, lr[now].size[i]);
            frames += lr[now].size[i];
        }
        const stdo_const_image source = stdo_image_for_reading(&lr[now].image);
        if (stdo_map_read(map, number, &source, labels[now]) != STDO_OK) abort();
        const stdo_frame f = {.size = sizeof f, .segment = segment, .labels = labels[now], .lr = source,
                              .hr = hr.image, .previous = frames != NULL && number > 0 ? &previous : NULL};
        const uint32_t step = frames != NULL ? info.rows : 1;
        for (uint32_t row = 0; row < info.rows; row += step)
            if (stdo_upscale_rows(sidecar, &f, row, row + step, scratch, NULL) != STDO_OK) abort();
        if (name != NULL && info.colour == STDO_COLOUR_YUV420)
            compare_in_turns(sidecar, &info, &f, &lr[now].image, scratch);
        previous = (stdo_previous){.size = sizeof previous, .segment = segment, .labels = labels[now], .lr = source,
                                   .hr = stdo_image_for_reading(&hr.image)};
        for (int i = 0; i < 3; i++) {
            crc = stdo_crc32(crc, hr.image.plane[i], hr.size[i]);
            if (name != NULL)
                printf("%s %u %d %08x\n", name, (unsigned)number, i,
                       (unsigned)stdo_crc32(0, hr.image.plane[i], hr.size[i]));
        }
    }
    stdo_map_free(map);
    free(scratch);
    free_frame(&hr);
    for (int i = 0; i < 2; i++) {
        free(labels[i]);
        free_frame(&lr[i]);
    }
    return crc;
}

static int print_vector(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    char text[4096], *dot;
    size_t size, lr_size;
    if (strlen(path) >= sizeof text) return 0;
    uint8_t *data = read_file(path, &size);
    stdo_sidecar *sidecar;
    if (stdo_open_memory(data, size, getenv("STDO_CPU"), &sidecar) != STDO_OK) return 0;
    strcpy(text, path);
    if ((dot = strrchr(text, '.')) == NULL) return 0;
    strcpy(dot, ".lr");
    uint8_t *frames = read_file(text, &lr_size);
    strcpy(text, name);
    *strrchr(text, '.') = '\0';
    upscale_all(sidecar, text, frames);
    fprintf(stderr, "%s\n", stdo_tier(sidecar));
    stdo_close(sidecar);
    free(frames);
    free(data);
    return 1;
}

int main(int count, char **paths)
{
    const int vectors = count > 1 && strcmp(paths[1], "--vectors") == 0;
    for (int i = 1 + vectors; i < count; i++) {
        if (vectors) {
            if (!print_vector(paths[i])) return 1;
            continue;
        }
        size_t size;
        uint8_t *data = read_file(paths[i], &size);
        stdo_sidecar *sidecar;
        const stdo_status status = stdo_open_memory(data, size, getenv("STDO_CPU"), &sidecar);
        free(data);
        printf("%s %08x\n", stdo_status_string(status),
               status == STDO_OK ? (unsigned)upscale_all(sidecar, NULL, NULL) : 0);
        stdo_close(sidecar);
    }
    return 0;
}
