/* Checks and parses a sidecar in two passes. The first checks every field in the order of FORMAT.md and adds up the
   memory that the second fills. So nothing is allocated for a file that is refused, and the second needs no checks. */
#include "sidecar.h"

#include "sizes.h"

#include <stdlib.h>
#include <string.h>

enum { HEADER_SIZE = 40, SEGMENT_FIELDS = 28, SEGMENT_MIN = SEGMENT_FIELDS + 4, LAYER_FIELDS = 4, OUTPUT_FIELDS = 6 };

static uint32_t u16_at(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8; }
static uint32_t u32_at(const uint8_t *p) { return u16_at(p) | u16_at(p + 2) << 16; }

static size_t weight_count(uint32_t kernel, uint32_t in, uint32_t out) { return (size_t)kernel * kernel * in * out; }

/* Bytes that an array takes in the allocation. 64 bits hold every sum of these: each array is at most some hundred
   times the bytes of the file that it comes from. */
static uint64_t array_room(uint64_t count, size_t size)
{
    return align_up(count * size, STDO_ALIGNMENT);
}

static uint64_t layer_room(const stdo_conv *conv, uint32_t kernel, uint32_t in, uint32_t out)
{
    const stdo_layer layer = {.kernel = kernel, .in = in, .out = out};
    return 2 * array_room(out, sizeof(int32_t)) + array_room(weight_count(kernel, in, out), 1) +
           array_room(conv->packed_bytes(&layer), 1);
}

/* ---- First pass: check ---- */

static int extent_ok(uint32_t lr, uint32_t hr, const stdo_info *info)
{
    const uint32_t scale = info->scale, divisor = info->divisor;
    return lr >= 8 && lr <= 8192 && lr % divisor == 0 && hr <= lr / divisor * scale &&
           hr + 2 * scale > lr / divisor * scale;
}

/* What version 3 alone has: the scale 3/2. */
static int divisor_ok(const stdo_info *info, uint32_t version)
{
    return info->divisor == 1 ||
           (version >= 3 && info->divisor == 2 && info->scale == 3 && info->patch % 4 == 0);
}

static stdo_status check_header(const uint8_t *data, size_t size, stdo_info *info)
{
    static const uint8_t magic[8] = {0x89, 'S', 'T', 'D', 'O', '\r', '\n', 0x1a};
    if (size < sizeof magic || memcmp(data, magic, sizeof magic) != 0) return STDO_ERROR_MAGIC;
    if (size < HEADER_SIZE) return STDO_ERROR_TRUNCATED;
    const uint32_t version = u16_at(data + 8);
    if (version > 3) return STDO_ERROR_VERSION;

    info->scale = data[10];
    info->divisor = version < 3 ? 1 : data[32];
    info->mode = data[11];
    info->patch = u16_at(data + 12);
    info->chroma = data[14];
    info->colour = data[15];
    info->lr_width = u16_at(data + 16);
    info->lr_height = u16_at(data + 18);
    info->hr_width = u16_at(data + 20);
    info->hr_height = u16_at(data + 22);
    info->frames = u32_at(data + 24);
    info->segments = u32_at(data + 28);
    const uint32_t reserved = version < 3 ? u32_at(data + 32) : u32_at(data + 32) >> 8;
    const int ok = version >= 1 && info->scale >= 1 && info->scale <= STDO_MAX_SCALE &&
                   info->patch >= 8 && info->patch <= 128 && info->chroma <= 1 &&
                   info->colour < min_u32(version, 2) && divisor_ok(info, version) &&
                   extent_ok(info->lr_width, info->hr_width, info) &&
                   extent_ok(info->lr_height, info->hr_height, info) &&
                   info->frames >= 1 && info->frames <= 1u << 24 &&
                   info->segments >= 1 && info->segments <= info->frames && reserved == 0;
    if (!ok) return STDO_ERROR_HEADER;
    if (stdo_crc32(0, data, 36) != u32_at(data + 36)) return STDO_ERROR_HEADER_CRC;

    info->columns = (info->lr_width + info->patch - 1) / info->patch;
    info->rows = (info->lr_height + info->patch - 1) / info->patch;
    return STDO_OK;
}

