/* Runs a net over a rectangle, all layers at once: each row of lr pixels that goes in moves one row through every layer
   and out as hr pixels. A layer keeps only the rows that the next one still reads, so nothing leaves the cache between
   the layers, and no row is computed twice. */
#include "net.h"

#include "sizes.h"

#include <string.h>

/* Bytes that the rows between layers may take in one strip. On a core with 1 MiB of L2 the default net is equally fast
   from 64 KiB up, and slower below; wide nets and float nets gain up to this size. */
enum { STRIP_BYTES = 384 << 10 };

/* The last rows that went into a layer, in as many slots as its kernel has rows: a new row replaces the oldest. */
typedef struct ring {
    uint8_t *memory;
    size_t row_bytes;
    uint32_t slots;
    uint32_t next;              /* the slot for the next row; in a full ring it holds the oldest */
    uint32_t missing;           /* rows until it is full */
} ring;

void stdo_net_measure(stdo_net *net, const stdo_conv *conv, uint32_t patch)
{
    size_t column = 0;
    net->halo = 0;
    for (uint32_t l = 0; l < net->layers; l++) {
        net->halo += net->layer[l].kernel / 2;
        net->pixel[l] = conv->pixel_bytes(net->layer[l].in);
        column += net->layer[l].kernel * net->pixel[l];
    }
    net->strip = max_u32((uint32_t)(STRIP_BYTES / column / patch), 1);
}

static size_t residual_stride(uint32_t scale, uint32_t width)
{
    return (width + STDO_SLACK) * scale + STDO_SLACK_VALUES;
}

/* Lays the rings into `memory`; NULL only counts. Returns the bytes they take. */
static size_t lay_out(const stdo_net *net, uint32_t width, uint8_t *memory, ring *rings)
{
    size_t used = 0;
    uint32_t in_width = width + 2 * net->halo;
    for (uint32_t l = 0; l < net->layers; l++) {
        const uint32_t kernel = net->layer[l].kernel;
        const size_t bytes = (in_width + STDO_SLACK) * net->pixel[l] + STDO_SLACK_BYTES;
        const size_t row_bytes = (size_t)align_up(bytes, STDO_ALIGNMENT);
        if (memory != NULL) rings[l] = (ring){memory + used, row_bytes, kernel, 0, kernel};
        used += kernel * row_bytes;
        in_width -= kernel - 1;
    }
    return used;
}

size_t stdo_net_room(const stdo_net *net, uint32_t planes, uint32_t scale, uint32_t width)
{
    return lay_out(net, width, NULL, NULL) + planes * scale * residual_stride(scale, width) * sizeof(int16_t);
}

/* Gives the slot for the next row, and counts it as filled. */
static uint8_t *put_row(ring *r)
{
    uint8_t *row = r->memory + r->next * r->row_bytes;
    r->next = r->next + 1 < r->slots ? r->next + 1 : 0;
    r->missing -= r->missing > 0;
    return row;
}

/* The rows of a full ring, the oldest first. */
static void list_rows(const ring *r, const void *rows[STDO_MAX_KERNEL])
{
    for (uint32_t i = 0, slot = r->next; i < r->slots; i++, slot = slot + 1 < r->slots ? slot + 1 : 0)
        rows[i] = r->memory + slot * r->row_bytes;
}

/* Row y of the lr planes with the halo on both sides, as activations. */
static void load_row(const stdo_net *net, const stdo_conv *conv, const stdo_plane *plane, uint32_t planes,
                     const stdo_rect *rect, int64_t y, uint8_t *row)
{
    const size_t pixel = net->pixel[0];
    const uint32_t halo = net->halo, width = plane[0].lr_width;
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
                  uint32_t planes, const stdo_rect *rect, int16_t *v, uint8_t *memory)
{
    ring rings[STDO_MAX_LAYERS];
    const uint32_t width = rect->x1 - rect->x0, scale = plane[0].scale;
    int16_t *residual = (int16_t *)(void *)(memory + lay_out(net, width, memory, rings));
    const size_t stride = residual_stride(scale, width);

    int64_t lr_y = (int64_t)rect->y0 - net->halo;
    for (uint32_t y = rect->y0; y < rect->y1; lr_y++) {
        load_row(net, conv, plane, planes, rect, lr_y, put_row(&rings[0]));
        uint32_t out_width = width + 2 * net->halo;
        for (uint32_t l = 0; l < net->layers && rings[l].missing == 0; l++) {
            const stdo_layer *layer = &net->layer[l];
            const void *rows[STDO_MAX_KERNEL];
            list_rows(&rings[l], rows);
            out_width -= layer->kernel - 1;
            if (l + 1 < net->layers) {
                conv->hidden(layer, rows, out_width, put_row(&rings[l + 1]));
                continue;
            }
            conv->last(layer, rows, width, scale, residual, stride);
            for (uint32_t p = 0; p < planes; p++)
                stdo_base_row(kernels, &plane[p], rect, y, residual + p * scale * stride, stride, v);
            y++;
        }
    }
}
