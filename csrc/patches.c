/* The pixels of patches: where they lie, whether they changed since the previous frame, and rectangles of them. */
#include "patches.h"

#include "sizes.h"

#include <string.h>

stdo_rect stdo_patch_rect(const stdo_info *info, const stdo_plane *plane, int is_chroma, uint32_t column,
                          uint32_t columns, uint32_t row)
{
    const uint32_t halved = is_chroma ? 1 : 0, end = column + columns;
    const uint32_t side = net_side(info);
    const stdo_rect r = {column * side >> halved, row * side >> halved,
                         end == info->columns ? plane->width : end * side >> halved,
                         row + 1 == info->rows ? plane->height : (row + 1) * side >> halved};
    return r;
}

/* The lr pixels that the net pixels begin..end-1 of a row or column come from, `halo` of them read beside. */
static void lr_extent(const stdo_plane *plane, uint32_t lr_size, uint32_t halo, uint32_t *begin, uint32_t *end)
{
    if (plane->full_size) {
        *begin = (*begin - min_u32(*begin, halo)) / 3 * 2;
        *end = (*end + halo + 2) / 3 * 2;
        halo = 0;
    }
    const uint32_t margin = max_u32(halo, STDO_BASE_MARGIN);
    *begin -= min_u32(*begin, margin);
    *end = min_u32(*end + margin, lr_size);
}

stdo_rect stdo_lr_rect(const stdo_plane *plane, const stdo_rect *r, uint32_t halo)
{
    stdo_rect lr = *r;
    lr_extent(plane, plane->lr_width, halo, &lr.x0, &lr.x1);
    lr_extent(plane, plane->lr_height, halo, &lr.y0, &lr.y1);
    return lr;
}

int stdo_is_same(const stdo_plane *plane, const stdo_previous *previous, int index, const stdo_rect *lr)
{
    const size_t step = plane->lr_step; /* at 2 a change of the other plane counts as well */
    for (uint32_t y = lr->y0; y < lr->y1; y++)
        if (memcmp(plane->lr + (ptrdiff_t)y * plane->lr_stride + lr->x0 * step,
                   previous->lr.plane[index] + (ptrdiff_t)y * previous->lr.stride[index] + lr->x0 * step,
                   (lr->x1 - lr->x0 - 1) * step + 1) != 0)
            return 0;
    return 1;
}

void stdo_copy_hr(const stdo_plane *plane, const stdo_previous *previous, int index, const stdo_rect *r)
{
    const uint32_t scale = plane->scale;
    const size_t step = plane->hr_step;
    if (previous->hr.plane[index] == plane->hr && previous->hr.stride[index] == plane->hr_stride) return;
    const uint32_t x0 = r->x0 * scale, x1 = min_u32(r->x1 * scale, plane->hr_width);
    if (x0 >= x1) return;
    for (uint32_t y = r->y0 * scale; y < min_u32(r->y1 * scale, plane->hr_height); y++)
        memcpy(plane->hr + (ptrdiff_t)y * plane->hr_stride + x0 * step,
               previous->hr.plane[index] + (ptrdiff_t)y * previous->hr.stride[index] + x0 * step, (x1 - x0) * step);
}

/* The width of strips that cut the columns into as few strips as `limit` allows, all about equally wide. */
static uint32_t strip_of(uint32_t columns, uint32_t limit)
{
    uint32_t strips = 1, width = min_u32(columns, limit);
    while (strips * limit < columns) strips++;
    while ((width - 1) * strips >= columns) width--;
    return width;
}

/* How many columns a region gets: gaps are bridged that cost less than another rectangle. */
static uint32_t columns_of(const uint8_t *first, uint32_t most, uint32_t side, uint32_t waste)
{
    uint32_t columns = 1;
    for (uint32_t c = 1; c < most && (c - columns) * side <= waste; c++)
        if (first[c] == *first) columns = c + 1;
    return columns;
}

/* The width of a row's patches in rectangles of their own, with what these waste. */
static uint64_t width_apart(const uint8_t *cells, uint32_t columns, uint8_t label, uint32_t side, uint32_t waste)
{
    uint64_t width = 0;
    for (uint32_t c = 0; c < columns;) {
        if (cells[c] != label) {
            c++;
            continue;
        }
        width += waste;
        for (; c < columns && cells[c] == label; c++) width += side;
    }
    return width;
}

stdo_region stdo_take_region(const stdo_job *j, const stdo_net *net, int is_chroma, uint32_t column, uint32_t row)
{
    const stdo_info *info = &j->sidecar->info;
    const int bridges = net != NULL && !is_chroma;
    const uint32_t side = net_side(info), waste = bridges ? net->waste : 0, beside = bridges ? net->beside : 0;
    uint8_t *first = j->todo + (size_t)(row - j->row_begin) * info->columns + column, *cells = first;
    const uint8_t label = *first;
    uint32_t columns = columns_of(first, info->columns - column, side, waste), rows = 0;
    if (net != NULL) columns = strip_of(columns, net->strip);
    while (first[columns - 1] != label) columns--; /* a strip may end in a gap */
    do {
        for (uint32_t c = 0; c < columns; c++)
            if (cells[c] == label) cells[c] = STDO_TAKEN;
        cells += info->columns;
        rows++;
    } while (row + rows < j->row_end && (uint64_t)columns * side * side <=
                                            width_apart(cells, columns, label, side, waste) * (side + beside));
    stdo_rect r = stdo_patch_rect(info, &j->plane[is_chroma], is_chroma, column, columns, row);
    r.y1 = stdo_patch_rect(info, &j->plane[is_chroma], is_chroma, column, columns, row + rows - 1).y1;
    return (stdo_region){r, first, info->columns, side, columns, rows};
}

void stdo_drop_region(const stdo_job *j, const stdo_region *region)
{
    uint8_t *cells = j->todo + (region->todo - j->todo);
    for (uint32_t row = 0; row < region->down; row++, cells += region->columns)
        for (uint32_t c = 0; c < region->across; c++)
            if (cells[c] == STDO_TAKEN) cells[c] = STDO_DONE;
}
