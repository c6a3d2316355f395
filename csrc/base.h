/* Planes, rectangles, and their base. */
#ifndef STDO_BASE_H
#define STDO_BASE_H

#include "kernels.h"

enum { STDO_BASE_MARGIN = 2 }; /* lr pixels that the base reads on each side */

/* One plane of the lr frame, and the same plane of the hr frame that is written. Rectangles and nets count its net
   pixels: those of the lr plane, or, at scale 3/2, those of its base, which has full size. */
typedef struct stdo_plane {
    const uint8_t *lr;
    uint8_t *hr;
    ptrdiff_t lr_stride, hr_stride;
    uint32_t lr_step, hr_step;  /* bytes from sample to sample; 2 where U and V lie in turns */
    uint32_t hr_x, hr_y;        /* the sample that `hr` points to */
    uint32_t lr_width, lr_height, hr_width, hr_height;
    uint32_t width, height;     /* in net pixels */
    uint32_t scale;             /* hr pixels per net pixel */
    int full_size;              /* 1: scale 3/2 */
    int left;                   /* 1: chroma whose samples lie at the left */
} stdo_plane;

/* A rectangle of net pixels: x0 <= x < x1, y0 <= y < y1. */
typedef struct stdo_rect {
    uint32_t x0, y0, x1, y1;
} stdo_rect;

/* FORMAT.md's table of taps: [centre, left][scale - 1][r]. */
extern const stdo_phase stdo_phases[2][STDO_MAX_SCALE][STDO_MAX_SCALE];

/* The same for scale 3/2, where two lr pixels give three: [centre, left][r]. */
extern const stdo_phase stdo_phases_3_2[2][3];

/* Row y of an lr plane, or the nearest row where y lies outside. */
const uint8_t *stdo_lr_row(const stdo_plane *plane, int64_t y);

/* int16 values that `v` below must have room for, for rows of `width` lr or net pixels, and for an lr plane whose
   samples lie in turns with another's. */
size_t stdo_base_room(uint32_t width);
size_t stdo_base_room_in_turns(uint32_t lr_width);

/* Writes `width` pixels, from column x on, a multiple of 3, of row y of the base of a plane at scale 3/2. */
void stdo_row_3_2(const stdo_kernels *kernels, const stdo_plane *plane, uint32_t x, uint32_t y, uint32_t width,
                  int16_t *v, uint8_t *out);

/* Writes the hr rows of row y, as many as the scale says, for the columns of a rectangle: the base, plus `residual`
   where it is not NULL, whose rows lie `stride` apart. At scale 3/2 without residual. hr_step is 1. */
void stdo_base_row(const stdo_kernels *kernels, const stdo_plane *plane, const stdo_rect *rect, uint32_t y,
                   const int16_t *residual, size_t stride, int16_t *v);

#endif
