/* stdo: upscales a low-resolution video with the small nets of its sidecar (FORMAT.md).

   In order: stdo_open_memory, stdo_map_new and one block of stdo_scratch_size bytes per thread; then for each frame
   stdo_map_read and stdo_upscale_rows; at the end stdo_map_free and stdo_close.

   Only stdo_open_memory, stdo_open_float and stdo_map_new allocate. The library has no globals, prints nothing, opens
   no files, starts no threads, and gives the same bytes on every machine. Pointers must not be NULL except where it
   says so: a NULL is STDO_ERROR_ARGUMENT in every function that returns a status. Any threads may call any functions at
   the same time, but for two calls on the same stdo_map, and for overlapping rows of the same hr frame. */
#ifndef STDO_H
#define STDO_H

#include <stddef.h>
#include <stdint.h>

#define STDO_VERSION "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__) /* these alone leave a shared library that is built with -fvisibility=hidden */
#pragma GCC visibility push(default)
#endif

#include "stdo_cdef.h"

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif

#endif
