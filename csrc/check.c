/* The first pass over a sidecar: checks every field in the order of FORMAT.md and counts what the second, in sidecar.c,
   lists. So nothing is allocated for a file that is refused, and what comes after needs no checks. */
#include "fields.h"
#include "netcode.h"

#include <string.h>

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
    info->nets = version < 3 ? 0 : u16_at(data + 33);
    info->net_bytes = 0;
    info->segments_there = info->frames_there = 0;
    const uint32_t reserved = version < 3 ? u32_at(data + 32) : data[35];
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

/* What is left of the file, and what was seen of it. */
typedef struct checker {
    fields file;
    uint32_t luma_nets;         /* of the table; those after them are for chroma */
} checker;

/* Moves over one net of versions 1 and 2. */
static stdo_status check_net(fields *f, const stdo_info *info)
{
    if (f->at == f->end) return STDO_ERROR_SEGMENT;
    const uint32_t layers = *f->at++;
    if (layers < 1 || layers > STDO_MAX_LAYERS) return STDO_ERROR_NET;

    uint32_t in = net_planes(info->colour);
    for (uint32_t l = 0; l < layers; l++) {
        if (remain(f) < LAYER_FIELDS) return STDO_ERROR_SEGMENT;
        const uint8_t *p = f->at;
        const uint32_t kernel = p[0], out = p[1], shift = p[2], reserved = p[3];
        f->at = p += LAYER_FIELDS;
        if (kernel % 2 == 0 || kernel > STDO_MAX_KERNEL || out < 1 || out > STDO_MAX_CHANNELS ||
            shift > STDO_MAX_SHIFT || reserved != 0)
            return STDO_ERROR_NET;
        if (l == layers - 1 && out != net_outputs(info)) return STDO_ERROR_NET;

        if (remain(f) < (size_t)out * OUTPUT_FIELDS + weight_count(kernel, in, out)) return STDO_ERROR_SEGMENT;
        for (uint32_t o = 0; o < out; o++, p += 2)
            if (u16_at(p) < 1 || u16_at(p) > INT16_MAX) return STDO_ERROR_NET;
        for (uint32_t o = 0; o < out; o++, p += 4)
            if (u32_at(p) + (1u << 30) > 1u << 31) return STDO_ERROR_NET; /* -2^30..2^30, seen as 0..2^31 */
        f->at = p + weight_count(kernel, in, out);
        in = out;
    }
    return STDO_OK;
}

