/* Frames of a stream on their way through reading, upscaling and writing, several of them at the same time.

   A frame is upscaled in bands, which threads take one by one. Of the frame before, a band needs nothing but the same
   band, so that frames follow each other without a gap: whoever is free begins with the next one. */
#ifndef STDO_TOOLS_PIPELINE_H
#define STDO_TOOLS_PIPELINE_H

#include <stdint.h>

enum { PIPELINE_THREADS = 256, PIPELINE_BANDS = 512 };

/* What is to be done. Frames count from 0; each step has frame after frame in order, and each band too. At one time
   there is one call of `read` at the most, one of `write`, and one of `upscale` for each band and for each `worker`,
   0..threads-1. */
typedef struct pipeline {
    void *context;
    /* Gives 0 where there is no such frame. Of the lr frames before, the last `lr_frames` - 1 are still needed. */
    int (*read)(void *context, uint32_t frame);
    /* The same band of all frames before is done. */
    void (*upscale)(void *context, unsigned worker, uint32_t frame, uint32_t band);
    /* NULL where frames are not wanted; then the hr memory of a frame may be that of the next. */
    void (*write)(void *context, uint32_t frame);
    uint32_t bands;             /* 1..PIPELINE_BANDS */
    uint32_t lr_frames;         /* kept at the same time: 2 or more, as each frame needs the one before */
    uint32_t hr_frames;         /* kept until they are written: 1 or more */
} pipeline;

/* Does it all, and returns when the last frame is written. From two threads on, two more read and write, and the caller
   is one of those that upscale; with one thread the caller does everything in turn, and so it does what threads that
   cannot be had would have done. */
void pipeline_run(const pipeline *steps, unsigned threads);

#endif
