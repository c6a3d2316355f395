/* Upscales a video with its sidecar, one frame after the other: all that a program must do to play one.

       cc upscale.c -lstdo -o upscale
       ffmpeg -i low.mp4 -pix_fmt yuv420p -f rawvideo lr.yuv
       ./upscale low.stdo lr.yuv hr.yuv

   Frames are planes Y, U and V, one after the other, without headers. A player gets them from its decoder instead, in
   whatever memory and with whatever strides that has. */
#include <stdo/stdo.h>

#include <stdio.h>
#include <stdlib.h>

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "upscale: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static void check(stdo_status status, const char *what)
{
    if (status != STDO_OK) fail(what, stdo_status_string(status));
}

static void *block(size_t size)
{
    void *memory = malloc(size > 0 ? size : 1);
    if (memory == NULL) fail("memory", "there is none left");
    return memory;
}

static FILE *open_file(const char *path, const char *mode)
{
    FILE *file = fopen(path, mode);
    if (file == NULL) fail(path, "cannot be opened");
    return file;
}

int main(int count, char **words)
{
    if (count != 4) fail("usage", "upscale SIDECAR LR.yuv HR.yuv");

    /* 1. Read the sidecar's bytes, from wherever they are, and open it. A damaged or hostile file is refused here, and
       the bytes may go at once. */
    enum { LARGEST = 1 << 24 };
    uint8_t *bytes = block(LARGEST);
    FILE *file = open_file(words[1], "rb");
    const size_t size = fread(bytes, 1, LARGEST, file);
    fclose(file);
    if (size == LARGEST) fail(words[1], "larger than sidecars are");
    stdo_sidecar *sidecar;
    check(stdo_open_memory(bytes, size, NULL, &sidecar), words[1]);
    free(bytes);

    /* 2. Ask for sizes. A struct with a `size` is told its own. Nets for RGB frames are for comparisons; players may
       leave them out. */
    stdo_info info = {.size = sizeof info};
    check(stdo_get_info(sidecar, &info), "info");
    if (info.colour != STDO_COLOUR_YUV420) fail(words[1], "made for RGB frames");

    /* 3. Get memory: the hr frame, two lr frames and two sets of labels (for this frame and the one before, so that
       what did not change is not computed again), and the scratch of one thread. */
    const size_t lr_size = stdo_image_size(info.lr_width, info.lr_height, info.colour);
    const size_t hr_size = stdo_image_size(info.hr_width, info.hr_height, info.colour);
    const stdo_image hr = stdo_image_from_buffer(block(hr_size), info.hr_width, info.hr_height, info.colour);
    stdo_image lr[2];
    uint8_t *labels[2];
    for (int i = 0; i < 2; i++) {
        lr[i] = stdo_image_from_buffer(block(lr_size), info.lr_width, info.lr_height, info.colour);
        labels[i] = block((size_t)info.columns * info.rows);
    }
    void *scratch = block(stdo_scratch_size(sidecar));

    /* 4. Make a map reader: it says which net serves which patch of which frame. */
    stdo_map *map;
    check(stdo_map_new(sidecar, &map), "map");

    FILE *in = open_file(words[2], "rb"), *out = open_file(words[3], "wb");
    uint32_t segment = 0;
    stdo_previous previous;
    for (uint32_t frame = 0; frame < info.frames; frame++) {
        const uint32_t now = frame % 2;

        /* 5. Decode an lr frame. */
        if (fread(lr[now].plane[0], 1, lr_size, in) != lr_size) fail(words[2], "ends before the sidecar's last frame");

        /* 6. Find its segment and labels. At the first frame of a segment its crc tells whether this is the video that
           the sidecar was made for. */
        stdo_segment_info at = {.size = sizeof at};
        check(stdo_get_segment(sidecar, segment, &at), "segment");
        if (frame == at.first_frame + at.frames) check(stdo_get_segment(sidecar, ++segment, &at), "segment");
        if (frame == at.first_frame && stdo_crc32(0, lr[now].plane[0], lr_size) != at.lr_first_crc)
            fail(words[2], "not the video that the sidecar was made for");
        const stdo_const_image source = stdo_image_for_reading(&lr[now]);
        check(stdo_map_read(map, frame, &source, labels[now]), "map");

        /* 7. Upscale. Threads would share the rows 0..info.rows, each with scratch of its own. */
        const stdo_frame what = {.size = sizeof what, .segment = segment, .labels = labels[now], .lr = source, .hr = hr,
                                 .previous = frame > 0 ? &previous : NULL};
        check(stdo_upscale_rows(sidecar, &what, 0, info.rows, scratch, NULL), "upscale");

        /* 8. Show the hr frame, and leave it as it is: the next one is written over it. */
        if (fwrite(hr.plane[0], 1, hr_size, out) != hr_size) fail(words[3], "cannot be written");
        previous = (stdo_previous){.size = sizeof previous, .segment = segment, .labels = labels[now], .lr = source,
                                   .hr = stdo_image_for_reading(&hr)};
    }

    /* 9. Put everything back. */
    if (fclose(out) != 0) fail(words[3], "cannot be written");
    fclose(in);
    stdo_map_free(map);
    stdo_close(sidecar);
    free(scratch);
    free(hr.plane[0]);
    for (int i = 0; i < 2; i++) {
        free(lr[i].plane[0]);
        free(labels[i]);
    }
    return EXIT_SUCCESS;
}
