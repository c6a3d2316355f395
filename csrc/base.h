/* Planes, rectangles of lr pixels, and their base. */
#ifndef STDO_BASE_H
#define STDO_BASE_H

#include "kernels.h"

enum { STDO_BASE_MARGIN = 2 }; /* lr pixels that the base reads on each side */

/* One plane of the lr frame, and the same plane of the hr frame that is written. */
typedef struct stdo_plane {
    const uint8_t *lr;
    uint8_t *hr;
    ptrdiff_t lr_stride, hr_stride;
    uint32_t lr_width, lr_height, hr_width, hr_height;
    uint32_t scale;
    int left;                   /* 1: chroma whose samples lie at the left */
} stdo_plane;

/* A rectangle of lr pixels: x0 <= x < x1, y0 <= y < y1. */
typedef struct stdo_rect {
    uint32_t x0, y0, x1, y1;
} stdo_rect;

/* FORMAT.md's table of taps: [centre, left][scale - 1][r]. */
extern const stdo_phase stdo_phases[2][STDO_MAX_SCALE][STDO_MAX_SCALE];

/* Row y of a plane, or the nearest row where y lies outside. */
const uint8_t *stdo_lr_row(const stdo_plane *plane, int64_t y);

/* int16 values that `v` below must have room for, for rectangles `width` wide. */
size_t stdo_base_room(uint32_t width);

/* Writes the hr rows of lr row y, as many as the scale says, for the columns of a rectangle: the base, plus `residual`
   where it is not NULL, whose rows lie `stride` apart. */
void stdo_base_row(const stdo_kernels *kernels, const stdo_plane *plane, const stdo_rect *rect, uint32_t y,
                   const int16_t *residual, size_t stride, int16_t *v);

#endif
