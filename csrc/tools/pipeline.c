/* Threads that share the steps of a pipeline. All they share is under one lock, which is held for some hundred
   instructions a band. */
#include "pipeline.h"

#include <pthread.h>
#include <string.h>

enum { READ = 1, UPSCALE = 2, WRITE = 4 };

/* One thread: what it may do, and how it is told that there is some of it. */
typedef struct member {
    struct line *line;
    pthread_t thread;
    pthread_cond_t wake;
    unsigned may, worker;
    int waiting;
} member;

/* How far the stream has come. */
typedef struct line {
    const pipeline *steps;
    pthread_mutex_t lock;
    uint32_t read, written;     /* frames */
    uint32_t done[PIPELINE_BANDS]; /* frames of which this band is upscaled */
    uint8_t taken[PIPELINE_BANDS]; /* 1: a thread is at the next frame of this band */
    int reading, writing, ended;
    unsigned members;
    member member[PIPELINE_THREADS + 2];
} line;

/* Frames of which all bands are done. */
static uint32_t finished(const line *l)
{
    uint32_t least = l->done[0];
    for (uint32_t band = 1; band < l->steps->bands; band++)
        if (l->done[band] < least) least = l->done[band];
    return least;
}

/* A frame is read over one that nothing reads any more: neither its own bands nor those of the frame after it. */
static int may_read(const line *l)
{
    return !l->ended && !l->reading && l->read + 2 <= finished(l) + l->steps->lr_frames;
}

static int may_write(const line *l)
{
    return l->steps->write != NULL && !l->writing && l->written < finished(l);
}

static int may_upscale(const line *l, uint32_t band)
{
    const uint32_t frame = l->done[band];
    return !l->taken[band] && frame < l->read &&
           (l->steps->write == NULL || frame < l->written + l->steps->hr_frames);
}

/* The band that is furthest behind, of those that can go on; `bands` where none can. */
static uint32_t next_band(const line *l)
{
    uint32_t best = l->steps->bands;
    for (uint32_t band = 0; band < l->steps->bands; band++)
        if (may_upscale(l, band) && (best == l->steps->bands || l->done[band] < l->done[best])) best = band;
    return best;
}

static int all_done(const line *l)
{
    return l->ended && finished(l) == l->read && (l->steps->write == NULL || l->written == l->read);
}

/* Wakes those for whom there is something to do: one for each step, and all when everything is done. */
static void wake(line *l)
{
    unsigned bands = 0, steps = (may_read(l) ? READ : 0) | (may_write(l) ? WRITE : 0);
    const int over = all_done(l);
    for (uint32_t band = 0; band < l->steps->bands; band++) bands += (unsigned)may_upscale(l, band);
    for (unsigned i = 0; i < l->members; i++) {
        member *m = &l->member[i];
        if (!m->waiting || !(over || (m->may & steps) || (bands > 0 && (m->may & UPSCALE)))) continue;
        if (m->may & steps) steps &= ~m->may;
        else if (bands > 0) bands--;
        m->waiting = 0;
        pthread_cond_signal(&m->wake);
    }
}

/* Does one step, if this member may do one now. The lock is free meanwhile. */
static int do_one(line *l, const member *self)
{
    const pipeline *steps = l->steps;
    const uint32_t band = self->may & UPSCALE ? next_band(l) : steps->bands;
    if (self->may & WRITE && may_write(l)) {
        l->writing = 1;
        pthread_mutex_unlock(&l->lock);
        steps->write(steps->context, l->written);
        pthread_mutex_lock(&l->lock);
        l->writing = 0;
        l->written++;
    } else if (band < steps->bands) {
        const uint32_t frame = l->done[band];
        l->taken[band] = 1;
        pthread_mutex_unlock(&l->lock);
        steps->upscale(steps->context, self->worker, frame, band);
        pthread_mutex_lock(&l->lock);
        l->taken[band] = 0;
        l->done[band]++;
    } else if (self->may & READ && may_read(l)) {
        l->reading = 1;
        const uint32_t frame = l->read;
        pthread_mutex_unlock(&l->lock);
        const int is_there = steps->read(steps->context, frame);
        pthread_mutex_lock(&l->lock);
        l->reading = 0;
        if (is_there) l->read++;
        else l->ended = 1;
    } else {
        return 0;
    }
    wake(l);
    return 1;
}

static void *serve(void *argument)
{
    member *self = argument;
    line *l = self->line;
    pthread_mutex_lock(&l->lock);
    while (!all_done(l)) {
        if (do_one(l, self)) continue;
        self->waiting = 1;
        while (self->waiting) pthread_cond_wait(&self->wake, &l->lock);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* Gives 0 where no more threads can be had. */
static int start(line *l, unsigned may, unsigned worker)
{
    member *next = &l->member[l->members];
    *next = (member){.line = l, .may = may, .worker = worker};
    pthread_cond_init(&next->wake, NULL);
    if (pthread_create(&next->thread, NULL, serve, next) == 0) return ++l->members > 0;
    pthread_cond_destroy(&next->wake);
    return 0;
}

void pipeline_run(const pipeline *steps, unsigned threads)
{
    line l;
    memset(&l, 0, sizeof l);
    l.steps = steps;
    l.members = 1;
    pthread_mutex_init(&l.lock, NULL);
    pthread_mutex_lock(&l.lock); /* nobody begins before all are listed */
    member *caller = &l.member[0];
    *caller = (member){.line = &l, .may = UPSCALE | READ | WRITE};
    pthread_cond_init(&caller->wake, NULL);
    if (threads > 1) {
        if (start(&l, READ, 0)) caller->may &= ~(unsigned)READ;
        if (steps->write != NULL && start(&l, WRITE, 0)) caller->may &= ~(unsigned)WRITE;
        for (unsigned worker = 1; worker < threads && start(&l, UPSCALE, worker);) worker++;
    }
    pthread_mutex_unlock(&l.lock);
    serve(caller);
    for (unsigned i = 0; i < l.members; i++) {
        if (i > 0) pthread_join(l.member[i].thread, NULL);
        pthread_cond_destroy(&l.member[i].wake);
    }
    pthread_mutex_destroy(&l.lock);
}
