/* Runs a net over a rectangle, all layers at once: each row of lr pixels that goes in moves one row through every layer
   and out as hr pixels. A layer keeps only the rows that the next one still reads, so nothing leaves the cache between
   the layers, and no row is computed twice. */
#include "net.h"

#include <string.h>

/* What the rows between layers may take, for one strip. Measured on a core with 1 MiB of L2: from 64 KiB on alike for the
   default net, less is slower; wide nets and float nets gain up to here. */
enum { STRIP_BYTES = 384 << 10 };

/* The last rows that went into a layer: row i lies at slot i % kernel. */
typedef struct ring {
    uint8_t *memory;
    size_t row_bytes;
    uint32_t rows;              /* that have gone in so far */
} ring;

static size_t aligned(size_t bytes) { return (bytes + STDO_ALIGNMENT - 1) / STDO_ALIGNMENT * STDO_ALIGNMENT; }

void stdo_net_measure(stdo_net *net, const stdo_conv *conv, uint32_t patch)
{
    size_t column = 0;
    net->halo = 0;
    for (uint32_t l = 0; l < net->layers; l++) {
        net->halo += net->layer[l].kernel / 2;
        column += net->layer[l].kernel * conv->pixel_bytes(net->layer[l].in);
    }
    const uint32_t patches = (uint32_t)(STRIP_BYTES / column / patch);
    net->strip = (patches > 0 ? patches : 1) * patch;
}

static size_t row_bytes(const stdo_layer *layer, const stdo_conv *conv, uint32_t in_width)
{
    return aligned((in_width + STDO_SLACK) * conv->pixel_bytes(layer->in) + STDO_SLACK_BYTES);
}

static size_t residual_stride(uint32_t scale, uint32_t width)
{
    return (width + STDO_SLACK) * scale + STDO_SLACK_BYTES / sizeof(int16_t);
}

/* Lays the rings into `memory`; NULL only counts. Returns the bytes they take. */
static size_t lay_out(const stdo_net *net, const stdo_conv *conv, uint32_t width, uint8_t *memory, ring *rings)
{
    size_t used = 0;
    uint32_t in_width = width + 2 * net->halo;
    for (uint32_t l = 0; l < net->layers; l++) {
        const stdo_layer *layer = &net->layer[l];
        const size_t bytes = row_bytes(layer, conv, in_width);
        if (memory != NULL) rings[l] = (ring){memory + used, bytes, 0};
        used += layer->kernel * bytes;
        in_width -= layer->kernel - 1;
    }
    return used;
}

size_t stdo_net_room(const stdo_net *net, const stdo_conv *conv, uint32_t planes, uint32_t scale, uint32_t width)
{
    return lay_out(net, conv, width, NULL, NULL) + planes * scale * residual_stride(scale, width) * sizeof(int16_t);
}

/* Row y of the lr planes with the halo on both sides, as activations. */
static void load_row(const stdo_conv *conv, const stdo_plane *plane, uint32_t planes, const stdo_rect *rect,
                     uint32_t halo, int64_t y, uint8_t *row)
{
    const size_t pixel = conv->pixel_bytes(planes);
    const uint32_t width = plane[0].lr_width;
    const uint32_t begin = rect->x0 > halo ? rect->x0 - halo : 0;
    const uint32_t end = width - rect->x1 > halo ? rect->x1 + halo : width;
    const uint8_t *lr[STDO_MAX_PLANES];
    for (uint32_t p = 0; p < planes; p++) lr[p] = stdo_lr_row(&plane[p], y) + begin;

    const size_t missing_left = halo - (rect->x0 - begin), missing_right = halo - (end - rect->x1);
    uint8_t *inside = row + missing_left * pixel, *after = inside + (end - begin) * pixel;
    conv->load(lr, planes, end - begin, inside);
    for (size_t i = 0; i < missing_left; i++) memcpy(row + i * pixel, inside, pixel);
    for (size_t i = 0; i < missing_right; i++) memcpy(after + i * pixel, after - pixel, pixel);
}

void stdo_net_run(const stdo_net *net, const stdo_kernels *kernels, const stdo_conv *conv, const stdo_plane *plane,
                  uint32_t planes, const stdo_rect *rect, uint32_t scale, int16_t *v, uint8_t *memory)
{
    ring rings[STDO_MAX_LAYERS];
    const uint32_t width = rect->x1 - rect->x0;
    int16_t *residual = (int16_t *)(void *)(memory + lay_out(net, conv, width, memory, rings));
    const size_t stride = residual_stride(scale, width);

    uint32_t y = rect->y0;
    while (y < rect->y1) {
        load_row(conv, plane, planes, rect, net->halo, (int64_t)rect->y0 - net->halo + rings[0].rows,
                 rings[0].memory + rings[0].rows % net->layer[0].kernel * rings[0].row_bytes);
        rings[0].rows++;
        uint32_t out_width = width + 2 * net->halo;
        for (uint32_t l = 0; l < net->layers && rings[l].rows >= net->layer[l].kernel; l++) {
            const stdo_layer *layer = &net->layer[l];
            const void *rows[STDO_MAX_KERNEL];
            for (uint32_t j = 0; j < layer->kernel; j++)
                rows[j] = rings[l].memory + (rings[l].rows + j) % layer->kernel * rings[l].row_bytes;
            out_width -= layer->kernel - 1;
            if (l + 1 < net->layers) {
                ring *next = &rings[l + 1];
                conv->hidden(layer, rows, out_width, next->memory + next->rows % layer[1].kernel * next->row_bytes);
                next->rows++;
            } else {
                conv->last(layer, rows, width, scale, residual, stride);
                for (uint32_t p = 0; p < planes; p++)
                    stdo_base_row(kernels, &plane[p], rect, y, scale, 0, residual + p * scale * stride, stride, v);
                y++;
            }
        }
    }
}