/* Moves *at over one net, which must end at or before `end`. */
static stdo_status check_net(const uint8_t **at, const uint8_t *end, const stdo_info *info, const stdo_conv *conv,
                             uint64_t *room)
{
    const uint8_t *p = *at;
    if (p == end) return STDO_ERROR_SEGMENT;
    const uint32_t layers = *p++;
    if (layers < 1 || layers > STDO_MAX_LAYERS) return STDO_ERROR_NET;
    *room += array_room(layers, sizeof(stdo_layer));

    uint32_t in = net_planes(info->colour);
    for (uint32_t l = 0; l < layers; l++) {
        if (end - p < LAYER_FIELDS) return STDO_ERROR_SEGMENT;
        const uint32_t kernel = p[0], out = p[1], shift = p[2], reserved = p[3];
        p += LAYER_FIELDS;
        if (kernel % 2 == 0 || kernel > STDO_MAX_KERNEL || out < 1 || out > STDO_MAX_CHANNELS || shift > 24 ||
            reserved != 0)
            return STDO_ERROR_NET;
        if (l == layers - 1 && out != net_planes(info->colour) * net_scale(info) * net_scale(info))
            return STDO_ERROR_NET;

        if ((size_t)(end - p) < (size_t)out * OUTPUT_FIELDS + weight_count(kernel, in, out)) return STDO_ERROR_SEGMENT;
        for (uint32_t o = 0; o < out; o++, p += 2)
            if (u16_at(p) < 1 || u16_at(p) > INT16_MAX) return STDO_ERROR_NET;
        for (uint32_t o = 0; o < out; o++, p += 4)
            if (u32_at(p) + (1u << 30) > 1u << 31) return STDO_ERROR_NET; /* -2^30..2^30, seen as 0..2^31 */
        p += weight_count(kernel, in, out);
        *room += layer_room(conv, kernel, in, out);
        in = out;
    }
    *at = p;
    return STDO_OK;
}

/* The classes of computed labels: their number less one, thresholds that rise, and the label of each. */
static int classes_ok(const uint8_t *p, size_t size, uint32_t nets)
{
    if (size < 2 || p[0] > STDO_MAX_NETS || size != 2 + 3 * (size_t)p[0]) return 0;
    for (uint32_t i = 1; i < p[0]; i++)
        if (u16_at(p + 1 + 2 * i) <= u16_at(p - 1 + 2 * i)) return 0;
    for (const uint8_t *label = p + 1 + 2 * p[0]; label < p + size; label++)
        if (*label > nets) return 0;
    return 1;
}

/* A segment may compute its labels from version 3 on: `most_computed` is 1 there, 0 before. */
static stdo_status check_segment(const uint8_t *data, size_t remain, const stdo_info *header, uint32_t first_frame,
                                 int is_last, uint32_t most_computed, const stdo_conv *conv, uint64_t *room)
{
    if (remain < SEGMENT_MIN) return STDO_ERROR_TRUNCATED;
    const uint32_t size = u32_at(data), frames = u32_at(data + 8), nets = data[20], map_size = u32_at(data + 24);
    if (size > remain) return STDO_ERROR_TRUNCATED;
    const uint32_t frames_left = header->frames - first_frame;
    const int ok = size >= SEGMENT_MIN && u32_at(data + 4) == first_frame &&
                   frames >= 1 && frames <= UINT16_MAX && frames <= frames_left &&
                   (!is_last || frames == frames_left) && nets <= STDO_MAX_NETS &&
                   data[21] <= most_computed && (data[21] == 0 || nets > 0) && data[22] == 0 && data[23] == 0 && (nets > 0 || map_size == 0);
    if (!ok) return STDO_ERROR_SEGMENT;

    const uint8_t *p = data + SEGMENT_FIELDS, *end = data + size - 4;
    *room += array_room(nets, sizeof(stdo_net));
    for (uint32_t n = 0; n < nets; n++) {
        const stdo_status status = check_net(&p, end, header, conv, room);
        if (status != STDO_OK) return status;
    }
    if ((size_t)(end - p) != map_size) return STDO_ERROR_SEGMENT;
    if (data[21] != 0 && !classes_ok(p, map_size, nets)) return STDO_ERROR_SEGMENT;
    *room += array_room(map_size, 1);
    return stdo_crc32(0, data, size - 4) == u32_at(end) ? STDO_OK : STDO_ERROR_SEGMENT_CRC;
}

static stdo_status check_segments(const uint8_t *data, size_t remain, const stdo_info *info, uint32_t most_computed,
                                  const stdo_conv *conv, uint64_t *room)
{
    uint32_t first_frame = 0;
    *room += array_room(info->segments, sizeof(stdo_segment));
    for (uint32_t s = 0; s < info->segments; s++) {
        const stdo_status status =
            check_segment(data, remain, info, first_frame, s == info->segments - 1, most_computed, conv, room);
        if (status != STDO_OK) return status;
        first_frame += u32_at(data + 8);
        remain -= u32_at(data);
        data += u32_at(data);
    }
    return remain == 0 ? STDO_OK : STDO_ERROR_TRAILING;
}

