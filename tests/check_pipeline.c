/* csrc/tools/pipeline.c with steps that watch its order: check_pipeline THREADS BANDS LR_FRAMES HR_FRAMES WRITES.

   "held" where every step came in order, nothing was read or upscaled over what was still in use, and all was done. With
   more than one thread and room for it, the steps also wait for what has to go on beside them, so that a pipeline which
   does one thing after the other never ends: the writer of frame 0 and the last band of frame 0 for the first band of
   frame 1, which in turn waits for frame 2 to be read. */
#define _POSIX_C_SOURCE 200809L
#include "../csrc/tools/pipeline.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { FRAMES = 50 };

static struct {
    pthread_mutex_t lock;
    pthread_cond_t change;
    pipeline steps;
    unsigned threads;
    int overlaps;
    uint32_t read, written, begun[PIPELINE_BANDS], done[PIPELINE_BANDS];
    int reading, writing, worker[PIPELINE_THREADS];
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER};

static void require(int what, const char *words)
{
    if (what) return;
    printf("broken: %s\n", words);
    exit(1);
}

static uint32_t least_done(void)
{
    uint32_t least = FRAMES;
    for (uint32_t band = 0; band < seen.steps.bands; band++)
        if (seen.done[band] < least) least = seen.done[band];
    return least;
}

static void wait_until(const uint32_t *value, uint32_t least)
{
    while (seen.overlaps && *value < least) pthread_cond_wait(&seen.change, &seen.lock);
}

static int read_frame(void *context, uint32_t frame)
{
    (void)context;
    pthread_mutex_lock(&seen.lock);
    require(frame == seen.read && seen.reading++ == 0, "frames are read in order, one at a time");
    require(frame < seen.steps.lr_frames || least_done() + seen.steps.lr_frames >= frame + 2,
            "a frame is read over one that is still needed");
    seen.reading--;
    const int is_there = frame < FRAMES;
    seen.read += (uint32_t)is_there;
    pthread_cond_broadcast(&seen.change);
    pthread_mutex_unlock(&seen.lock);
    return is_there;
}

static void upscale(void *context, unsigned worker, uint32_t frame, uint32_t band)
{
    (void)context;
    pthread_mutex_lock(&seen.lock);
    require(worker < seen.threads && seen.worker[worker]++ == 0, "each worker does one band at a time");
    require(frame == seen.begun[band] && frame == seen.done[band], "a band goes from frame to frame");
    require(frame < seen.read, "a band is upscaled before its frame is read");
    require(seen.steps.write == NULL || frame < seen.written + seen.steps.hr_frames, "a band is written over");
    seen.begun[band]++;
    pthread_cond_broadcast(&seen.change);
    if (frame == 0 && band + 1 == seen.steps.bands) wait_until(&seen.begun[0], 2);
    if (frame == 1 && band == 0) wait_until(&seen.read, 3);
    seen.done[band]++;
    seen.worker[worker]--;
    pthread_mutex_unlock(&seen.lock);
}

static void write_frame(void *context, uint32_t frame)
{
    (void)context;
    pthread_mutex_lock(&seen.lock);
    require(frame == seen.written && seen.writing++ == 0, "frames are written in order, one at a time");
    require(frame < least_done(), "a frame is written before it is done");
    pthread_mutex_unlock(&seen.lock);
    pthread_mutex_lock(&seen.lock);
    if (frame == 0) wait_until(&seen.begun[0], 3);
    seen.writing--;
    seen.written++;
    pthread_mutex_unlock(&seen.lock);
}

int main(int count, char **words)
{
    if (count != 6) return 2;
    seen.threads = (unsigned)atoi(words[1]);
    const pipeline steps = {NULL, read_frame, upscale, atoi(words[5]) ? write_frame : NULL, (uint32_t)atoi(words[2]),
                            (uint32_t)atoi(words[3]), (uint32_t)atoi(words[4])};
    seen.steps = steps;
    seen.overlaps = seen.threads > 1 && steps.bands > 1 && steps.lr_frames > 3 && steps.hr_frames > 2;
    pipeline_run(&steps, seen.threads);
    require(seen.read == FRAMES && least_done() == FRAMES, "a frame is missing");
    require(steps.write == NULL || seen.written == FRAMES, "a frame was not written");
    printf("held%s\n", seen.overlaps ? " and overlapped" : "");
    return 0;
}
