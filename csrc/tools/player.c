/* Reads, checks and upscales the frames of a stream. What several threads touch at the same time is kept by frame or by
   band, so that pipeline.c's order is all the protection that it needs. */
#include "player.h"

#include "pipeline.h"

#include <stdlib.h>
#include <string.h>

/* ---- Memory ---- */

/* Bands for so many threads: one more than these, because a thread may be stopped for a while, and no more, because the
   rows at a border are computed for both sides. */
static uint32_t bands_for(uint32_t rows, unsigned threads)
{
    uint32_t bands = threads == 1 ? 1 : threads + 1;
    if (bands > PIPELINE_BANDS) bands = PIPELINE_BANDS;
    return bands < rows ? bands : rows;
}

int player_new(player *p, stdo_sidecar *sidecar, unsigned threads, uint32_t hr_frames)
{
    p->sidecar = sidecar;
    p->info.size = sizeof p->info;
    p->at.size = sizeof p->at;
    if (stdo_get_info(sidecar, &p->info) != STDO_OK) abort();
    p->hr_frames = hr_frames;
    p->bands = bands_for(p->info.rows, threads);
    p->lr_size = y4m_frame_size(p->info.lr_width, p->info.lr_height);
    p->hr_size = y4m_frame_size(p->info.hr_width, p->info.hr_height);
    p->scratch_size = stdo_scratch_size(sidecar);
    const size_t labels = (size_t)p->info.columns * p->info.rows;
    const uint64_t bytes = PLAYER_LR_FRAMES * ((uint64_t)p->lr_size + labels) + labels +
                           hr_frames * (uint64_t)p->hr_size + (uint64_t)threads * p->scratch_size;
    p->memory = bytes <= SIZE_MAX ? malloc((size_t)bytes) : NULL; /* may be greater where pointers have 32 bits */
    if (p->memory == NULL || stdo_map_new(sidecar, &p->map) != STDO_OK) return 0;
    uint8_t *at = p->memory;
    for (int i = 0; i < PLAYER_LR_FRAMES; i++, at += p->lr_size) p->lr[i] = at;
    for (int i = 0; i < PLAYER_LR_FRAMES; i++, at += labels) p->labels[i] = at;
    p->ages = at;
    memset(p->ages, 0, labels);
    at += labels;
    for (uint32_t i = 0; i < hr_frames; i++, at += p->hr_size) p->hr[i] = at;
    p->scratch = at;
    return 1;
}

void player_free(player *p)
{
    stdo_map_free(p->map);
    free(p->memory);
}

static stdo_image hr_image(const player *p, uint32_t frame)
{
    return stdo_image_from_buffer(p->hr[frame % p->hr_frames], p->info.hr_width, p->info.hr_height, p->info.colour);
}

static stdo_const_image lr_image(const player *p, uint32_t slot)
{
    const stdo_image lr = stdo_image_from_buffer(p->lr[slot], p->info.lr_width, p->info.lr_height, p->info.colour);
    return stdo_image_for_reading(&lr);
}

/* ---- Reading ---- */

static int ends(player *p, uint32_t number, player_end why)
{
    p->end_number = number;
    p->end = why;
    return 0;
}

/* Moves on to the segment of a frame, which `p->at` then describes. */
static void find_segment(player *p, uint32_t number)
{
    while (stdo_get_segment(p->sidecar, p->at_index, &p->at) == STDO_OK &&
           p->at.first_frame + p->at.frames <= number)
        p->at_index++;
}

/* Whether a frame is one of those that the sidecar was made for, as far as can be told by now. */
static int frame_fits(player *p, uint32_t number, const uint8_t *lr)
{
    const int first = number == p->at.first_frame, last = number + 1 == p->at.first_frame + p->at.frames;
    if (first) p->whole = 1;
    if (!p->whole) return 1; /* the stream begins within this segment */
    p->whole_crc = stdo_crc32(first ? 0 : p->whole_crc, lr, p->lr_size);
    return !(first && p->whole_crc != p->at.lr_first_crc) && !(last && p->whole_crc != p->at.lr_crc);
}

/* Has the segment of a frame loaded, and drops that of the frame whose slot it takes, if it is the last of it. */
static int load_segment(player *p, uint32_t frame)
{
    const uint32_t slot = frame % PLAYER_LR_FRAMES, after = (frame + 1) % PLAYER_LR_FRAMES;
    const uint32_t before = (frame + PLAYER_LR_FRAMES - 1) % PLAYER_LR_FRAMES;
    if (frame >= PLAYER_LR_FRAMES && p->segment[slot] != p->segment[after]) stdo_drop(p->sidecar, p->segment[slot]);
    p->segment[slot] = p->at_index;
    return (frame > 0 && p->segment[before] == p->at_index) || stdo_load(p->sidecar, p->at_index) == STDO_OK;
}

int player_read(void *context, uint32_t frame)
{
    player *p = context;
    const uint32_t number = p->start + frame, slot = frame % PLAYER_LR_FRAMES;
    p->status = y4m_read_frame(stdin, p->lr[slot], p->lr_size);
    if (p->status == Y4M_END) return ends(p, number, PLAYER_STREAM_ENDS);
    if (p->status != Y4M_OK) return ends(p, number, PLAYER_BAD_FRAME);
    if (number == p->info.frames) return ends(p, number, PLAYER_TOO_MANY);
    find_segment(p, number);
    if (!frame_fits(p, number, p->lr[slot])) return ends(p, number, PLAYER_OTHER_VIDEO);
    if (!load_segment(p, frame)) return ends(p, number, PLAYER_NO_MEMORY);
    const stdo_const_image lr = lr_image(p, slot);
    if (stdo_map_read(p->map, number, &lr, p->labels[slot]) != STDO_OK) abort(); /* number is below info.frames */
    return 1;
}

/* ---- Upscaling ---- */

void player_upscale(void *context, unsigned worker, uint32_t frame, uint32_t band)
{
    const player *p = context;
    const uint32_t now = frame % PLAYER_LR_FRAMES, old = (frame + PLAYER_LR_FRAMES - 1) % PLAYER_LR_FRAMES;
    stdo_previous previous = {.size = sizeof previous};
    if (frame > 0) {
        const stdo_image old_hr = hr_image(p, frame - 1);
        previous.segment = p->segment[old];
        previous.labels = p->labels[old];
        previous.lr = lr_image(p, old);
        previous.hr = stdo_image_for_reading(&old_hr);
    }
    /* Of hr frames written in turns, each still has the patches that did not change since it was written. */
    const stdo_frame task = {.size = sizeof task, .segment = p->segment[now], .labels = p->labels[now],
                             .lr = lr_image(p, now), .hr = hr_image(p, frame),
                             .previous = frame > 0 ? &previous : NULL, .ages = p->ages, .hr_age = p->hr_frames};
    const uint32_t rows = p->info.rows, begin = (uint32_t)((uint64_t)rows * band / p->bands),
                   end = (uint32_t)((uint64_t)rows * (band + 1) / p->bands);
    const stdo_status status =
        stdo_upscale_rows(p->sidecar, &task, begin, end, p->scratch + worker * p->scratch_size, NULL);
    if (status != STDO_OK) abort(); /* stdo_map_read gives no other labels, and the bands are rows of the grid */
}

const uint8_t *player_hr(const player *p, uint32_t frame) { return p->hr[frame % p->hr_frames]; }
