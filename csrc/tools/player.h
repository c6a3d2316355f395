/* The frames of one y4m stream: read and checked, upscaled, written. */
#ifndef STDO_TOOLS_PLAYER_H
#define STDO_TOOLS_PLAYER_H

#include "md5.h"
#include "y4m.h"

#include <stdo/stdo.h>

enum { PLAYER_LR_FRAMES = 4, PLAYER_HR_FRAMES = 3 };

/* Why no more frames come. */
typedef enum player_end {
    PLAYER_STREAM_ENDS,
    PLAYER_BAD_FRAME,           /* `status` says why */
    PLAYER_TOO_MANY,            /* more than the sidecar has */
    PLAYER_OTHER_VIDEO,         /* the sidecar was made for other pictures */
    PLAYER_NO_MEMORY            /* for the nets of its next segment */
} player_end;

/* All that upscaling needs; the big parts in one allocation at `memory`. */
typedef struct player {
    stdo_sidecar *sidecar;
    stdo_info info;
    stdo_map *map;
    uint8_t *memory, *scratch;
    uint8_t *lr[PLAYER_LR_FRAMES], *labels[PLAYER_LR_FRAMES]; /* of the last frames: frame n at n % PLAYER_LR_FRAMES */
    uint32_t segment[PLAYER_LR_FRAMES]; /* of each of these, loaded */
    uint8_t *ages;              /* frames since each patch changed */
    uint8_t *hr[PLAYER_HR_FRAMES];
    size_t lr_size, hr_size, scratch_size;
    uint32_t hr_frames, bands;

    uint32_t start;             /* the number of the stream's first frame in the video */
    player_end end;
    uint32_t end_number;        /* of the frame that did not come, counted in the video */
    y4m_status status;
    stdo_segment_info at;       /* the segment of the frame read last, and its index */
    uint32_t at_index, whole_crc; /* and the CRC of the frames since its first */
    int whole;                  /* 1: all of these were seen */

    md5 sum;                    /* of the hr frames, where it is asked for */
} player;

/* The sidecar is opened with STDO_LAZY. Gives 0 where memory is short. The caller ends it with player_free in either
   case. Of more than one hr frame, all but the first are there to be written while the next ones are upscaled. */
int player_new(player *p, stdo_sidecar *sidecar, unsigned threads, uint32_t hr_frames);
void player_free(player *p);

/* The steps of a pipeline, whose context is the player. */
int player_read(void *context, uint32_t frame);
void player_upscale(void *context, unsigned worker, uint32_t frame, uint32_t band);

/* The hr planes of a frame that is upscaled. */
const uint8_t *player_hr(const player *p, uint32_t frame);

#endif
