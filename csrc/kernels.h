/* The inner loops of the upscaler, as a table that each tier fills. kernels_c.c is the specification: every tier gives
   the same bytes.

   A net runs row by row. A row of activations holds pixels of `pixel_bytes(channels)` bytes, channels side by side; or,
   if a tier has `plane_bytes` and a pixel more bytes, planes of so many bytes of each pixel, one after the other. How a
   byte stands for a value is the tier's own affair. One rule for row ends: every row but those of the caller's planes has
   room for STDO_SLACK pixels and STDO_SLACK_BYTES bytes more than its width, so kernels may compute, read and write that
   far past it. In `lr` rows they read, and in `hr` rows they write, exactly the pixels they are asked for. */
#ifndef STDO_KERNELS_H
#define STDO_KERNELS_H

#include <stddef.h>
#include <stdint.h>

enum {
    STDO_MAX_SCALE = 4,
    STDO_MAX_PLANES = 3,
    STDO_MAX_CHANNELS = 64,
    STDO_MAX_KERNEL = 9,
    STDO_MAX_LAST = STDO_MAX_PLANES * STDO_MAX_SCALE * STDO_MAX_SCALE, /* outputs of a last layer */
    STDO_SLACK = 16,            /* pixels */
    STDO_SLACK_BYTES = 64,
    STDO_SLACK_VALUES = 32,     /* the same, in int16 */
    STDO_ALIGNMENT = 64         /* of packed weights and of rows in scratch */
};

/* A layer as the file or the caller gives it, and as its tier has re-laid it. */
typedef struct stdo_layer {
    uint32_t kernel;            /* side of the square kernel */
    uint32_t in, out;           /* channels */
    uint32_t shift;             /* integer nets only, as is multiplier */
    const int32_t *multiplier;  /* [out] */
    const void *bias;           /* [out], int32_t or float */
    const void *weight;         /* [out][row][column][in], int8_t or float */
    const void *packed;         /* what `pack` wrote; aligned to STDO_ALIGNMENT */
} stdo_layer;

/* One row of FORMAT.md's table of taps. */
typedef struct stdo_phase {
    int32_t offset;
    int32_t tap[4];
} stdo_phase;

/* The convolutions of one kind of net. */
typedef struct stdo_conv {
    size_t (*pixel_bytes)(uint32_t channels);
    size_t (*packed_bytes)(const stdo_layer *layer); /* looks at kernel, in and out only */
    void (*pack)(const stdo_layer *layer, void *packed);
    /* `width` lr pixels of `planes` planes become activations. */
    void (*load)(const uint8_t *const lr[], uint32_t planes, size_t width, void *row);
    /* One row of `width` output pixels from layer->kernel input rows, ReLU included. */
    void (*hidden)(const stdo_layer *layer, const void *const rows[], size_t width, void *out);
    /* The residual in 64ths of a row of lr pixels: channel (plane * scale + dy) * scale + dx of pixel x goes to
       residual[(plane * scale + dy) * stride + x * scale + dx]. */
    void (*last)(const stdo_layer *layer, const void *const rows[], size_t width, uint32_t scale, int16_t *residual,
                 size_t stride);
    size_t plane_bytes;         /* 0: pixels lie whole */
    uint32_t waste;             /* columns by which a rectangle more is slower than its own take: its last vectors are not
                                   full, and its rows are calls; where it comes from: docs/kernel.md */
} stdo_conv;

/* Pixels from one plane of a row to the next. */
static inline size_t stdo_plane_pixels(size_t width) { return (width + STDO_SLACK) & ~(size_t)(STDO_SLACK - 1); }

typedef struct stdo_kernels {
    const char *tier;
    stdo_conv int8;
    /* V of FORMAT.md for one hr row, from its four lr rows. */
    void (*base_vertical)(const uint8_t *const lr[4], const stdo_phase *phase, size_t width, int16_t *v);
    /* The first `width` pixels of one hr row: B of FORMAT.md, plus the residual where it is not NULL. `v` begins two lr
       pixels to the left; `phase` has `scale` entries, one row of stdo_phases: tiers rely on its offsets, and
       at scale 1 on its taps. */
    void (*hr_row)(const int16_t *v, const stdo_phase *phase, uint32_t scale, const int16_t *residual, size_t width,
                   uint8_t *hr);
    /* The same at scale 3/2, without residual: two lr pixels give the three pixels of `phase`, an entry of
       stdo_phases_3_2. */
    void (*hr_row_3_2)(const int16_t *v, const stdo_phase phase[3], size_t width, uint8_t *hr);
} stdo_kernels;

/* The tiers of this build's architecture: each overwrites the entries that it does faster. */
void stdo_kernels_c(stdo_kernels *kernels);
void stdo_kernels_avx2(stdo_kernels *kernels);
void stdo_kernels_avxvnni(stdo_kernels *kernels);
void stdo_kernels_avx512vnni(stdo_kernels *kernels);
void stdo_kernels_neon(stdo_kernels *kernels);
void stdo_kernels_neon_dot(stdo_kernels *kernels);
void stdo_kernels_neon_i8mm(stdo_kernels *kernels);

/* What this CPU and its operating system run, as a set of 1 << stdo_tier. */
typedef enum stdo_tier_index {
    STDO_TIER_C, STDO_TIER_AVX2, STDO_TIER_AVXVNNI, STDO_TIER_AVX512VNNI, STDO_TIER_NEON, STDO_TIER_NEON_DOT,
    STDO_TIER_NEON_I8MM, STDO_TIERS
} stdo_tier_index;

const char *stdo_tier_name(stdo_tier_index tier);
uint32_t stdo_cpu_tiers(void);

/* The tiers that `words` names, separated by commas, and always c; all of them for NULL or ""; 0 for an unknown
   word. */
uint32_t stdo_tiers_named(const char *words);

/* Fills the table from the plain kernels up to the best of these tiers that the CPU runs. */
void stdo_kernels_init(stdo_kernels *kernels, uint32_t tiers);

#endif
