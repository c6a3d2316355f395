/* The kernels of stdo-y4m alone: player_kernels SIDECAR THREADS PASSES < lr.y4m

   All frames are in memory, with their labels, before the clock starts; they go through the pipeline of the player,
   with its bands and its reuse, into one hr frame, and nobody writes it. A line for each pass: milliseconds a frame. */
#define _POSIX_C_SOURCE 200809L
#include "../csrc/tools/pipeline.h"
#include "../csrc/tools/player.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef struct kept {
    player p;
    uint8_t *lr, *labels;
    size_t label_size;
    uint32_t frames;
} kept;

static void point_to(kept *k, uint32_t frame)
{
    k->p.lr[frame % PLAYER_LR_FRAMES] = k->lr + frame * k->p.lr_size;
    k->p.labels[frame % PLAYER_LR_FRAMES] = k->labels + frame * k->label_size;
}

/* In place of player_read. The sidecar has one segment. */
static int read_nothing(void *context, uint32_t frame)
{
    kept *k = context;
    if (frame == k->frames) return 0;
    point_to(k, frame);
    return 1;
}

static void upscale(void *context, unsigned worker, uint32_t frame, uint32_t band)
{
    kept *k = context;
    player_upscale(&k->p, worker, frame, band);
}

static double milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e3 * (double)now.tv_sec + 1e-6 * (double)now.tv_nsec;
}

static uint8_t *need(void *memory)
{
    if (memory == NULL) exit(1);
    return memory;
}

int main(int count, char **words)
{
    enum { LARGEST = 1 << 24 };
    if (count != 4) return 2;
    const unsigned threads = (unsigned)atoi(words[2]);
    FILE *file = fopen(words[1], "rb");
    if (file == NULL) return 1;
    uint8_t *data = need(malloc(LARGEST));
    stdo_sidecar *sidecar;
    if (stdo_open_memory(data, fread(data, 1, LARGEST, file), getenv("STDO_CPU"), &sidecar) != STDO_OK) return 1;
    kept k = {.frames = 0};
    y4m_header header;
    if (!player_new(&k.p, sidecar, threads, 1) || y4m_read_header(stdin, &header) != Y4M_OK) return 1;
    k.label_size = (size_t)k.p.info.columns * k.p.info.rows;
    k.lr = need(malloc(k.p.info.frames * k.p.lr_size));
    k.labels = need(malloc(k.p.info.frames * k.label_size));
    for (; k.frames < k.p.info.frames; k.frames++) {
        point_to(&k, k.frames);
        if (!player_read(&k.p, k.frames)) return 1;
    }
    const pipeline steps = {&k, read_nothing, upscale, NULL, k.p.bands, PLAYER_LR_FRAMES, 1};
    for (int pass = atoi(words[3]); pass > 0; pass--) {
        const double begun = milliseconds();
        pipeline_run(&steps, threads);
        printf("%.4f\n", (milliseconds() - begun) / k.frames);
    }
    return 0;
}
