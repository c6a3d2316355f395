/* One call that upscales rows of a frame, and the pixels of its patches. */
#ifndef STDO_PATCHES_H
#define STDO_PATCHES_H

#include "sidecar.h"

enum { STDO_DONE = 255 }; /* in the work list: labels are 0..63 */

/* One call: what it was given, and the parts of its scratch. */
typedef struct stdo_job {
    const stdo_sidecar *sidecar;
    const stdo_segment *segment;
    const stdo_previous *previous; /* NULL if nothing can be copied from it */
    stdo_statistics *done;
    uint8_t *ages;              /* may be NULL */
    uint32_t hr_age;
    stdo_plane plane[4];        /* Y, U, V, and the mean luma of chroma's samples */
    uint32_t row_begin, row_end;
    uint8_t *todo;              /* [row_end - row_begin][columns] labels, or STDO_DONE */
    int16_t *v;
    uint8_t *turns;             /* hr rows of U and V, before they lie in turns */
    uint8_t *net_memory;
    uint8_t *read;              /* the planes of lr chroma's size that a net for chroma reads: U and V, where they lie in
                                   turns, and before them the samples of plane[3] */
} stdo_job;

static inline void stdo_grow_older(const stdo_job *j, size_t index)
{
    if (j->ages != NULL && j->ages[index] < UINT8_MAX) j->ages[index]++;
}

static inline void stdo_grow_new(const stdo_job *j, size_t index)
{
    if (j->ages != NULL) j->ages[index] = 0;
}

/* Whether hr has held a patch that is unchanged now since before it was last written. */
static inline int stdo_holds(const stdo_job *j, size_t index)
{
    return j->hr_age > 0 && j->ages[index] >= j->hr_age;
}

/* The part of a plane that belongs to the patches of some columns and one row. A patch of odd side may end within a
   chroma sample: rounding down at both ends gives each sample to exactly one patch. */
stdo_rect stdo_patch_rect(const stdo_info *info, const stdo_plane *plane, int is_chroma, uint32_t column,
                          uint32_t columns, uint32_t row);

/* The lr pixels that a rectangle of a plane comes from, under a net of this halo. */
stdo_rect stdo_lr_rect(const stdo_plane *plane, const stdo_rect *r, uint32_t halo);

/* Whether the lr pixels of plane `index` are in a rectangle those of the previous frame. */
int stdo_is_same(const stdo_plane *plane, const stdo_previous *previous, int index, const stdo_rect *lr);

/* Copies a rectangle from the previous hr frame. Where samples lie in turns, those of both planes: `plane` is that of
   the first. */
void stdo_copy_hr(const stdo_plane *plane, const stdo_previous *previous, int index, const stdo_rect *r);

/* Marks as taken patches with the label of the upper left one: first as wide as possible, but for a net, then as high as
   possible. For a net and luma others may lie between them, where computing these as well costs less than rectangles
   apart. Counts the pixels of luma, or of chroma. stdo_drop_region takes the patches off the list. */
stdo_region stdo_take_region(const stdo_job *j, const stdo_net *net, int is_chroma, uint32_t column, uint32_t row);
void stdo_drop_region(const stdo_job *j, const stdo_region *region);

/* ---- chroma.c ---- */

/* U and V of the rows of a call, by the segment's net for chroma or by the base. Luma comes before. */
void stdo_upscale_chroma(const stdo_job *j);

#endif
