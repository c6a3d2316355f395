/* A float net in the place of a sidecar. */
#include "float_net.h"

#include "../sidecar.h"
#include "../sizes.h"
#include "float_conv.h"

#include <stdlib.h>
#include <string.h>

/* The sidecar and what it points to, except the arrays of the layers: those follow it. */
typedef struct float_sidecar {
    stdo_sidecar sidecar;
    stdo_segment segment;
    stdo_net net;
    stdo_layer layer[STDO_MAX_LAYERS];
} float_sidecar;

static size_t aligned(size_t bytes) { return (size_t)align_up(bytes, STDO_ALIGNMENT); }

static int header_ok(const stdo_info *info)
{
    return info->colour <= STDO_COLOUR_RGB && info->scale >= 1 && info->scale <= STDO_MAX_SCALE && info->patch >= 8 &&
           info->patch <= 128 && info->lr_width >= 8 && info->lr_width <= 8192 && info->lr_height >= 8 &&
           info->lr_height <= 8192;
}

static size_t weight_bytes(const stdo_layer *layer)
{
    return (size_t)layer->kernel * layer->kernel * layer->in * layer->out * sizeof(float);
}

/* Fills kernel, in and out of each layer, and adds up the memory that their arrays take. */
static stdo_status check_layers(const stdo_float_net *net, const stdo_conv *conv, stdo_layer *layer, size_t *room)
{
    const uint32_t planes = net_planes(net->colour);
    if (net->count < 1 || net->count > STDO_MAX_LAYERS) return STDO_ERROR_NET;
    for (uint32_t l = 0; l < net->count; l++) {
        const stdo_float_layer *given = &net->layers[l];
        if (given->weight == NULL || given->bias == NULL) return STDO_ERROR_ARGUMENT;
        if (given->kernel % 2 == 0 || given->kernel > STDO_MAX_KERNEL || given->channels < 1 ||
            given->channels > STDO_MAX_CHANNELS ||
            (l == net->count - 1 && given->channels != planes * net->scale * net->scale))
            return STDO_ERROR_NET;
        layer[l] = (stdo_layer){.kernel = given->kernel, .in = l == 0 ? planes : given[-1].channels,
                                .out = given->channels};
        *room += aligned(weight_bytes(&layer[l])) + aligned(layer[l].out * sizeof(float)) +
                 aligned(conv->packed_bytes(&layer[l]));
    }
    return STDO_OK;
}

stdo_status stdo_open_float(const stdo_float_net *net, const char *tiers, stdo_sidecar **out)
{
    if (out == NULL) return STDO_ERROR_ARGUMENT;
    *out = NULL;
    if (net == NULL || net->layers == NULL) return STDO_ERROR_ARGUMENT;
    const uint32_t allowed = stdo_tiers_named(tiers);
    if (allowed == 0) return STDO_ERROR_TIER;
    stdo_info info = {.scale = net->scale, .divisor = 1, .patch = net->patch, .colour = net->colour,
                      .lr_width = net->lr_width, .lr_height = net->lr_height, .hr_width = net->lr_width * net->scale,
                      .hr_height = net->lr_height * net->scale, .frames = 1, .segments = 1,
                      .nets = 1, .segments_there = 1, .frames_there = 1};
    if (!header_ok(&info)) return STDO_ERROR_HEADER;
    info.columns = (info.lr_width + info.patch - 1) / info.patch;
    info.rows = (info.lr_height + info.patch - 1) / info.patch;

    const stdo_conv *conv = stdo_float_conv(allowed);
    stdo_layer layer[STDO_MAX_LAYERS];
    size_t room = aligned(sizeof(float_sidecar)) + STDO_ALIGNMENT - 1;
    const stdo_status status = check_layers(net, conv, layer, &room);
    if (status != STDO_OK) return status;

    uint8_t *memory = calloc(1, room);
    if (memory == NULL) return STDO_ERROR_MEMORY;
    uint8_t *at = align_pointer(memory, STDO_ALIGNMENT);
    float_sidecar *f = (float_sidecar *)(void *)at;
    at += aligned(sizeof *f);
    f->sidecar = (stdo_sidecar){.memory = memory, .info = info, .alone = &f->segment, .conv = conv};
    stdo_kernels_init(&f->sidecar.kernels, allowed);
    f->segment = (stdo_segment){.info = {.frames = 1, .nets = 1}, .net = {&f->net}};
    f->net = (stdo_net){.layers = net->count, .layer = f->layer};
    for (uint32_t l = 0; l < net->count; l++) {
        const size_t bytes = weight_bytes(&layer[l]), bias_bytes = layer[l].out * sizeof(float);
        layer[l].weight = memcpy(at, net->layers[l].weight, bytes);
        at += aligned(bytes);
        layer[l].bias = memcpy(at, net->layers[l].bias, bias_bytes);
        at += aligned(bias_bytes);
        conv->pack(&layer[l], at);
        layer[l].packed = at;
        at += aligned(conv->packed_bytes(&layer[l]));
        f->layer[l] = layer[l];
    }
    stdo_sidecar_admit(&f->sidecar, &f->net);
    stdo_sidecar_lay_out(&f->sidecar);
    *out = &f->sidecar;
    return STDO_OK;
}
