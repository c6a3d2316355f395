/* Loads the nets of a segment, and drops them: decoded, laid out for the tier that runs, and then without their raw
   weights. Nets that several loaded segments share are there once. */
#include "fields.h"
#include "netcode.h"

#include <string.h>

/* A loaded net is one allocation, which begins with this. */
typedef struct loaded {
    stdo_net net;
    uint64_t bytes;             /* of the allocation */
    stdo_layer layer[STDO_MAX_LAYERS];
} loaded;

/* The numbers of a net as the file means them. */
typedef struct numbers {
    int32_t multiplier[STDO_MAX_LAYERS][STDO_MAX_CHANNELS], bias[STDO_MAX_LAYERS][STDO_MAX_CHANNELS];
    int8_t *weight[STDO_MAX_LAYERS];
} numbers;

static size_t weights_of(const stdo_layer *layer) { return weight_count(layer->kernel, layer->in, layer->out); }

static size_t weights_of_net(const stdo_layer *layer, uint32_t layers)
{
    size_t sum = 0;
    for (uint32_t l = 0; l < layers; l++) sum += weights_of(&layer[l]);
    return sum;
}

/* ---- From the file to numbers ---- */

static void read_plain_numbers(const stdo_layer *layer, uint32_t layers, numbers *n)
{
    for (uint32_t l = 0; l < layers; l++) {
        const uint32_t out = layer[l].out;
        const uint8_t *p = (const uint8_t *)layer[l].weight - out * OUTPUT_FIELDS;
        for (uint32_t o = 0; o < out; o++, p += 2) n->multiplier[l][o] = (int32_t)u16_at(p);
        for (uint32_t o = 0; o < out; o++, p += 4) n->bias[l][o] = (int32_t)u32_at(p);
        memcpy(n->weight[l], p, weights_of(&layer[l]));
    }
}

/* The code of net `index` of a table. */
static fields code_of(const stdo_sidecar *sidecar, uint32_t index)
{
    fields f = {sidecar->file + sidecar->net[index].at, sidecar->file + sidecar->file_size};
    const uint32_t size = varint(&f);
    f.end = f.at + size;
    return f;
}

static void decode_numbers(const fields *code, uint32_t head, const stdo_net_shape *shape, const numbers *parent,
                           numbers *n)
{
    stdo_net_decoder decoder;
    stdo_net_decoder_start(&decoder, code->at + head, remain(code) - head);
    for (uint32_t l = 0; l < shape->layers; l++) {
        const stdo_layer *layer = &shape->layer[l];
        if (parent != NULL) memcpy(n->multiplier[l], parent->multiplier[l], layer->out * sizeof(int32_t));
        else stdo_decode_multipliers(&decoder, layer->out, n->multiplier[l]);
        stdo_decode_biases(&decoder, layer->out, layer->shift, parent != NULL ? parent->bias[l] : NULL, n->bias[l]);
        stdo_decode_weights(&decoder, layer, parent != NULL ? parent->weight[l] : NULL, n->weight[l]);
    }
}

static void read_coded_numbers(const stdo_sidecar *sidecar, uint32_t index, const stdo_net_shape *shape,
                               numbers *parent, numbers *n)
{
    const stdo_net_place *place = &sidecar->net[index];
    const fields code = code_of(sidecar, index);
    const uint32_t whole = 1 + 2 * shape->layers;
    if (place->parent != index) {
        const fields of_parent = code_of(sidecar, place->parent);
        decode_numbers(&of_parent, place->parent == place->shape ? whole : 1, shape, NULL, parent);
    }
    decode_numbers(&code, index == place->shape ? whole : 1, shape, place->parent != index ? parent : NULL, n);
}

/* ---- From numbers to a net that runs ---- */

static uint8_t *advance(uint8_t **at, uint64_t bytes)
{
    uint8_t *here = *at;
    *at += bytes;
    return here;
}

static void build_layer(const stdo_conv *conv, const numbers *n, uint32_t l, stdo_layer *layer, uint8_t **at)
{
    const size_t bytes = layer->out * sizeof(int32_t);
    layer->multiplier = memcpy(advance(at, array_room(bytes, 1)), n->multiplier[l], bytes);
    layer->bias = memcpy(advance(at, array_room(bytes, 1)), n->bias[l], bytes);
    layer->weight = n->weight[l];
    uint8_t *packed = advance(at, array_room(conv->packed_bytes(layer), 1));
    conv->pack(layer, packed);
    layer->packed = packed;
    layer->weight = NULL; /* it goes */
}

static uint64_t net_bytes(const stdo_conv *conv, const stdo_layer *layer, uint32_t layers)
{
    uint64_t bytes = STDO_ALIGNMENT - 1 + array_room(1, sizeof(loaded));
    for (uint32_t l = 0; l < layers; l++)
        bytes += 2 * array_room(layer[l].out, sizeof(int32_t)) + array_room(conv->packed_bytes(&layer[l]), 1);
    return bytes;
}

