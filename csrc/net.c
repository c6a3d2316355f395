/* Runs a net over a rectangle, all layers at once: each row of net pixels that goes in moves one row through every layer
   and out as hr pixels. A layer keeps only the rows that the next one still reads, so nothing leaves the cache between
   the layers, and no row is computed twice. At scale 3/2 the rows that go in are those of the base, made on the way and
   kept until the residual comes that is added to them. */
#include "net.h"

#include "sizes.h"

#include <string.h>

/* Bytes that the rows between layers may take in one strip, where nobody says. On a core with 1 MiB of L2 the default net is
   equally fast from 64 KiB up, and slower below; wide nets and float nets gain up to this size. */
enum { STRIP_BYTES = 384 << 10 };

/* The last rows that went into a layer, in as many slots as its kernel has rows: a new row replaces the oldest. */
typedef struct ring {
    uint8_t *memory;
    size_t row_bytes;
    uint32_t slots;
    uint32_t next;              /* the slot for the next row; in a full ring it holds the oldest */
    uint32_t missing;           /* rows until it is full */
} ring;

void stdo_net_measure(stdo_net *net, const stdo_conv *conv, uint32_t patch, uint64_t strip)
{
    size_t column = 0, products = 0, around = 0;
    net->halo = 0;
    for (uint32_t l = 0; l < net->layers; l++) {
        net->halo += net->layer[l].kernel / 2;
        net->pixel[l] = conv->pixel_bytes(net->layer[l].in);
        column += net->layer[l].kernel * net->pixel[l];
    }
    const uint64_t patches = (strip == 0 ? STRIP_BYTES : strip) / column / patch;
    net->strip = patches == 0 ? 1 : patches < UINT16_MAX ? (uint32_t)patches : UINT16_MAX;
    for (uint32_t l = 0, halo = net->halo; l < net->layers; l++) {
        const stdo_layer *layer = &net->layer[l];
        const size_t more = (size_t)layer->kernel * layer->kernel * layer->in * layer->out;
        halo -= layer->kernel / 2;
        products += more;
        around += 2 * halo * more;
    }
    net->beside = (uint32_t)((around + products / 2) / products);
    net->waste = conv->waste + net->beside;
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

/* ---- The rows of net pixels ---- */

/* The latest rows of the base of each plane at scale 3/2, from column `begin` of the plane on. */
typedef struct window {
    uint8_t *memory;
    size_t row_bytes;
    uint32_t slots;             /* for each plane */
    uint32_t begin, width;
    int64_t next;               /* the row that is made next */
    uint32_t next_slot;         /* where it goes */
} window;

/* Columns that a row needs beside the rectangle: the halo, and what the base reads. */
static uint32_t side_columns(const stdo_net *net) { return max_u32(net->halo, STDO_BASE_MARGIN); }

static window window_of(const stdo_net *net, const stdo_plane *plane, const stdo_rect *rect, uint8_t *memory)
{
    const uint32_t more = side_columns(net), begin = (rect->x0 - min_u32(rect->x0, more)) / 3 * 3;
    const uint32_t end = rect->x1 + min_u32(plane->width - rect->x1, more);
    return (window){.memory = memory, .row_bytes = (size_t)align_up(end - begin, STDO_ALIGNMENT),
                    .slots = net->halo + 1, .begin = begin, .width = end - begin,
                    .next = rect->y0 - min_u32(rect->y0, net->halo)};
}

static uint8_t *window_row(const window *w, uint32_t plane, int64_t y)
{
    const uint32_t back = (uint32_t)(w->next - y), slot = w->next_slot + (w->next_slot < back ? w->slots : 0) - back;
    return w->memory + (plane * w->slots + (size_t)slot) * w->row_bytes;
}

/* Makes the rows up to y; those from y - halo on are there then. */
static void make_rows(window *w, const stdo_kernels *kernels, const stdo_plane *plane, uint32_t inputs, int64_t y,
                      int16_t *v)
{
    while (w->next <= y) {
        for (uint32_t p = 0; p < inputs; p++)
            stdo_row_3_2(kernels, &plane[p], w->begin, (uint32_t)w->next, w->width, v, window_row(w, p, w->next));
        w->next++;
        w->next_slot = w->next_slot + 1 < w->slots ? w->next_slot + 1 : 0;
    }
}

/* The plane of the base as a plane of scale 1, of which only row y is there. */
static stdo_plane base_plane(const window *w, const stdo_plane *plane, uint32_t p, int64_t y)
{
    stdo_plane base = plane[p];
    base.lr = window_row(w, p, y) - w->begin;
    base.lr_stride = 0;
    base.lr_width = base.width;
    base.lr_height = base.height;
    base.full_size = 0;
    return base;
}

size_t stdo_net_room(const stdo_net *net, const stdo_plane *plane, uint32_t planes, uint32_t width)
{
    const uint32_t scale = plane->scale, widest = width + 2 * side_columns(net) + 3;
    const size_t row = (size_t)align_up(widest, STDO_ALIGNMENT), slots = stdo_net_inputs(net) * (net->halo + 1);
    const size_t rows = plane->full_size ? slots * row : 0;
    return rows + lay_out(net, width, NULL, NULL) + planes * scale * residual_stride(scale, width) * sizeof(int16_t);
}

/* ---- The layers ---- */

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

/* Row y of the planes that a net reads with the halo on both sides, as activations. */
static void load_row(const stdo_net *net, const stdo_conv *conv, const stdo_plane *plane, const stdo_rect *rect,
                     int64_t y, uint8_t *row)
{
    const uint32_t inputs = stdo_net_inputs(net);
    const size_t pixel = net->pixel[0];
    const uint32_t halo = net->halo, width = plane[0].width;
    const uint32_t begin = rect->x0 > halo ? rect->x0 - halo : 0;
    const uint32_t end = width - rect->x1 > halo ? rect->x1 + halo : width;
    const uint8_t *lr[STDO_MAX_PLANES];
    for (uint32_t p = 0; p < inputs; p++) lr[p] = stdo_lr_row(&plane[p], y) + begin;

    const size_t missing_left = halo - (rect->x0 - begin), missing_right = halo - (end - rect->x1);
    uint8_t *inside = row + missing_left * pixel, *after = inside + (end - begin) * pixel;
    conv->load(lr, inputs, end - begin, inside);
    for (size_t i = 0; i < missing_left; i++) memcpy(row + i * pixel, inside, pixel);
    for (size_t i = 0; i < missing_right; i++) memcpy(after + i * pixel, after - pixel, pixel);
}

/* The columns of a region's next run of patches from x on, whose first cell `*cell` is; 0 if there is none. */
static int next_run(const stdo_region *region, const uint8_t **cell, stdo_rect *run)
{
    const stdo_rect *r = &region->rect;
    uint32_t x = run->x1;
    for (; x < r->x1 && **cell != STDO_TAKEN; x += region->side) ++*cell;
    run->x0 = x;
    for (; x < r->x1 && **cell == STDO_TAKEN; x += region->side) ++*cell;
    run->x1 = min_u32(x, r->x1);
    return run->x0 < run->x1;
}

void stdo_net_run(const stdo_net *net, const stdo_kernels *kernels, const stdo_conv *conv, const stdo_plane *plane,
                  uint32_t planes, const stdo_region *region, int16_t *v, uint8_t *memory)
{
    ring rings[STDO_MAX_LAYERS];
    const stdo_rect *rect = &region->rect;
    const uint8_t *cells = region->todo;
    uint32_t row_end = rect->y0 + region->side; /* of the patches whose cells these are */
    const uint32_t width = rect->x1 - rect->x0, scale = plane[0].scale, last_row = plane[0].height - 1;
    const uint32_t inputs = stdo_net_inputs(net);
    const int full_size = plane[0].full_size;
    window base = {.memory = memory};
    if (full_size) {
        base = window_of(net, &plane[0], rect, memory);
        memory += inputs * base.slots * base.row_bytes;
    }
    int16_t *residual = (int16_t *)(void *)(memory + lay_out(net, width, memory, rings));
    const size_t stride = residual_stride(scale, width);

    int64_t net_y = (int64_t)rect->y0 - net->halo;
    for (uint32_t y = rect->y0; y < rect->y1; net_y++) {
        stdo_plane read[STDO_MAX_PLANES];
        if (full_size) {
            const int64_t there = net_y < 0 ? 0 : net_y > last_row ? last_row : net_y;
            make_rows(&base, kernels, plane, inputs, there, v);
            for (uint32_t p = 0; p < inputs; p++) read[p] = base_plane(&base, plane, p, there);
        }
        load_row(net, conv, full_size ? read : plane, rect, net_y, put_row(&rings[0]));
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
            if (cells != NULL && y == row_end) {
                cells += region->columns;
                row_end += region->side;
            }
            stdo_plane under[STDO_MAX_PLANES];
            for (uint32_t p = 0; p < planes; p++) under[p] = full_size ? base_plane(&base, plane, p, y) : plane[p];
            stdo_rect run = {rect->x0, y, cells == NULL ? rect->x1 : rect->x0, y + 1};
            for (const uint8_t *cell = cells; cells == NULL || next_run(region, &cell, &run);) {
                const int16_t *from = residual + (run.x0 - rect->x0) * scale;
                for (uint32_t p = 0; p < planes; p++)
                    stdo_base_row(kernels, &under[p], &run, y, from + p * scale * stride, stride, v);
                if (cells == NULL) break;
            }
            y++;
        }
    }
}
