/* Fuzzes the whole player: any bytes are opened, and where they are a sidecar, a few frames are upscaled by tier c, whole
   and each by itself. Then each tier that this CPU has does it again as programs might: by rows in any order, U and V
   in turns, rows from the bottom up, after frames that it can copy from, into one surface or several in turn. Every
   byte must be as before. Labels that are read in any order must be those of reading on. The input's own bytes
   determine all choices. */
#include "fuzz_upscale.h"

#include "../sidecar.h"
#include "sidecar_mutator.h"
#include "surface.h"

#include <stdlib.h>
#include <string.h>

enum { FRAMES = 3, MAP_FRAMES = 6, MOST_PIXELS = 1 << 12, LARGEST_FILE = 1 << 14 };

uint64_t stdo_fuzz_compared[STDO_TIERS];
static uint64_t most_work = UINT64_MAX;

int LLVMFuzzerInitialize(int *count, char ***words)
{
    (void)count;
    (void)words;
    most_work = 1 << 17;
    return 0;
}

/* The first frames of a sidecar, and what the specification makes of them. */
typedef struct film {
    const uint8_t *data;
    size_t size;
    stdo_info info;
    picture lr_shape, hr_shape;
    uint32_t frames;            /* at most FRAMES */
    uint32_t segment[MAP_FRAMES];
    uint8_t *labels[MAP_FRAMES];
    stdo_image lr[FRAMES], hr[FRAMES];
} film;

static void *must(void *memory)
{
    if (memory == NULL) abort();
    return memory;
}

static void must_be(int truth)
{
    if (!truth) abort();
}

static stdo_sidecar *open_bytes(const uint8_t *data, size_t size, const char *tier, uint64_t strip)
{
    stdo_sidecar *sidecar;
    const stdo_options how = {.size = sizeof how, .tiers = tier, .strip = strip};
    must_be((stdo_open(data, size, &how, &sidecar) == STDO_OK) == (sidecar != NULL));
    if (sidecar != NULL) must_be(strcmp(stdo_tier(sidecar), tier) == 0);
    return sidecar;
}

/* Multiplications of the most demanding net for a whole frame. */
static uint64_t work_of(const stdo_sidecar *sidecar)
{
    const uint64_t pixels = (uint64_t)sidecar->plane[0].width * sidecar->plane[0].height;
    uint64_t most = 0;
    for (uint32_t n = 0; n < sidecar->info.nets; n++) {
        const stdo_net *net = sidecar->net[n].loaded;
        uint64_t one = 0;
        for (uint32_t l = 0; net != NULL && l < net->layers; l++)
            one += pixels * net->layer[l].kernel * net->layer[l].kernel * net->layer[l].in * net->layer[l].out;
        if (one > most) most = one;
    }
    return most;
}

static stdo_image new_planes(const picture *shape)
{
    uint8_t *buffer = must(malloc(stdo_image_size(shape->width, shape->height, shape->colour)));
    return stdo_image_from_buffer(buffer, shape->width, shape->height, shape->colour);
}

/* Noise that `seed` changes in some bands of the picture. */
static stdo_image new_noise(const picture *shape, uint32_t seed)
{
    const stdo_image p = new_planes(shape);
    const size_t size = stdo_image_size(shape->width, shape->height, shape->colour);
    for (size_t at = 0; at < size; at++) p.plane[0][at] = (uint8_t)(at * at >> 3);
    for (size_t at = 0; at < size; at++)
        if (at / (size / 7 + 1) % 2 == 1) p.plane[0][at] ^= (uint8_t)(seed * 37);
    return p;
}

/* ---- Tier c, whole frames ---- */

static void read_map(film *f, const stdo_sidecar *sidecar, uint32_t *state)
{
    const size_t patches = (size_t)f->info.columns * f->info.rows;
    const uint32_t frames = min_u32(f->info.frames, MAP_FRAMES);
    uint8_t *again = must(malloc(patches));
    stdo_const_image lr[FRAMES];
    for (uint32_t i = 0; i < FRAMES; i++) lr[i] = stdo_image_for_reading(&f->lr[i]);
    stdo_map *map;
    must_be(stdo_map_new(sidecar, &map) == STDO_OK);
    for (uint32_t frame = 0, segment = 0; frame < frames; frame++) {
        stdo_segment_info at = {.size = sizeof at};
        while (stdo_get_segment(sidecar, segment, &at) == STDO_OK && at.first_frame + at.frames <= frame) segment++;
        f->segment[frame] = segment;
        f->labels[frame] = must(malloc(patches));
        must_be(stdo_map_read(map, frame, &lr[frame % FRAMES], f->labels[frame]) == STDO_OK);
    }
    for (int i = 0; i < MAP_FRAMES; i++) {
        const uint32_t frame = draw(state, frames);
        must_be(stdo_map_read(map, frame, &lr[frame % FRAMES], again) == STDO_OK);
        must_be(memcmp(again, f->labels[frame], patches) == 0);
    }
    stdo_map_free(map);
    free(again);
}

static void upscale_whole(film *f, const stdo_sidecar *sidecar)
{
    void *scratch = must(malloc(stdo_scratch_size(sidecar)));
    for (uint32_t i = 0; i < f->frames; i++) {
        f->hr[i] = new_planes(&f->hr_shape);
        const stdo_frame frame = {.size = sizeof frame, .segment = f->segment[i], .labels = f->labels[i],
                                  .lr = stdo_image_for_reading(&f->lr[i]), .hr = f->hr[i]};
        must_be(stdo_upscale_rows(sidecar, &frame, 0, f->info.rows, scratch, NULL) == STDO_OK);
    }
    free(scratch);
}

