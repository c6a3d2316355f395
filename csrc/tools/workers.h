/* Threads that share out the rows of one frame after the other. */
#ifndef STDO_TOOLS_WORKERS_H
#define STDO_TOOLS_WORKERS_H

#include <stdint.h>

typedef struct workers workers;

/* Does rows begin..end-1; `worker` is 0..threads-1, and no two calls have the same one at the same time. */
typedef void (*workers_task)(void *context, unsigned worker, uint32_t begin, uint32_t end);

/* Starts 1..WORKERS_MOST threads; NULL where they cannot be had. The caller ends them with workers_free. */
enum { WORKERS_MOST = 256 };
workers *workers_new(unsigned threads);

/* Has all rows 0..rows-1 done, each once, and returns when they are. A thread takes rows when it is free: half its
   share of what is left, so a slow core takes few and nobody waits for it long. */
void workers_run(workers *pool, workers_task task, void *context, uint32_t rows);

/* NULL is allowed. */
void workers_free(workers *pool);

#endif