/* The net table of version 3. */
static stdo_status check_table(checker *c, stdo_info *info)
{
    const uint8_t *table = c->file.at;
    stdo_net_shape shape = {.layers = 0};
    for (uint32_t n = 0; n < info->nets; n++) {
        uint32_t size;
        const stdo_status status = take_varint(&c->file, STDO_ERROR_TRUNCATED, STDO_ERROR_NET, &size);
        if (status != STDO_OK) return status;
        if (size < 1 || size > STDO_MAX_CODE) return STDO_ERROR_NET;
        if (size > remain(&c->file)) return STDO_ERROR_TRUNCATED;
        if (!stdo_net_shape_read(c->file.at, size, net_planes(info->colour), net_outputs(info), &shape))
            return STDO_ERROR_NET;
        const int chroma = shape.layer[0].in != net_planes(info->colour);
        if (!chroma && c->luma_nets < n) return STDO_ERROR_NET;
        c->luma_nets += !chroma;
        c->file.at += size;
        info->net_bytes += size;
    }
    if (info->nets == 0) return STDO_OK;
    if (remain(&c->file) < CRC_SIZE) return STDO_ERROR_TRUNCATED;
    const uint32_t crc = stdo_crc32(0, table, (size_t)(c->file.at - table));
    c->file.at += CRC_SIZE;
    return crc == u32_at(c->file.at - CRC_SIZE) ? STDO_OK : STDO_ERROR_NET_CRC;
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

static int frames_ok(uint32_t frames, uint32_t left, int is_last)
{
    return frames >= 1 && frames <= UINT16_MAX && frames <= left && (!is_last || frames == left);
}

static stdo_status check_plain_segment(checker *c, stdo_info *info, int is_last)
{
    if (remain(&c->file) < PLAIN_MIN) return STDO_ERROR_TRUNCATED;
    const uint8_t *data = c->file.at;
    const uint32_t size = u32_at(data), frames = u32_at(data + 8), nets = data[20], map_size = u32_at(data + 24);
    if (size > remain(&c->file)) return STDO_ERROR_TRUNCATED;
    const int ok = size >= PLAIN_MIN && u32_at(data + 4) == info->frames_there &&
                   frames_ok(frames, info->frames - info->frames_there, is_last) && nets <= STDO_MAX_NETS &&
                   u32_at(data + 20) >> 8 == 0 && (nets > 0 || map_size == 0);
    if (!ok) return STDO_ERROR_SEGMENT;

    fields f = {data + PLAIN_FIELDS, data + size - CRC_SIZE};
    for (uint32_t n = 0; n < nets; n++) {
        const stdo_status status = check_net(&f, info);
        if (status != STDO_OK) return status;
    }
    if (remain(&f) != map_size) return STDO_ERROR_SEGMENT;
    c->file.at += size;
    if (stdo_crc32(0, data, size - CRC_SIZE) != u32_at(f.end)) return STDO_ERROR_SEGMENT_CRC;
    info->nets += nets;
    info->net_bytes += size - PLAIN_MIN - map_size;
    info->frames_there += frames;
    return STDO_OK;
}

static stdo_status check_compact_segment(checker *c, stdo_info *info, int is_last)
{
    const uint8_t *data = c->file.at;
    uint32_t size, frames, index;
    stdo_status status = take_varint(&c->file, STDO_ERROR_TRUNCATED, STDO_ERROR_SEGMENT, &size);
    if (status != STDO_OK) return status;
    if (size > remain(&c->file)) return STDO_ERROR_TRUNCATED;
    if (size < COMPACT_MIN) return STDO_ERROR_SEGMENT;
    fields f = {c->file.at, c->file.at + size - CRC_SIZE};
    c->file.at += size;

    status = take_varint(&f, STDO_ERROR_SEGMENT, STDO_ERROR_SEGMENT, &frames);
    if (status != STDO_OK) return status;
    if (!frames_ok(frames, info->frames - info->frames_there, is_last) || remain(&f) < COMPACT_FIELDS)
        return STDO_ERROR_SEGMENT;
    const uint32_t nets = f.at[0] % CHROMA, chroma = f.at[0] / CHROMA % 2, computed = f.at[0] / COMPUTED;
    f.at += COMPACT_FIELDS;
    if (computed && nets == 0) return STDO_ERROR_SEGMENT;
    for (uint32_t n = 0; n < nets + chroma; n++) {
        status = take_varint(&f, STDO_ERROR_SEGMENT, STDO_ERROR_SEGMENT, &index);
        if (status != STDO_OK) return status;
        if (index >= info->nets || (index < c->luma_nets) != (n < nets)) return STDO_ERROR_SEGMENT;
    }
    if (nets == 0 && remain(&f) > 0) return STDO_ERROR_SEGMENT;
    if (computed && !classes_ok(f.at, remain(&f), nets)) return STDO_ERROR_SEGMENT;
    if (stdo_crc32(0, data, (size_t)(f.end - data)) != u32_at(f.end)) return STDO_ERROR_SEGMENT_CRC;
    info->frames_there += frames;
    return STDO_OK;
}

/* All that follows the header. */
static stdo_status check_body(checker *c, stdo_info *info, uint32_t version, int partial)
{
    if (version >= 3) {
        const stdo_status status = check_table(c, info);
        if (status != STDO_OK) return status;
    }
    while (info->segments_there < info->segments) {
        const int is_last = info->segments_there + 1 == info->segments;
        const stdo_status status =
            version >= 3 ? check_compact_segment(c, info, is_last) : check_plain_segment(c, info, is_last);
        if (status == STDO_ERROR_TRUNCATED && partial) return STDO_OK;
        if (status != STDO_OK) return status;
        info->segments_there++;
    }
    return remain(&c->file) == 0 ? STDO_OK : STDO_ERROR_TRAILING;
}

stdo_status stdo_sidecar_check(const uint8_t *data, size_t size, int partial, stdo_info *info)
{
    const stdo_status status = check_header(data, size, info);
    if (status != STDO_OK) return status;
    checker c = {.file = {data + HEADER_SIZE, data + size}};
    return check_body(&c, info, u16_at(data + 8), partial);
}
