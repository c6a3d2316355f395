/* How well each net of a segment serves each patch of a frame. Only the Python extension has it: libstdo does not. */
#ifndef STDO_JUDGE_H
#define STDO_JUDGE_H

#include <stdo/stdo.h>

/* ---- cffi reads from here: no macros and no includes ---- */

/* The luma of an lr frame and of its source, of lr_width x lr_height and hr_width x hr_height, and a plane like the
   latter to work in. Strides as in stdo_image. */
typedef struct stdo_judged {
    uint32_t segment;
    const uint8_t *lr, *truth;
    uint8_t *shown;
    ptrdiff_t lr_stride, truth_stride, shown_stride;
} stdo_judged;

/* Writes the sums of squared luma differences between the source and what is shown, for the patch rows
   row_begin..row_end-1: sums is [1 + nets][rows][columns], first under the base, then under each net. Threads may share
   a frame as they share stdo_upscale_rows; scratch as there. Sidecars of RGB nets are refused. */
stdo_status stdo_judge_rows(const stdo_sidecar *sidecar, const stdo_judged *frame, uint32_t row_begin,
                            uint32_t row_end, void *scratch, uint64_t *sums);

/* ---- cffi reads to here ---- */

#endif
