/* Opens a sidecar in two passes: check.c checks it, this one builds. Nets of version 3 are decoded into the memory that
   their shapes asked for; segments share them. */
#include "fields.h"
#include "netcode.h"

#include <stdlib.h>
#include <string.h>

typedef struct builder {
    fields file;
    uint8_t *room;              /* next byte of the allocation */
    const stdo_net *table;      /* of version 3 */
    const uint32_t *table_bytes;
} builder;

static void *take(builder *b, size_t count, size_t size)
{
    void *array = b->room;
    b->room += array_room(count, size);
    return array;
}

static void pack_layer(builder *b, const stdo_conv *conv, stdo_layer *layer)
{
    void *packed = take(b, conv->packed_bytes(layer), 1);
    conv->pack(layer, packed);
    layer->packed = packed;
}

static void build_layer(builder *b, const stdo_conv *conv, uint32_t in, stdo_layer *layer)
{
    const uint8_t *p = b->file.at;
    layer->kernel = p[0];
    layer->in = in;
    layer->out = p[1];
    layer->shift = p[2];
    p += LAYER_FIELDS;

    int32_t *multiplier = take(b, layer->out, sizeof *multiplier);
    for (uint32_t o = 0; o < layer->out; o++, p += 2) multiplier[o] = (int32_t)u16_at(p);
    int32_t *bias = take(b, layer->out, sizeof *bias);
    for (uint32_t o = 0; o < layer->out; o++, p += 4) bias[o] = (int32_t)u32_at(p);
    const size_t stored = weight_count(layer->kernel, in, layer->out);
    int8_t *weight = take(b, stored, 1);
    memcpy(weight, p, stored);

    layer->multiplier = multiplier;
    layer->bias = bias;
    layer->weight = weight;
    pack_layer(b, conv, layer);
    b->file.at = p + stored;
}

static void build_net(builder *b, stdo_sidecar *sidecar, stdo_net *net)
{
    net->layers = *b->file.at++;
    stdo_layer *layer = take(b, net->layers, sizeof *layer);
    for (uint32_t l = 0; l < net->layers; l++)
        build_layer(b, sidecar->conv, l == 0 ? net_planes(sidecar->info.colour) : layer[l - 1].out, &layer[l]);
    net->layer = layer;
    stdo_sidecar_admit(sidecar, net);
}

/* base: the layer that this one is coded by its differences to, or NULL. */
static void decode_layer(builder *b, stdo_net_decoder *decoder, const stdo_layer *base, stdo_layer *layer)
{
    int32_t *multiplier = take(b, layer->out, sizeof *multiplier);
    if (base != NULL) memcpy(multiplier, base->multiplier, layer->out * sizeof *multiplier);
    else stdo_decode_multipliers(decoder, layer->out, multiplier);
    int32_t *bias = take(b, layer->out, sizeof *bias);
    stdo_decode_biases(decoder, layer->out, layer->shift, base != NULL ? base->bias : NULL, bias);
    int8_t *weight = take(b, weight_count(layer->kernel, layer->in, layer->out), 1);
    stdo_decode_weights(decoder, layer, base != NULL ? base->weight : NULL, weight);

    layer->multiplier = multiplier;
    layer->bias = bias;
    layer->weight = weight;
}

static void build_table(builder *b, stdo_sidecar *sidecar)
{
    const stdo_info *info = &sidecar->info;
    stdo_net *net = take(b, info->nets, sizeof *net);
    uint32_t *bytes = take(b, info->nets, sizeof *bytes);
    const stdo_net *alone = NULL;
    stdo_net_shape shape = {.layers = 0};
    for (uint32_t n = 0; n < info->nets; n++) {
        bytes[n] = varint(&b->file);
        const uint8_t *code = b->file.at;
        stdo_net_shape_read(code, bytes[n], net_planes(info->colour), net_outputs(info), &shape);
        const stdo_net *base = stdo_net_differs(code) ? alone : NULL;
        stdo_net_decoder decoder;
        stdo_net_decoder_start(&decoder, code + shape.head, bytes[n] - shape.head);
        stdo_layer *layer = take(b, shape.layers, sizeof *layer);
        for (uint32_t l = 0; l < shape.layers; l++) {
            layer[l] = shape.layer[l];
            decode_layer(b, &decoder, base != NULL ? &base->layer[l] : NULL, &layer[l]);
            pack_layer(b, sidecar->conv, &layer[l]);
        }
        net[n].layers = shape.layers;
        net[n].layer = layer;
        stdo_sidecar_admit(sidecar, &net[n]);
        if (base == NULL) alone = &net[n];
        b->file.at += bytes[n];
    }
    if (info->nets > 0) b->file.at += CRC_SIZE;
    b->table = net;
    b->table_bytes = bytes;
}

static const uint8_t *take_map(builder *b, const uint8_t *data, uint32_t size)
{
    uint8_t *map = take(b, size, 1);
    if (size > 0) memcpy(map, data, size);
    return map;
}

