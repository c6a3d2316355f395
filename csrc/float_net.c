/* A float net in the place of a sidecar: what the integer nets are compared with. */
#include "sidecar.h"

#include <stdlib.h>
#include <string.h>

/* The sidecar and all that it points to but the arrays of the layers, which follow it. */
typedef struct float_sidecar {
    stdo_sidecar sidecar;
    stdo_segment segment;
    stdo_net net;
    stdo_layer layer[STDO_MAX_LAYERS];
} float_sidecar;

static size_t aligned(size_t bytes) { return (bytes + STDO_ALIGNMENT - 1) / STDO_ALIGNMENT * STDO_ALIGNMENT; }

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

stdo_status stdo_open_float(uint32_t colour, uint32_t scale, uint32_t patch, uint32_t lr_width, uint32_t lr_height,
                            const stdo_float_layer *layers, uint32_t count, const char *tiers, stdo_sidecar **out)
{
    if (out == NULL) return STDO_ERROR_ARGUMENT;
    *out = NULL;
    if (layers == NULL) return STDO_ERROR_ARGUMENT;
    const uint32_t allowed = stdo_tiers_named(tiers);
    if (allowed == 0) return STDO_ERROR_TIER;
    stdo_info info = {.scale = scale, .patch = patch, .colour = colour, .lr_width = lr_width, .lr_height = lr_height,
                      .hr_width = lr_width * scale, .hr_height = lr_height * scale, .frames = 1, .segments = 1};
    if (!header_ok(&info)) return STDO_ERROR_HEADER;
    info.columns = (lr_width + patch - 1) / patch;
    info.rows = (lr_height + patch - 1) / patch;

    stdo_kernels kernels;
    stdo_kernels_init(&kernels, allowed);
    const uint32_t planes = colour == STDO_COLOUR_RGB ? 3 : 1;
    stdo_layer layer[STDO_MAX_LAYERS];
    if (count < 1 || count > STDO_MAX_LAYERS) return STDO_ERROR_NET;
    size_t room = aligned(sizeof(float_sidecar)) + STDO_ALIGNMENT - 1;
    for (uint32_t l = 0; l < count; l++) {
        const uint32_t kernel = layers[l].kernel, channels = layers[l].channels;
        if (layers[l].weight == NULL || layers[l].bias == NULL) return STDO_ERROR_ARGUMENT;
        if (kernel % 2 == 0 || kernel > STDO_MAX_KERNEL || channels < 1 || channels > STDO_MAX_CHANNELS ||
            (l == count - 1 && channels != planes * scale * scale))
            return STDO_ERROR_NET;
        layer[l] = (stdo_layer){.kernel = kernel, .in = l == 0 ? planes : layers[l - 1].channels, .out = channels};
        room += aligned(weight_bytes(&layer[l])) + aligned(channels * sizeof(float)) +
                aligned(kernels.float32.packed_bytes(&layer[l]));
    }

    uint8_t *memory = calloc(1, room);
    if (memory == NULL) return STDO_ERROR_MEMORY;
    uint8_t *at = memory + (STDO_ALIGNMENT - (uintptr_t)memory % STDO_ALIGNMENT) % STDO_ALIGNMENT;
    float_sidecar *f = (float_sidecar *)(void *)at;
    at += aligned(sizeof *f);
    f->sidecar = (stdo_sidecar){.memory = memory, .info = info, .segment = &f->segment, .kernels = kernels};
    f->sidecar.conv = &f->sidecar.kernels.float32;
    f->segment = (stdo_segment){.info = {.frames = 1, .nets = 1}, .net = &f->net};
    f->net = (stdo_net){.layers = count, .layer = f->layer};
    for (uint32_t l = 0; l < count; l++) {
        const size_t bytes = weight_bytes(&layer[l]), bias_bytes = layer[l].out * sizeof(float);
        layer[l].weight = memcpy(at, layers[l].weight, bytes);
        at += aligned(bytes);
        layer[l].bias = memcpy(at, layers[l].bias, bias_bytes);
        at += aligned(bias_bytes);
        kernels.float32.pack(&layer[l], at);
        layer[l].packed = at;
        at += aligned(kernels.float32.packed_bytes(&layer[l]));
        f->layer[l] = layer[l];
    }
    stdo_sidecar_admit(&f->sidecar, &f->net);
    *out = &f->sidecar;
    return STDO_OK;
}
