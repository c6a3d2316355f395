/* Whole nets: a frame in rectangles by one table against the whole frame by the plain one. */
#include "check.h"
#include "net.h"

#include <string.h>

/* Nets whose rows meet every kind of layer in real surroundings: halos past all four edges, rows that slide. */
static stdo_net random_net(number kind, const stdo_conv *conv, uint32_t planes, uint32_t scale, stdo_layer *layer)
{
    stdo_net net = {.layers = 1 + random_below(4), .layer = layer};
    uint32_t in = planes;
    if (random_below(8) == 0) net.layers = STDO_MAX_LAYERS;
    for (uint32_t l = 0; l < net.layers; l++) {
        const int is_last = l + 1 == net.layers;
        const uint32_t channels = 1 + random_below(kind == INT8 && net.layers < 4 ? 36 : 6);
        const uint32_t kernel = 1 + 2 * random_below(l == 0 ? 5 : net.layers == STDO_MAX_LAYERS ? 2 : 3);
        layer[l] = natural_layer(kind, kernel, in, is_last ? planes * scale * scale : channels, is_last);
        in = layer[l].out;
    }
    stdo_net_measure(&net, conv, 8, 0);
    return net;
}

static void run_region(const stdo_net *net, const stdo_kernels *kernels, const stdo_conv *conv, const stdo_plane *plane,
                       uint32_t planes, const stdo_region *region)
{
    const size_t mark = blocks_in_use();
    const uint32_t width = region->rect.x1 - region->rect.x0;
    uint8_t *memory = block("net memory", stdo_net_room(net, plane, planes, width), STDO_ALIGNMENT);
    const uint32_t widest = plane->full_size ? plane->width : width;
    int16_t *v = block("v", stdo_base_room(widest) * sizeof(int16_t), STDO_ALIGNMENT);
    stdo_net_run(net, kernels, conv, plane, planes, region, v, memory);
    release_blocks(mark);
}

static void run_rect(const stdo_net *net, const stdo_kernels *kernels, const stdo_conv *conv, const stdo_plane *plane,
                     uint32_t planes, const stdo_rect *rect)
{
    const stdo_region all = {.rect = *rect};
    run_region(net, kernels, conv, plane, planes, &all);
}

/* Whether a net pixel belongs to a patch that is taken. */
static int is_taken(const stdo_region *region, uint32_t x, uint32_t y)
{
    const stdo_rect *r = &region->rect;
    const size_t row = (y - r->y0) / region->side, column = (x - r->x0) / region->side;
    return region->todo[row * region->columns + column] == STDO_TAKEN;
}

/* The first plane's hr pixels of a rectangle, into `copy`; or if `check`, those of other patches must still be these. */
static void copy_hr(const stdo_plane *plane, const stdo_region *region, int check, uint8_t *copy)
{
    const stdo_rect *r = &region->rect;
    const uint32_t x1 = r->x1 * plane->scale < plane->hr_width ? r->x1 * plane->scale : plane->hr_width;
    const uint32_t y1 = r->y1 * plane->scale < plane->hr_height ? r->y1 * plane->scale : plane->hr_height;
    for (uint32_t y = r->y0 * plane->scale; y < y1; y++)
        for (uint32_t x = r->x0 * plane->scale; x < x1; x++, copy++) {
            const uint8_t pixel = plane->hr[(ptrdiff_t)y * plane->hr_stride + (ptrdiff_t)x];
            if (!check)
                *copy = pixel;
            else if (*copy != pixel && !is_taken(region, x / plane->scale, y / plane->scale))
                fail("hr pixel %u, %u of a patch that was not taken: was %d, is %d", x, y, *copy, pixel);
        }
}

/* Some patches of a rectangle, then the others. */
static void run_patches(const stdo_net *net, const stdo_kernels *kernels, const stdo_conv *conv, const stdo_plane *plane,
                        uint32_t planes, const stdo_rect *rect)
{
    const size_t mark = blocks_in_use();
    const uint32_t width = rect->x1 - rect->x0, height = rect->y1 - rect->y0, side = 1 + random_below(9);
    const size_t columns = (width + side - 1) / side + random_below(3), cells = columns * ((height + side - 1) / side);
    uint8_t *todo = block("the work list", cells, 1);
    uint8_t *copy = block("hr pixels", (size_t)width * height * plane->scale * plane->scale, 1);
    const stdo_region region = {.rect = *rect, .todo = todo, .columns = columns, .side = side};
    for (size_t i = 0; i < cells; i++) todo[i] = random_below(2) ? STDO_TAKEN : (uint8_t)random_below(STDO_TAKEN);
    copy_hr(plane, &region, 0, copy);
    run_region(net, kernels, conv, plane, planes, &region);
    copy_hr(plane, &region, 1, copy);
    for (size_t i = 0; i < cells; i++) todo[i] = todo[i] == STDO_TAKEN ? 0 : STDO_TAKEN;
    run_region(net, kernels, conv, plane, planes, &region);
    release_blocks(mark);
}

