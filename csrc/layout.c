/* The sizes of planes and of scratch, computed once for the life of a sidecar. */
#include "sidecar.h"

#include "sizes.h"

static stdo_plane plane_of(const stdo_info *info, int halved)
{
    const uint32_t half = halved ? 2 : 1, up = half - 1;
    stdo_plane plane = {.lr_width = (info->lr_width + up) / half, .lr_height = (info->lr_height + up) / half,
                        .hr_width = (info->hr_width + up) / half, .hr_height = (info->hr_height + up) / half,
                        .lr_step = 1, .hr_step = 1, .scale = net_scale(info), .full_size = info->divisor == 2,
                        .left = halved && info->chroma != 0};
    plane.width = plane.full_size ? (3 * plane.lr_width + 1) / 2 : plane.lr_width;
    plane.height = plane.full_size ? (3 * plane.lr_height + 1) / 2 : plane.lr_height;
    return plane;
}

/* Side of a patch in the pixels that a net reads. */
static uint32_t side_of(const stdo_info *info, int chroma)
{
    return chroma ? (net_side(info) + 1) / 2 : net_side(info);
}

void stdo_sidecar_measure(const stdo_sidecar *sidecar, stdo_net *net)
{
    const stdo_info *info = &sidecar->info;
    const uint32_t side = side_of(info, stdo_serves_chroma(net, info->colour));
    stdo_net_measure(net, sidecar->conv, side, sidecar->options.strip);
}

void stdo_sidecar_admit(stdo_sidecar *sidecar, stdo_net *net)
{
    const stdo_info *info = &sidecar->info;
    const int chroma = stdo_serves_chroma(net, info->colour);
    const uint32_t side = side_of(info, chroma);
    stdo_sidecar_measure(sidecar, net);
    const stdo_plane plane = plane_of(info, chroma);
    const uint32_t width = min_u32(net->strip * side, plane.width);
    const size_t room = stdo_net_room(net, &plane, chroma ? STDO_CHROMA_PLANES : net_planes(info->colour), width);
    sidecar->has_chroma |= chroma;
    if (room > sidecar->net_room) sidecar->net_room = room;
}

/* Adds a part to scratch and gives its place. */
static size_t append(size_t *used, size_t bytes)
{
    const size_t at = *used;
    *used += (size_t)align_up(bytes, STDO_ALIGNMENT);
    return at;
}

void stdo_sidecar_lay_out(stdo_sidecar *sidecar)
{
    const stdo_info *info = &sidecar->info;
    stdo_scratch *scratch = &sidecar->scratch;
    sidecar->net_planes = net_planes(info->colour);
    for (uint32_t i = 0; i < 4; i++) sidecar->plane[i] = plane_of(info, i >= sidecar->net_planes);
    scratch->bytes = 0;
    append(&scratch->bytes, (size_t)info->columns * info->rows);
    const stdo_plane *chroma = &sidecar->plane[1];
    const size_t v = stdo_base_room(sidecar->plane[0].width), in_turns = stdo_base_room_in_turns(chroma->lr_width);
    scratch->v = append(&scratch->bytes, (v > in_turns ? v : in_turns) * sizeof(int16_t));
    const size_t turn_rows = sidecar->has_chroma ? STDO_TURN_ROWS : 1;
    scratch->turns = append(&scratch->bytes, 2 * turn_rows * chroma->scale * chroma->hr_width);
    scratch->net = append(&scratch->bytes, sidecar->net_room);
    const size_t samples = (size_t)chroma->lr_width * chroma->lr_height;
    scratch->read = append(&scratch->bytes, sidecar->has_chroma ? STDO_CHROMA_INPUTS * samples : 0);
}
