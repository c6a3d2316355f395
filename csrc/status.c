/* What the library says about itself and its input: status lines and checksums. */
#include <stdo/stdo.h>

const char *stdo_status_string(stdo_status status)
{
    switch (status) {
    case STDO_OK: return "no error";
    case STDO_ERROR_ARGUMENT: return "an argument is NULL";
    case STDO_ERROR_MEMORY: return "not enough memory for the sidecar";
    case STDO_ERROR_MAGIC: return "not a sidecar: it does not begin with \\x89STDO\\r\\n\\x1a";
    case STDO_ERROR_VERSION: return "the sidecar's version is newer than this program";
    case STDO_ERROR_HEADER: return "a field of the sidecar's header is out of range";
    case STDO_ERROR_HEADER_CRC: return "the crc of the sidecar's header is wrong";
    case STDO_ERROR_TRUNCATED: return "the sidecar ends early";
    case STDO_ERROR_SEGMENT: return "a segment's fields are out of range or do not fill its size";
    case STDO_ERROR_NET: return "a field of a net is out of range";
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

uint32_t stdo_crc32(uint32_t crc, const uint8_t *data, size_t size)
{
    /* The CRCs of the sixteen values of half a byte: small enough to read, fast enough for video. */
    static const uint32_t half[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        crc = crc >> 4 ^ half[crc & 15];
        crc = crc >> 4 ^ half[crc & 15];
    }
    return ~crc;
}
