/* What the library says: its version, and a line for each status. */
#include <stdo/stdo.h>

const char *stdo_version(void) { return STDO_VERSION; }
uint32_t stdo_version_number(void) { return STDO_VERSION_NUMBER; }

const char *stdo_status_string(stdo_status status)
{
    switch (status) {
    case STDO_OK: return "no error";
    case STDO_ERROR_ARGUMENT: return "an argument is NULL or wrong, or the size of a struct is not set";
    case STDO_ERROR_MEMORY: return "not enough memory for the sidecar, or more than is allowed";
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
    case STDO_ERROR_NOT_LOADED: return "the nets of the segment are not loaded";
    case STDO_ERROR_TIER:
        return "unknown tier: use c, avx2, avxvnni, avx512vnni, neon, neon_dot, neon_i8mm, or several with commas";
    }
    return "unknown status";
}