/* The layers of a net, without numbers. */
static uint32_t shape_of(const stdo_sidecar *sidecar, uint32_t index, stdo_net_shape *shape)
{
    const stdo_info *info = &sidecar->info;
    if (sidecar->version < 3) {
        fields f = {sidecar->file + sidecar->net[index].at, sidecar->file + sidecar->file_size};
        return shape->layers = stdo_plain_net_read(&f, net_planes(info->colour), shape->layer);
    }
    const fields code = code_of(sidecar, sidecar->net[index].shape);
    stdo_net_shape_read(code.at, (uint32_t)remain(&code), net_planes(info->colour), net_outputs(info), shape);
    return shape->layers;
}

typedef struct workspace {
    numbers own, parent;
} workspace;

static uint8_t *lay_weights(const stdo_net_shape *shape, numbers *n, uint8_t *at)
{
    for (uint32_t l = 0; l < shape->layers; l++) {
        n->weight[l] = (int8_t *)at;
        at += weights_of(&shape->layer[l]);
    }
    return at;
}

static stdo_status load_net(stdo_sidecar *sidecar, uint32_t index)
{
    stdo_net_shape shape = {.layers = 0};
    const uint32_t layers = shape_of(sidecar, index, &shape);
    const uint64_t bytes = net_bytes(sidecar->conv, shape.layer, layers);
    const uint64_t raw = array_room(1, sizeof(workspace)) + 2 * weights_of_net(shape.layer, layers);
    uint8_t *memory = stdo_take(sidecar, bytes);
    workspace *work = stdo_take(sidecar, raw);
    if (memory == NULL || work == NULL) {
        stdo_give(sidecar, work, raw);
        stdo_give(sidecar, memory, bytes);
        return STDO_ERROR_MEMORY;
    }
    uint8_t *room = lay_weights(&shape, &work->own, (uint8_t *)work + array_room(1, sizeof *work));
    lay_weights(&shape, &work->parent, room);
    if (sidecar->version < 3) read_plain_numbers(shape.layer, layers, &work->own);
    else read_coded_numbers(sidecar, index, &shape, &work->parent, &work->own);

    uint8_t *at = align_pointer(memory, STDO_ALIGNMENT);
    loaded *net = (loaded *)(void *)advance(&at, array_room(1, sizeof *net));
    net->bytes = bytes;
    for (uint32_t l = 0; l < layers; l++) {
        net->layer[l] = shape.layer[l];
        build_layer(sidecar->conv, &work->own, l, &net->layer[l], &at);
    }
    net->net = (stdo_net){.layers = layers, .layer = net->layer, .memory = memory};
    stdo_sidecar_measure(sidecar, &net->net);
    stdo_give(sidecar, work, raw);
    sidecar->net[index].loaded = &net->net;
    return STDO_OK;
}

static void drop_net(stdo_sidecar *sidecar, uint32_t index)
{
    stdo_net_place *place = &sidecar->net[index];
    if (--place->users > 0) return;
    const loaded *net = (const loaded *)(const void *)place->loaded;
    place->loaded = NULL;
    stdo_give(sidecar, net->net.memory, net->bytes);
}

static void drop_first(stdo_sidecar *sidecar, const stdo_segment *segment, uint32_t nets)
{
    for (uint32_t n = 0; n < nets; n++) drop_net(sidecar, segment->place[n]);
}

/* ---- Public ---- */

stdo_status stdo_load(stdo_sidecar *sidecar, uint32_t index)
{
    if (sidecar == NULL) return STDO_ERROR_ARGUMENT;
    if (index >= sidecar->info.segments) return STDO_ERROR_SEGMENT_RANGE;
    if (index >= sidecar->info.segments_there) return STDO_ERROR_TRUNCATED;
    if (sidecar->alone != NULL) return STDO_OK;
    stdo_segment segment;
    stdo_segment_look_up(sidecar, index, &segment);
    for (uint32_t n = 0; n < segment.info.nets + segment.info.chroma; n++) {
        stdo_net_place *place = &sidecar->net[segment.place[n]];
        if (place->loaded == NULL) {
            const stdo_status status = load_net(sidecar, segment.place[n]);
            if (status != STDO_OK) {
                drop_first(sidecar, &segment, n);
                return status;
            }
        }
        place->users++;
    }
    sidecar->segment[index].loads++;
    return STDO_OK;
}

stdo_status stdo_drop(stdo_sidecar *sidecar, uint32_t index)
{
    if (sidecar == NULL) return STDO_ERROR_ARGUMENT;
    if (index >= sidecar->info.segments) return STDO_ERROR_SEGMENT_RANGE;
    if (index >= sidecar->info.segments_there) return STDO_ERROR_TRUNCATED;
    if (sidecar->alone != NULL) return STDO_OK;
    if (sidecar->segment[index].loads == 0) return STDO_ERROR_NOT_LOADED;
    sidecar->segment[index].loads--;
    stdo_segment segment;
    stdo_segment_look_up(sidecar, index, &segment);
    drop_first(sidecar, &segment, segment.info.nets + segment.info.chroma);
    return STDO_OK;
}

void stdo_close(stdo_sidecar *sidecar)
{
    if (sidecar == NULL) return;
    for (uint32_t n = 0; sidecar->alone == NULL && n < sidecar->info.nets; n++) {
        if (sidecar->net[n].users == 0) continue;
        sidecar->net[n].users = 1;
        drop_net(sidecar, n);
    }
    stdo_sidecar last = {.options = sidecar->options};
    stdo_give(&last, sidecar->memory, 0);
}
