/* Patches to train on, cut out of a frame. Only the Python extension has it: libstdo does not. */
#ifndef STDO_CUT_PATCHES_H
#define STDO_CUT_PATCHES_H

#include <stdo/stdo.h>

/* ---- cffi reads from here: no macros and no includes ---- */

/* The luma of an lr frame and of its source, which may be smaller than lr size times scale: then its edge counts for
   what is missing. Strides as in stdo_image. */
typedef struct stdo_pair {
    const uint8_t *lr, *hr;
    ptrdiff_t lr_stride, hr_stride;
    uint32_t lr_width, lr_height, hr_width, hr_height;
    uint32_t scale;             /* 1..4 */
} stdo_pair;

/* Patches of `side` lr pixels, 1..128, whose top left corners are x, y, wholly inside the lr frame. Each goes to slot
   `place` of the outputs. */
typedef struct stdo_corners {
    const int64_t *x, *y, *place;
    size_t count;
    uint32_t side, halo;
} stdo_corners;

/* What is written: lr pixels with halo, [slot][side + 2 halo][side + 2 halo], where edges of the frame go on outside;
   what the base lacks of the source in 64ths of a grey level, [slot][side][side][scale * scale], the channels as in
   FORMAT.md; and the mean square of the latter in grey levels, [count]. */
typedef struct stdo_cut {
    uint8_t *lr;
    int16_t *residual;
    double *error;
} stdo_cut;

/* STDO_ERROR_ARGUMENT comes back for what is out of these limits; slots are not checked. */
stdo_status stdo_cut_patches(const stdo_pair *pair, const stdo_corners *corners, const stdo_cut *out);

/* ---- cffi reads to here ---- */

#endif
