/* Fails the n-th allocation of a player, for n = 1, 2, ... until all succeed. Linked with -Wl,--wrap=malloc and so on, so that
   every allocation of the library is counted here. Each failure must come back as STDO_ERROR_MEMORY with nothing left
   allocated. Arguments: sidecars. Prints one line a file. */
#include "float/float_net.h"

#include <stdio.h>
#include <stdlib.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void __wrap_free(void *memory);

static long until_failure = -1, living;

static int fails(void) { return until_failure > 0 && --until_failure == 0; }

void *__wrap_malloc(size_t size)
{
    void *memory = fails() ? NULL : __real_malloc(size);
    living += memory != NULL;
    return memory;
}

void *__wrap_calloc(size_t count, size_t size)
{
    void *memory = fails() ? NULL : __real_calloc(count, size);
    living += memory != NULL;
    return memory;
}

void *__wrap_realloc(void *memory, size_t size)
{
    if (fails()) return NULL;
    living += memory == NULL;
    return __real_realloc(memory, size);
}

void __wrap_free(void *memory)
{
    living -= memory != NULL;
    __real_free(memory);
}

/* Opens a file of bytes and its map, all or nothing, and closes them; the first status that is not STDO_OK. */
static stdo_status open_and_close(const uint8_t *data, size_t size)
{
    stdo_sidecar *sidecar = NULL;
    stdo_map *map = NULL;
    stdo_status status = stdo_open_memory(data, size, NULL, &sidecar);
    if (status == STDO_OK) status = stdo_map_new(sidecar, &map);
    stdo_map_free(map);
    stdo_close(sidecar);
    return status;
}

static stdo_status open_floats(void)
{
    static const float weight[4 * 9], bias[4];
    const stdo_float_layer layer = {3, 4, weight, bias};
    stdo_sidecar *sidecar = NULL;
    const stdo_float_net net = {STDO_COLOUR_YUV420, 2, 16, 32, 32, 1, &layer};
    const stdo_status status = stdo_open_float(&net, NULL, &sidecar);
    stdo_close(sidecar);
    return status;
}

int main(int count, char **paths)
{
    static uint8_t data[1 << 20];
    for (int i = 0; i < count; i++) {
        FILE *file = i > 0 ? fopen(paths[i], "rb") : NULL;
        const size_t size = file != NULL ? fread(data, 1, sizeof data, file) : 0;
        if (file != NULL) fclose(file);
        long failures = 0;
        for (long n = 1;; n++) {
            const long before = living;
            until_failure = n;
            const stdo_status status = i > 0 ? open_and_close(data, size) : open_floats();
            const int failed = until_failure == 0;
            until_failure = -1;
            if (living != before || (failed && status != STDO_ERROR_MEMORY) || (!failed && status != STDO_OK)) {
                printf("%s: allocation %ld: %s, %ld blocks left\n", i > 0 ? paths[i] : "floats", n,
                       stdo_status_string(status), living - before);
                return 1;
            }
            if (!failed) break;
            failures++;
        }
        printf("%s %ld\n", i > 0 ? paths[i] : "floats", failures);
    }
    return 0;
}
