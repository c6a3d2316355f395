/* How much arithmetic a frame takes: the rectangles that upscale.c runs, counted and not run. Only that they are
   neither cut into strips nor joined across gaps, which differ by tier: every machine counts the same. */
#include "patches.h"

#include <string.h>

/* A layer also computes what those after it read around the rectangle. */
static uint64_t products_of(const stdo_net *net, const stdo_rect *r)
{
    uint64_t sum = 0;
    uint32_t around = net->halo;
    for (uint32_t l = 0; l < net->layers; l++) {
        const stdo_layer *layer = &net->layer[l];
        around -= layer->kernel / 2;
        const uint64_t pixels = (uint64_t)(r->x1 - r->x0 + 2 * around) * (r->y1 - r->y0 + 2 * around);
        sum += pixels * layer->kernel * layer->kernel * layer->in * layer->out;
    }
    return sum;
}

/* The rectangles of the list, of which those with label 0 have no net; `only`: the net of all, where there is one. */
static uint64_t products_of_list(const stdo_job *j, const stdo_net *only)
{
    const uint32_t columns = j->sidecar->info.columns;
    uint64_t sum = 0;
    for (uint32_t row = 0; row < j->row_end; row++)
        for (uint32_t column = 0; column < columns; column++) {
            const uint8_t label = j->todo[(size_t)row * columns + column];
            if (label == STDO_DONE) continue;
            const stdo_net *net = only != NULL ? only : label > 0 ? j->segment->net[label - 1] : NULL;
            const stdo_region region = stdo_take_region(j, NULL, only != NULL, column, row);
            if (net != NULL) sum += products_of(net, &region.rect);
            stdo_drop_region(j, &region);
        }
    return sum;
}

stdo_status stdo_count_products(const stdo_sidecar *sidecar, uint32_t segment, const uint8_t *labels, void *scratch,
                                uint64_t *products)
{
    if (sidecar == NULL || labels == NULL || scratch == NULL || products == NULL) return STDO_ERROR_ARGUMENT;
    const stdo_info *info = &sidecar->info;
    if (segment >= info->segments) return STDO_ERROR_SEGMENT_RANGE;
    if (segment >= info->segments_there) return STDO_ERROR_TRUNCATED;
    stdo_segment nets;
    if (!stdo_segment_look_up(sidecar, segment, &nets)) return STDO_ERROR_NOT_LOADED;
    const size_t patches = (size_t)info->columns * info->rows;
    for (size_t i = 0; i < patches; i++)
        if (labels[i] > nets.info.nets) return STDO_ERROR_LABEL_RANGE;

    stdo_job j = {.sidecar = sidecar, .segment = &nets, .row_end = info->rows, .todo = scratch};
    memcpy(j.plane, sidecar->plane, sizeof j.plane);
    memcpy(j.todo, labels, patches);
    *products = products_of_list(&j, NULL);
    if (nets.chroma == NULL) return STDO_OK;
    memset(j.todo, 0, patches);
    *products += products_of_list(&j, nets.chroma);
    return STDO_OK;
}
