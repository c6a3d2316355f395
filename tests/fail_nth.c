/* Linked into stdo-y4m with -Wl,--wrap=malloc and so on: the allocation whose number stands in FAIL_AT fails. No thread
   begins whose number, from 0, is a bit of FAIL_THREADS; each writes a line to stderr. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*run)(void *), void *argument);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*run)(void *), void *argument);

/* All are made by one thread, before the others start. */
static int fails(void)
{
    static long count;
    const char *at = getenv("FAIL_AT");
    return at != NULL && ++count == atol(at);
}

void *__wrap_malloc(size_t size) { return fails() ? NULL : __real_malloc(size); }
void *__wrap_calloc(size_t count, size_t size) { return fails() ? NULL : __real_calloc(count, size); }
void *__wrap_realloc(void *memory, size_t size) { return fails() ? NULL : __real_realloc(memory, size); }

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*run)(void *), void *argument)
{
    static unsigned number;
    const char *refused = getenv("FAIL_THREADS");
    const int refuse = refused != NULL && strtoul(refused, NULL, 10) >> number & 1;
    fprintf(stderr, "thread %u %s\n", number++, refuse ? "refused" : "begins");
    return refuse ? 11 : __real_pthread_create(thread, how, run, argument);
}
