/* Opens a sidecar: check.c checks the file, this lists where its segments and nets stand in a copy of it. */
#include "fields.h"
#include "netcode.h"

#include <string.h>

enum { DEFAULT_MOST = 256 << 20 };

/* ---- The tables ---- */

static void list_table(stdo_sidecar *sidecar, fields *file)
{
    const stdo_info *info = &sidecar->info;
    stdo_net_shape shape = {.layers = 0};
    uint32_t says_shape = 0, alone = 0;
    for (uint32_t n = 0; n < info->nets; n++) {
        stdo_net_place *place = &sidecar->net[n];
        place->at = (uint32_t)(file->at - sidecar->file);
        const uint32_t size = varint(file);
        const uint8_t *code = file->at;
        stdo_net_shape_read(code, size, net_planes(info->colour), net_outputs(info), &shape);
        if (code[0] != STDO_NET_DIFFERS && code[0] != STDO_NET_AGAIN) says_shape = n;
        if (!stdo_net_differs(code)) alone = n;
        place->shape = says_shape;
        place->parent = alone;
        stdo_net net = {.layers = shape.layers, .layer = shape.layer};
        stdo_sidecar_admit(sidecar, &net);
        file->at += size;
    }
    if (info->nets > 0) file->at += CRC_SIZE;
}

/* The nets of a segment of versions 1 and 2, from place `n` on. */
static void list_nets(stdo_sidecar *sidecar, fields *file, uint32_t n, uint32_t nets)
{
    for (const uint32_t end = n + nets; n < end; n++) {
        sidecar->net[n] = (stdo_net_place){.at = (uint32_t)(file->at - sidecar->file), .parent = n};
        stdo_layer layer[STDO_MAX_LAYERS];
        stdo_net net = {.layers = stdo_plain_net_read(file, net_planes(sidecar->info.colour), layer), .layer = layer};
        stdo_sidecar_admit(sidecar, &net);
    }
}

static void list_segments(stdo_sidecar *sidecar, fields *file)
{
    uint32_t first_frame = 0, first_net = 0;
    for (uint32_t s = 0; s < sidecar->info.segments_there; s++) {
        sidecar->segment[s] = (stdo_segment_place){.at = (size_t)(file->at - sidecar->file),
                                                     .first_frame = first_frame, .first_net = first_net};
        if (sidecar->version >= 3) {
            const uint32_t size = varint(file);
            fields f = {file->at, file->at + size};
            first_frame += varint(&f);
            sidecar->most_nets = max_u32(sidecar->most_nets, f.at[0] % CHROMA);
            file->at += size;
            continue;
        }
        const uint8_t *p = file->at;
        fields f = {p + PLAIN_FIELDS, p + u32_at(p)};
        list_nets(sidecar, &f, first_net, p[20]);
        sidecar->most_nets = max_u32(sidecar->most_nets, p[20]);
        first_net += p[20];
        first_frame += u32_at(p + 8);
        file->at += u32_at(p);
    }
}

/* ---- One segment ---- */

static void look_up_compact(const stdo_sidecar *sidecar, fields *f, stdo_segment *segment)
{
    stdo_segment_info *info = &segment->info;
    const uint32_t size = varint(f);
    f->end = f->at + size - CRC_SIZE;
    info->frames = varint(f);
    info->nets = f->at[0] % CHROMA;
    info->chroma = f->at[0] / CHROMA % 2;
    info->computed = f->at[0] / COMPUTED;
    info->lr_first_crc = u32_at(f->at + 1);
    info->lr_crc = u32_at(f->at + 5);
    f->at += COMPACT_FIELDS;
    for (uint32_t n = 0; n < info->nets + info->chroma; n++) {
        segment->place[n] = varint(f);
        fields code = {sidecar->file + sidecar->net[segment->place[n]].at, f->end};
        info->net_bytes += varint(&code);
    }
    info->map_bytes = (uint32_t)remain(f);
    segment->map = f->at;
}

static void look_up_plain(const stdo_segment_place *place, const uint8_t *p, stdo_segment *segment)
{
    stdo_segment_info *info = &segment->info;
    info->frames = u32_at(p + 8);
    info->lr_first_crc = u32_at(p + 12);
    info->lr_crc = u32_at(p + 16);
    info->nets = p[20];
    info->map_bytes = u32_at(p + 24);
    info->net_bytes = u32_at(p) - PLAIN_MIN - info->map_bytes;
    for (uint32_t n = 0; n < info->nets; n++) segment->place[n] = place->first_net + n;
    segment->map = p + u32_at(p) - CRC_SIZE - info->map_bytes;
}

int stdo_segment_look_up(const stdo_sidecar *sidecar, uint32_t index, stdo_segment *segment)
{
    if (sidecar->alone != NULL) {
        *segment = *sidecar->alone;
        return 1;
    }
    const stdo_segment_place *place = &sidecar->segment[index];
    fields f = {sidecar->file + place->at, sidecar->file + sidecar->file_size};
    segment->info = (stdo_segment_info){.size = sizeof segment->info, .first_frame = place->first_frame};
    segment->chroma = NULL;
    if (sidecar->version >= 3) look_up_compact(sidecar, &f, segment);
    else look_up_plain(place, f.at, segment);
    int loaded = 1;
    for (uint32_t n = 0; n < segment->info.nets + segment->info.chroma; n++) {
        const stdo_net *net = sidecar->net[segment->place[n]].loaded;
        if (n < segment->info.nets) segment->net[n] = net;
        else segment->chroma = net;
        loaded &= net != NULL;
    }
    return loaded;
}

