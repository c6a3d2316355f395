/* Memory of a sidecar: by the caller's functions, and no more than the caller allows. */
#include "sidecar.h"

#include <stdlib.h>
#include <string.h>

void *stdo_take(stdo_sidecar *sidecar, uint64_t bytes)
{
    const stdo_options *o = &sidecar->options;
    if (bytes > SIZE_MAX || bytes > o->most - sidecar->used) return NULL;
    void *memory = o->take != NULL ? o->take(o->context, (size_t)bytes) : malloc((size_t)bytes);
    if (memory == NULL) return NULL;
    sidecar->used += bytes;
    return memset(memory, 0, (size_t)bytes);
}

void stdo_give(stdo_sidecar *sidecar, void *memory, uint64_t bytes)
{
    if (memory == NULL) return;
    sidecar->used -= bytes;
    if (sidecar->options.take != NULL) sidecar->options.give(sidecar->options.context, memory);
    else free(memory);
}
