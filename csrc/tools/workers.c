/* A pool of POSIX threads. They only meet at a lock, a few times a frame. */
#include "workers.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct worker {
    workers *pool;
    pthread_t thread;
    unsigned index;
} worker;

struct workers {
    pthread_mutex_t lock;
    pthread_cond_t wanted, done;
    workers_task task;
    void *context;
    uint32_t next, rows;        /* rows from `next` on have no thread yet */
    unsigned threads, busy;
    int ending;
    worker worker[];
};

static void *serve(void *argument)
{
    worker *self = argument;
    workers *pool = self->pool;
    pthread_mutex_lock(&pool->lock);
    while (!pool->ending) {
        if (pool->next == pool->rows) {
            pthread_cond_wait(&pool->wanted, &pool->lock);
            continue;
        }
        const uint32_t left = pool->rows - pool->next, begin = pool->next;
        /* A single thread takes all at once: rows of one call share the work at their borders. */
        pool->next += pool->threads == 1 ? left : (left + 2 * pool->threads - 1) / (2 * pool->threads);
        const uint32_t end = pool->next;
        pool->busy++;
        pthread_mutex_unlock(&pool->lock);
        pool->task(pool->context, self->index, begin, end);
        pthread_mutex_lock(&pool->lock);
        if (--pool->busy == 0 && pool->next == pool->rows) pthread_cond_signal(&pool->done);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

workers *workers_new(unsigned threads)
{
    if (threads < 1 || threads > WORKERS_MOST) return NULL;
    workers *pool = calloc(1, sizeof *pool + threads * sizeof *pool->worker);
    if (pool == NULL) return NULL;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wanted, NULL);
    pthread_cond_init(&pool->done, NULL);
    for (; pool->threads < threads; pool->threads++) {
        worker *next = &pool->worker[pool->threads];
        next->pool = pool;
        next->index = pool->threads;
        if (pthread_create(&next->thread, NULL, serve, next) != 0) {
            workers_free(pool);
            return NULL;
        }
    }
    return pool;
}

void workers_run(workers *pool, workers_task task, void *context, uint32_t rows)
{
    pthread_mutex_lock(&pool->lock);
    pool->task = task;
    pool->context = context;
    pool->next = 0;
    pool->rows = rows;
    pthread_cond_broadcast(&pool->wanted);
    while (pool->busy > 0 || pool->next < pool->rows) pthread_cond_wait(&pool->done, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}

void workers_free(workers *pool)
{
    if (pool == NULL) return;
    pthread_mutex_lock(&pool->lock);
    pool->ending = 1;
    pthread_cond_broadcast(&pool->wanted);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->threads; i++) pthread_join(pool->worker[i].thread, NULL);
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->wanted);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}