static void build_plain_segment(builder *b, stdo_sidecar *sidecar, stdo_segment *segment)
{
    stdo_segment_info *info = &segment->info;
    const uint8_t *p = b->file.at;
    info->frames = u32_at(p + 8);
    info->lr_first_crc = u32_at(p + 12);
    info->lr_crc = u32_at(p + 16);
    info->nets = p[20];
    info->computed = 0;
    info->map_bytes = u32_at(p + 24);
    info->net_bytes = u32_at(p) - PLAIN_MIN - info->map_bytes;
    b->file.at += PLAIN_FIELDS;

    stdo_net *net = take(b, info->nets, sizeof *net);
    for (uint32_t n = 0; n < info->nets; n++) build_net(b, sidecar, &net[n]);
    segment->net = net;
    segment->map = take_map(b, b->file.at, info->map_bytes);
    b->file.at += info->map_bytes + CRC_SIZE;
}

static void build_compact_segment(builder *b, stdo_segment *segment)
{
    stdo_segment_info *info = &segment->info;
    const uint32_t size = varint(&b->file);
    fields f = {b->file.at, b->file.at + size - CRC_SIZE};
    b->file.at += size;
    info->frames = varint(&f);
    info->nets = f.at[0] % CHROMA;
    info->chroma = f.at[0] / CHROMA % 2;
    info->computed = f.at[0] / COMPUTED;
    info->lr_first_crc = u32_at(f.at + 1);
    info->lr_crc = u32_at(f.at + 5);
    f.at += COMPACT_FIELDS;

    const uint32_t nets = info->nets + info->chroma;
    stdo_net *net = take(b, nets, sizeof *net);
    info->net_bytes = 0;
    for (uint32_t n = 0; n < nets; n++) {
        const uint32_t index = varint(&f);
        net[n] = b->table[index]; /* whose layers are shared */
        info->net_bytes += b->table_bytes[index];
    }
    segment->net = net;
    segment->chroma = info->chroma ? &net[info->nets] : NULL;
    info->map_bytes = (uint32_t)remain(&f);
    segment->map = take_map(b, f.at, info->map_bytes);
}

static void build_body(builder *b, stdo_sidecar *sidecar, uint32_t version)
{
    uint32_t first_frame = 0;
    if (version >= 3) build_table(b, sidecar);
    sidecar->segment = take(b, sidecar->info.segments, sizeof *sidecar->segment);
    for (uint32_t s = 0; s < sidecar->info.segments; s++) {
        stdo_segment *segment = &sidecar->segment[s];
        if (version >= 3) build_compact_segment(b, segment);
        else build_plain_segment(b, sidecar, segment);
        segment->info.first_frame = first_frame;
        first_frame += segment->info.frames;
    }
}

/* ---- Public ---- */

stdo_status stdo_open_memory(const uint8_t *data, size_t size, const char *tiers, stdo_sidecar **out)
{
    if (out == NULL) return STDO_ERROR_ARGUMENT;
    *out = NULL;
    if (data == NULL) return STDO_ERROR_ARGUMENT;
    const uint32_t allowed = stdo_tiers_named(tiers);
    if (allowed == 0) return STDO_ERROR_TIER;

    stdo_kernels kernels;
    stdo_kernels_init(&kernels, allowed);
    stdo_info info = {.size = sizeof info};
    uint64_t room = array_room(1, sizeof(stdo_sidecar)) + STDO_ALIGNMENT - 1;
    const stdo_status status = stdo_sidecar_check(data, size, &kernels.int8, &info, &room);
    if (status != STDO_OK) return status;

    uint8_t *memory = room > SIZE_MAX ? NULL : calloc(1, (size_t)room);
    if (memory == NULL) return STDO_ERROR_MEMORY;
    builder b = {.file = {data + HEADER_SIZE, data + size}, .room = align_pointer(memory, STDO_ALIGNMENT)};
    stdo_sidecar *sidecar = take(&b, 1, sizeof *sidecar);
    sidecar->memory = memory;
    sidecar->info = info;
    sidecar->kernels = kernels;
    sidecar->conv = &sidecar->kernels.int8;
    build_body(&b, sidecar, u16_at(data + 8));
    stdo_sidecar_lay_out(sidecar);
    *out = sidecar;
    return STDO_OK;
}

void stdo_close(stdo_sidecar *sidecar)
{
    if (sidecar != NULL) free(sidecar->memory);
}

const char *stdo_tier(const stdo_sidecar *sidecar) { return sidecar == NULL ? "" : sidecar->kernels.tier; }

/* Copies a struct to a caller whose own has `size` bytes. Both begin with that size, which stays. */
static void give(void *to, const void *from, size_t size, size_t known)
{
    const size_t both = size < known ? size : known;
    memcpy((uint8_t *)to + sizeof size, (const uint8_t *)from + sizeof size, both - sizeof size);
}

stdo_status stdo_get_info(const stdo_sidecar *sidecar, stdo_info *info)
{
    if (sidecar == NULL || info == NULL || info->size < STDO_SIZE_TO(stdo_info, net_bytes)) return STDO_ERROR_ARGUMENT;
    give(info, &sidecar->info, info->size, sizeof *info);
    return STDO_OK;
}

stdo_status stdo_get_segment(const stdo_sidecar *sidecar, uint32_t index, stdo_segment_info *info)
{
    if (sidecar == NULL || info == NULL || info->size < STDO_SIZE_TO(stdo_segment_info, chroma))
        return STDO_ERROR_ARGUMENT;
    if (index >= sidecar->info.segments) return STDO_ERROR_SEGMENT_RANGE;
    give(info, &sidecar->segment[index].info, info->size, sizeof *info);
    return STDO_OK;
}