/* ---- Second pass: build ---- */

typedef struct builder {
    const uint8_t *in;  /* next byte of the file */
    uint8_t *room;      /* next byte of the allocation */
} builder;

static void *take(builder *b, size_t count, size_t size)
{
    void *array = b->room;
    b->room += array_room(count, size);
    return array;
}

static void build_layer(builder *b, const stdo_conv *conv, uint32_t in, stdo_layer *layer)
{
    const uint8_t *p = b->in;
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
    void *packed = take(b, conv->packed_bytes(layer), 1);
    conv->pack(layer, packed);
    layer->packed = packed;
    b->in = p + stored;
}

static void build_net(builder *b, stdo_sidecar *sidecar, stdo_net *net)
{
    net->layers = *b->in++;
    stdo_layer *layer = take(b, net->layers, sizeof *layer);
    for (uint32_t l = 0; l < net->layers; l++)
        build_layer(b, sidecar->conv, l == 0 ? net_planes(sidecar->info.colour) : layer[l - 1].out, &layer[l]);
    net->layer = layer;
    stdo_sidecar_admit(sidecar, net);
}

static void build_segment(builder *b, stdo_sidecar *sidecar, stdo_segment *segment)
{
    stdo_segment_info *info = &segment->info;
    info->first_frame = u32_at(b->in + 4);
    info->frames = u32_at(b->in + 8);
    info->lr_first_crc = u32_at(b->in + 12);
    info->lr_crc = u32_at(b->in + 16);
    info->nets = b->in[20];
    info->computed = b->in[21];
    info->map_bytes = u32_at(b->in + 24);
    info->net_bytes = u32_at(b->in) - SEGMENT_MIN - info->map_bytes;
    b->in += SEGMENT_FIELDS;

    stdo_net *net = take(b, info->nets, sizeof *net);
    for (uint32_t n = 0; n < info->nets; n++) build_net(b, sidecar, &net[n]);
    uint8_t *map = take(b, info->map_bytes, 1);
    if (info->map_bytes > 0) memcpy(map, b->in, info->map_bytes);
    segment->net = net;
    segment->map = map;
    b->in += info->map_bytes + 4;
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
    stdo_info info;
    uint64_t room = array_room(1, sizeof(stdo_sidecar)) + STDO_ALIGNMENT - 1;
    stdo_status status = check_header(data, size, &info);
    if (status == STDO_OK)
        status = check_segments(data + HEADER_SIZE, size - HEADER_SIZE, &info, u16_at(data + 8) >= 3, &kernels.int8,
                                &room);
    if (status != STDO_OK) return status;

    uint8_t *memory = room > SIZE_MAX ? NULL : calloc(1, (size_t)room);
    if (memory == NULL) return STDO_ERROR_MEMORY;
    builder b = {data + HEADER_SIZE, align_pointer(memory, STDO_ALIGNMENT)};
    stdo_sidecar *sidecar = take(&b, 1, sizeof *sidecar);
    sidecar->memory = memory;
    sidecar->info = info;
    sidecar->kernels = kernels;
    sidecar->conv = &sidecar->kernels.int8;
    sidecar->segment = take(&b, info.segments, sizeof *sidecar->segment);
    for (uint32_t s = 0; s < info.segments; s++) build_segment(&b, sidecar, &sidecar->segment[s]);
    stdo_sidecar_lay_out(sidecar);
    *out = sidecar;
    return STDO_OK;
}

void stdo_close(stdo_sidecar *sidecar)
{
    if (sidecar != NULL) free(sidecar->memory);
}

const char *stdo_tier(const stdo_sidecar *sidecar) { return sidecar == NULL ? "" : sidecar->kernels.tier; }

stdo_status stdo_get_info(const stdo_sidecar *sidecar, stdo_info *info)
{
    if (sidecar == NULL || info == NULL) return STDO_ERROR_ARGUMENT;
    *info = sidecar->info;
    return STDO_OK;
}

stdo_status stdo_get_segment(const stdo_sidecar *sidecar, uint32_t index, stdo_segment_info *info)
{
    if (sidecar == NULL || info == NULL) return STDO_ERROR_ARGUMENT;
    if (index >= sidecar->info.segments) return STDO_ERROR_SEGMENT_RANGE;
    *info = sidecar->segment[index].info;
    return STDO_OK;
}