static void run_tiled(const stdo_net *net, const stdo_kernels *kernels, const stdo_conv *conv, const stdo_plane *plane,
                      uint32_t planes)
{
    stdo_rect r = {0, 0, 0, 0};
    for (; r.y0 < plane->height; r.y0 = r.y1) {
        r.y1 = r.y0 + 1 + random_below(plane->height - r.y0);
        for (r.x0 = 0; r.x0 < plane->width; r.x0 = r.x1) {
            r.x1 = r.x0 + 1 + random_below(plane->width - r.x0);
            if (random_below(2))
                run_rect(net, kernels, conv, plane, planes, &r);
            else
                run_patches(net, kernels, conv, plane, planes, &r);
        }
    }
}

/* A plane with rows `gap` bytes apart, from top to bottom or the other way, in a block of exact size. */
static uint8_t *plane_block(const char *name, uint32_t width, uint32_t height, int guarded, ptrdiff_t *stride)
{
    const size_t step = width + random_below(20);
    uint8_t *bytes = block(name, step * (height - 1) + width, 1);
    for (size_t y = 0; guarded && y + 1 < height; y++) guard(bytes + y * step + width, step - width);
    *stride = (ptrdiff_t)step;
    if (random_below(4) != 0) return bytes;
    *stride = -*stride;
    return bytes + step * (height - 1);
}

static void check_frame(const stdo_kernels *kernels, number kind, int quick)
{
    stdo_kernels plain;
    stdo_kernels_c(&plain);
    for (int i = 0; i < (quick ? 12 : 32); i++) {
        const int full_size = i % 4 == 3; /* scale 3/2 */
        const uint32_t planes = random_below(2) ? 3 : 1, most = kind == INT8 ? 48 : 28;
        const uint32_t scale = full_size ? 1 : 1 + random_below(4), crop = full_size ? 6 : 2 * scale;
        stdo_plane shared = {.lr_width = 8 + random_below(most), .lr_height = 8 + random_below(most / 2), .lr_step = 1,
                             .hr_step = 1, .scale = scale, .full_size = full_size, .left = random_below(2) != 0};
        shared.width = full_size ? (3 * shared.lr_width + 1) / 2 : shared.lr_width;
        shared.height = full_size ? (3 * shared.lr_height + 1) / 2 : shared.lr_height;
        shared.hr_width = shared.width * scale - random_below(crop);
        shared.hr_height = shared.height * scale - random_below(crop);
        stdo_layer layer[2][STDO_MAX_LAYERS];
        stdo_net net[2];
        net[0] = random_net(kind, plain_conv(kind), planes, scale, layer[0]);
        describe("case %d: %u x %u, scale %s%u, planes %u, layers %u, halo %u, first kernel %u", i, shared.lr_width,
                 shared.lr_height, full_size ? "3/2, then " : "", scale, planes, net[0].layers, net[0].halo, layer[0]->kernel);
        net[1] = net[0];
        net[1].layer = memcpy(layer[1], layer[0], sizeof layer[0]);
        stdo_plane plane[2][STDO_MAX_PLANES];
        for (uint32_t p = 0; p < planes; p++) {
            ptrdiff_t stride;
            const uint8_t *lr = plane_block("lr", shared.lr_width, shared.lr_height, 0, &stride);
            for (int t = 0; t < 2; t++) {
                plane[t][p] = shared;
                plane[t][p].lr = lr;
                plane[t][p].lr_stride = stride;
                plane[t][p].hr = plane_block("hr", shared.hr_width, shared.hr_height, 1, &plane[t][p].hr_stride);
            }
        }
        for (int t = 0; t < 2; t++) {
            const stdo_kernels *table = t ? kernels : &plain;
            const stdo_conv *conv = t ? conv_of(table, kind) : plain_conv(kind);
            for (uint32_t l = 0; l < net[t].layers; l++) pack_layer(conv, &layer[t][l]);
            stdo_net_measure(&net[t], conv, 8, 0);
            const stdo_rect whole = {0, 0, shared.width, shared.height};
            if (t == 0)
                run_rect(&net[t], table, conv, plane[t], planes, &whole);
            else
                run_tiled(&net[t], table, conv, plane[t], planes);
        }
        for (uint32_t p = 0; p < planes; p++)
            for (uint32_t y = 0; y < shared.hr_height; y++)
                for (uint32_t x = 0; x < shared.hr_width; x++) {
                    const int expected = plane[0][p].hr[(ptrdiff_t)y * plane[0][p].hr_stride + (ptrdiff_t)x];
                    const int found = plane[1][p].hr[(ptrdiff_t)y * plane[1][p].hr_stride + (ptrdiff_t)x];
                    if (expected != found)
                        fail("plane %u, hr pixel %u, %u: expected %d, found %d", p, x, y, expected, found);
                }
        release_blocks(0);
    }
}

void check_int8_frame(const stdo_kernels *kernels, int quick) { check_frame(kernels, INT8, quick); }
void check_float32_frame(const stdo_kernels *kernels, int quick) { check_frame(kernels, FLOAT32, quick); }