/* ---- Public ---- */

/* Programs of before `strip` end their options with `how`. */
static int options_ok(const stdo_options *given)
{
    return given == NULL ||
           ((given->size == STDO_SIZE_TO(stdo_options, how) || given->size >= STDO_SIZE_TO(stdo_options, strip)) &&
            (given->take == NULL) == (given->give == NULL) &&
            (given->how & ~(uint64_t)(STDO_LAZY | STDO_PARTIAL)) == 0);
}

static stdo_sidecar *build(const uint8_t *data, size_t size, const stdo_info *info, const stdo_options *options,
                           uint32_t tiers)
{
    stdo_sidecar maker = {.options = *options};
    const uint64_t room = STDO_ALIGNMENT - 1 + array_room(1, sizeof(stdo_sidecar)) + array_room(size, 1) +
                          array_room(info->segments_there, sizeof(stdo_segment_place)) +
                          array_room(info->nets, sizeof(stdo_net_place));
    void *memory = size > UINT32_MAX ? NULL : stdo_take(&maker, room);
    if (memory == NULL) return NULL;
    uint8_t *at = align_pointer(memory, STDO_ALIGNMENT);
    stdo_sidecar *sidecar = (stdo_sidecar *)(void *)at;
    *sidecar = (stdo_sidecar){.memory = memory, .options = *options, .used = maker.used, .info = *info,
                              .version = u16_at(data + 8), .file_size = size};
    at += array_room(1, sizeof *sidecar);
    sidecar->segment = (stdo_segment_place *)(void *)at;
    at += array_room(info->segments_there, sizeof *sidecar->segment);
    sidecar->net = (stdo_net_place *)(void *)at;
    at += array_room(info->nets, sizeof *sidecar->net);
    sidecar->file = memcpy(at, data, size);
    stdo_kernels_init(&sidecar->kernels, tiers);
    sidecar->conv = &sidecar->kernels.int8;

    fields file = {sidecar->file + HEADER_SIZE, sidecar->file + size};
    if (sidecar->version >= 3) list_table(sidecar, &file);
    list_segments(sidecar, &file);
    stdo_sidecar_lay_out(sidecar);
    return sidecar;
}

stdo_status stdo_open(const uint8_t *data, size_t size, const stdo_options *options, stdo_sidecar **out)
{
    if (out == NULL) return STDO_ERROR_ARGUMENT;
    *out = NULL;
    if (data == NULL || !options_ok(options)) return STDO_ERROR_ARGUMENT;
    stdo_options o = {.size = sizeof o};
    if (options != NULL) {
        memcpy(&o, options, STDO_SIZE_TO(stdo_options, how));
        o.strip = options->size >= sizeof o ? options->strip : 0;
        o.size = sizeof o;
    }
    if (o.most == 0) o.most = DEFAULT_MOST;
    const uint32_t allowed = stdo_tiers_named(o.tiers);
    if (allowed == 0) return STDO_ERROR_TIER;
    o.tiers = NULL; /* the caller's words may go */

    stdo_info info = {.size = sizeof info};
    stdo_status status = stdo_sidecar_check(data, size, (o.how & STDO_PARTIAL) != 0, &info);
    if (status != STDO_OK) return status;
    stdo_sidecar *sidecar = build(data, size, &info, &o, allowed);
    if (sidecar == NULL) return STDO_ERROR_MEMORY;
    for (uint32_t s = 0; s < info.segments_there && !(o.how & STDO_LAZY) && status == STDO_OK; s++)
        status = stdo_load(sidecar, s);
    if (status == STDO_OK) *out = sidecar;
    else stdo_close(sidecar);
    return status;
}

stdo_status stdo_open_memory(const uint8_t *data, size_t size, const char *tiers, stdo_sidecar **out)
{
    const stdo_options options = {.size = sizeof options, .tiers = tiers};
    return stdo_open(data, size, &options, out);
}

const char *stdo_tier(const stdo_sidecar *sidecar) { return sidecar == NULL ? "" : sidecar->kernels.tier; }

uint64_t stdo_memory(const stdo_sidecar *sidecar) { return sidecar == NULL ? 0 : sidecar->used; }

/* Copies a struct to a caller whose own has `size` bytes. Both begin with that size, which stays. */
static void give(void *to, const void *from, size_t size, size_t known)
{
    const size_t both = size < known ? size : known;
    memcpy((uint8_t *)to + sizeof size, (const uint8_t *)from + sizeof size, both - sizeof size);
}

stdo_status stdo_get_info(const stdo_sidecar *sidecar, stdo_info *info)
{
    if (sidecar == NULL || info == NULL || info->size < STDO_SIZE_TO(stdo_info, frames_there))
        return STDO_ERROR_ARGUMENT;
    give(info, &sidecar->info, info->size, sizeof *info);
    return STDO_OK;
}

stdo_status stdo_get_segment(const stdo_sidecar *sidecar, uint32_t index, stdo_segment_info *info)
{
    if (sidecar == NULL || info == NULL || info->size < STDO_SIZE_TO(stdo_segment_info, chroma))
        return STDO_ERROR_ARGUMENT;
    if (index >= sidecar->info.segments) return STDO_ERROR_SEGMENT_RANGE;
    if (index >= sidecar->info.segments_there) return STDO_ERROR_TRUNCATED;
    stdo_segment segment;
    stdo_segment_look_up(sidecar, index, &segment);
    give(info, &segment.info, info->size, sizeof *info);
    return STDO_OK;
}
