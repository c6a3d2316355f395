/* What the library says about itself and its input: status lines and checksums. */
#include <stdo/stdo.h>

const char *stdo_version(void) { return STDO_VERSION; }
uint32_t stdo_version_number(void) { return STDO_VERSION_NUMBER; }

const char *stdo_status_string(stdo_status status)
{
    switch (status) {
    case STDO_OK: return "no error";
    case STDO_ERROR_ARGUMENT: return "an argument is NULL or wrong, or a struct says no size that it ever had";
    case STDO_ERROR_MEMORY: return "not enough memory for the sidecar";
    case STDO_ERROR_MAGIC: return "not a sidecar: it does not begin with \\x89STDO\\r\\n\\x1a";
    case STDO_ERROR_VERSION: return "the sidecar's version is newer than this program";
    case STDO_ERROR_HEADER: return "a field of the sidecar's header is out of range";
    case STDO_ERROR_HEADER_CRC: return "the crc of the sidecar's header is wrong";
    case STDO_ERROR_TRUNCATED: return "the sidecar ends early";
    case STDO_ERROR_SEGMENT: return "a segment's fields are out of range or do not fill its size";
    case STDO_ERROR_NET: return "a field of a net is out of range";
    case STDO_ERROR_NET_CRC: return "the crc of the sidecar's nets is wrong";
    case STDO_ERROR_SEGMENT_CRC: return "the crc of a segment is wrong";
    case STDO_ERROR_TRAILING: return "bytes follow the sidecar's last segment";
    case STDO_ERROR_FRAME_RANGE: return "the frame is beyond the sidecar's last";
    case STDO_ERROR_SEGMENT_RANGE: return "the segment is beyond the sidecar's last";
    case STDO_ERROR_ROW_RANGE: return "the patch rows are not a range of the patch grid";
    case STDO_ERROR_LABEL_RANGE: return "a label is greater than the segment's number of nets";
    case STDO_ERROR_TIER:
        return "unknown tier: use c, avx2, avx512vnni, neon, neon_dot, neon_i8mm, or several with commas";
    }
    return "unknown status";
}

/* Below, a table for each byte of eight would take longer to make than it saves. */
enum { TABLES_PAY = 1 << 14 };

static uint32_t crc_by_half_bytes(uint32_t crc, const uint8_t *data, size_t size)
{
    /* The CRCs of the sixteen values of half a byte: small enough to read, fast enough for video. */
    static const uint32_t half[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        crc = crc >> 4 ^ half[crc & 15];
        crc = crc >> 4 ^ half[crc & 15];
    }
    return crc;
}

static uint32_t u32_at(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Eight bytes at a time: table[n] has the CRCs of a byte that n zeros follow. size is a multiple of 8. */
static uint32_t crc_by_eight_bytes(uint32_t crc, const uint8_t *data, size_t size)
{
    uint32_t table[8][256];
    for (uint32_t byte = 0; byte < 256; byte++) {
        const uint8_t zero = 0;
        table[0][byte] = crc_by_half_bytes(byte, &zero, 1);
    }
    for (int n = 1; n < 8; n++)
        for (uint32_t byte = 0; byte < 256; byte++) {
            const uint32_t before = table[n - 1][byte];
            table[n][byte] = before >> 8 ^ table[0][before & 255];
        }
    for (size_t i = 0; i < size; i += 8) {
        const uint32_t a = crc ^ u32_at(data + i), b = u32_at(data + i + 4);
        crc = table[7][a & 255] ^ table[6][a >> 8 & 255] ^ table[5][a >> 16 & 255] ^ table[4][a >> 24] ^
              table[3][b & 255] ^ table[2][b >> 8 & 255] ^ table[1][b >> 16 & 255] ^ table[0][b >> 24];
    }
    return crc;
}

uint32_t stdo_crc32(uint32_t crc, const uint8_t *data, size_t size)
{
    const size_t eights = size < TABLES_PAY ? 0 : size & ~(size_t)7;
    crc = ~crc;
    if (eights > 0) crc = crc_by_eight_bytes(crc, data, eights);
    return ~crc_by_half_bytes(crc, data + eights, size - eights);
}