/* ---- Any tier, as programs might ---- */

typedef struct run {
    const stdo_sidecar *sidecar;
    const stdo_frame *frame;
    void *scratch;
    stdo_statistics done;
    uint32_t *state;
} run;

static void upscale_parts(run *r, uint32_t begin, uint32_t end)
{
    if (end - begin < 2 || draw(r->state, 4) == 0) {
        must_be(stdo_upscale_rows(r->sidecar, r->frame, begin, end, r->scratch, &r->done) == STDO_OK);
        return;
    }
    const uint32_t middle = begin + 1 + draw(r->state, end - begin - 1), lower_first = draw(r->state, 2);
    if (lower_first) upscale_parts(r, middle, end);
    upscale_parts(r, begin, middle);
    if (!lower_first) upscale_parts(r, middle, end);
}

/* Patches whose luma was computed have the age 0, as have those whose chroma was. */
static void check_counts(const stdo_statistics *done, const uint8_t *ages, size_t patches)
{
    size_t young = 0;
    for (size_t i = 0; i < patches; i++) young += ages[i] == 0;
    must_be(done->net + done->base <= young && done->net + done->base + done->reused == patches);
}

static void compare(const film *f, stdo_tier_index tier, uint32_t *state)
{
    const uint64_t strip = draw(state, 2) * draw(state, 4096); /* small ones cut the small pictures */
    stdo_sidecar *sidecar = must(open_bytes(f->data, f->size, stdo_tier_name(tier), strip));
    const size_t patches = (size_t)f->info.columns * f->info.rows;
    const uint32_t orders = f->info.colour == STDO_COLOUR_YUV420 ? SURFACE_ORDERS : 1;
    const surface_order lr_order = draw(state, orders), hr_order = draw(state, orders);
    const uint32_t surfaces = 1 + draw(state, FRAMES), knows_ages = draw(state, 2);
    surface lr[FRAMES], hr[FRAMES];
    stdo_previous previous = {.size = sizeof previous};
    uint8_t *ages = must(malloc(patches));
    run r = {.sidecar = sidecar, .scratch = must(malloc(stdo_scratch_size(sidecar))), .state = state};
    for (uint32_t i = 0; i < f->frames; i++) {
        lr[i] = surface_new(&f->lr_shape, lr_order, state);
        surface_put(&lr[i], &f->lr_shape, &f->lr[i]);
        surface *written = &hr[i % surfaces];
        if (i < surfaces) *written = surface_new(&f->hr_shape, hr_order, state);
        const stdo_frame frame = {
            .size = sizeof frame, .segment = f->segment[i], .labels = f->labels[i], .ages = knows_ages ? ages : NULL,
            .hr_age = knows_ages && i >= surfaces ? surfaces : 0, .lr = stdo_image_for_reading(&lr[i].image),
            .hr = written->image, .previous = i > 0 && draw(state, 4) > 0 ? &previous : NULL};
        r.frame = &frame;
        r.done = (stdo_statistics){.size = sizeof r.done};
        upscale_parts(&r, 0, f->info.rows);
        must_be(surface_holds(written, &f->hr_shape, &f->hr[i]));
        if (knows_ages) check_counts(&r.done, ages, patches);
        stdo_fuzz_compared[tier]++;
        previous = (stdo_previous){.size = sizeof previous, .segment = f->segment[i], .labels = f->labels[i],
                                   .lr = frame.lr, .hr = stdo_image_for_reading(&written->image)};
    }
    for (uint32_t i = 0; i < f->frames; i++) surface_free(&lr[i]);
    for (uint32_t i = 0; i < min_u32(f->frames, surfaces); i++) surface_free(&hr[i]);
    free(r.scratch);
    free(ages);
    stdo_close(sidecar);
}

static void upscale(film *f, const stdo_sidecar *sidecar)
{
    uint32_t state = stdo_crc32(0, f->data, f->size) | 1;
    f->lr_shape = (picture){f->info.lr_width, f->info.lr_height, f->info.colour};
    f->hr_shape = (picture){f->info.hr_width, f->info.hr_height, f->info.colour};
    f->frames = min_u32(f->info.frames, FRAMES);
    for (uint32_t i = 0; i < FRAMES; i++) f->lr[i] = new_noise(&f->lr_shape, draw(&state, 3));
    read_map(f, sidecar, &state);
    upscale_whole(f, sidecar);
    for (int tier = 0; tier < STDO_TIERS; tier++)
        if (stdo_cpu_tiers() >> tier & 1) compare(f, (stdo_tier_index)tier, &state);
    for (uint32_t i = 0; i < f->frames; i++) free(f->hr[i].plane[0]);
    for (uint32_t i = 0; i < FRAMES; i++) free(f->lr[i].plane[0]);
    for (int i = 0; i < MAP_FRAMES; i++) free(f->labels[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    film f = {.data = data, .size = size, .info.size = sizeof f.info};
    stdo_sidecar *sidecar = open_bytes(data, size, "c", 0);
    if (sidecar == NULL) return 0;
    must_be(stdo_get_info(sidecar, &f.info) == STDO_OK);
    /* Large pictures and nets are slow, and reach no code that small ones do not. */
    if (f.info.lr_width * f.info.lr_height <= MOST_PIXELS && size <= LARGEST_FILE && work_of(sidecar) <= most_work)
        upscale(&f, sidecar);
    stdo_close(sidecar);
    return 0;
}
