/* What the encoder and `stdo eval` measure. Only the Python extension has it: libstdo does not. */
#ifndef STDO_SQUARED_ERRORS_H
#define STDO_SQUARED_ERRORS_H

#include <stdo/stdo.h>

/* ---- cffi reads from here: no macros and no includes ---- */

/* Two planes of one size that are compared. Strides as in stdo_image. */
typedef struct stdo_compared {
    const uint8_t *truth, *shown;
    ptrdiff_t truth_stride, shown_stride;
    uint32_t width, height;
} stdo_compared;

/* Patches of side x side pixels; those past the edge of a plane hold less than that, or nothing. */
typedef struct stdo_patch_grid {
    uint32_t side, columns, rows;
} stdo_patch_grid;

/* Writes the sum of squared differences in each patch: sums is [rows][columns]. The grid must cover the planes, or
   STDO_ERROR_ARGUMENT comes back. */
stdo_status stdo_squared_errors(const stdo_compared *planes, const stdo_patch_grid *grid, uint64_t *sums);

/* ---- cffi reads to here ---- */

#endif
