/* The declarations of stdo.h, without macros or includes: cffi reads this file too. Include stdo.h instead. */

typedef enum stdo_status {
    STDO_OK = 0,
    STDO_ERROR_ARGUMENT = 1,
    STDO_ERROR_MEMORY = 2,
    STDO_ERROR_MAGIC = 3,
    STDO_ERROR_VERSION = 4,
    STDO_ERROR_HEADER = 5,
    STDO_ERROR_HEADER_CRC = 6,
    STDO_ERROR_TRUNCATED = 7,
    STDO_ERROR_SEGMENT = 8,
    STDO_ERROR_NET = 9,
    STDO_ERROR_SEGMENT_CRC = 10,
    STDO_ERROR_TRAILING = 11,
    STDO_ERROR_FRAME_RANGE = 12,
    STDO_ERROR_SEGMENT_RANGE = 13,
    STDO_ERROR_ROW_RANGE = 14,
    STDO_ERROR_LABEL_RANGE = 15
} stdo_status;

/* One line of English, without a full stop; constant storage; never NULL, whatever the number. */
const char *stdo_status_string(stdo_status status);

/* A parsed sidecar. It never changes, so any number of threads may use one at the same time. */
typedef struct stdo_sidecar stdo_sidecar;

/* The decoder of a sidecar's map: one position in it. One thread at a time may use it. */
typedef struct stdo_map stdo_map;

typedef struct stdo_info {
    uint32_t scale;             /* hr pixels per lr pixel, 1..4 */
    uint32_t mode;              /* 0 other, 1 single, 2 stdo */
    uint32_t patch;             /* side of a patch in lr pixels */
    uint32_t chroma;            /* 0 centre, 1 left */
    uint32_t lr_width, lr_height;
    uint32_t hr_width, hr_height;
    uint32_t frames, segments;
    uint32_t columns, rows;     /* of the patch grid; a frame has columns * rows labels, row by row */
} stdo_info;

typedef struct stdo_segment_info {
    uint32_t first_frame, frames;
    uint32_t lr_first_crc;      /* of the segment's first decoded lr frame: Y, U, V without padding */
    uint32_t lr_crc;            /* of all its decoded lr frames, in order */
    uint32_t nets;              /* stored nets: labels are 0..nets */
    uint32_t net_bytes, map_bytes;
} stdo_segment_info;

/* Planes Y, U, V, 8 bit 4:2:0; a chroma plane has (width + 1) / 2 x (height + 1) / 2 samples. `plane` points to the top
   left sample and `stride` is the distance in bytes from one row to the row below, which may be negative. Nothing is
   asked of alignment or padding: only samples inside the planes are touched. */
typedef struct stdo_image {
    uint8_t *plane[3];
    ptrdiff_t stride[3];
} stdo_image;

/* The same, for reading only. */
typedef struct stdo_const_image {
    const uint8_t *plane[3];
    ptrdiff_t stride[3];
} stdo_const_image;

/* Checks the `size` bytes of a sidecar file as FORMAT.md says and parses them. The bytes are copied: the caller may free
   them at once. On success the caller owns *out and ends it with stdo_close; on failure *out is NULL. */
stdo_status stdo_open_memory(const uint8_t *data, size_t size, stdo_sidecar **out);

/* NULL is allowed. No stdo_map of this sidecar may be read afterwards. */
void stdo_close(stdo_sidecar *sidecar);

stdo_status stdo_get_info(const stdo_sidecar *sidecar, stdo_info *info);
stdo_status stdo_get_segment(const stdo_sidecar *sidecar, uint32_t index, stdo_segment_info *info);

/* The caller owns *out, ends it with stdo_map_free, and keeps the sidecar open as long as it reads the map. */
stdo_status stdo_map_new(const stdo_sidecar *sidecar, stdo_map **out);

/* NULL is allowed; the sidecar may be closed already. */
void stdo_map_free(stdo_map *map);

/* Writes the columns * rows labels of any frame, 0..frames-1 counted from the start of the video. Reading on decodes only
   the frames between; going back, or into another segment, decodes from the start of the segment. Allocates nothing. */
stdo_status stdo_map_read(stdo_map *map, uint32_t frame, uint8_t *labels);

/* Bytes of scratch memory that one call of stdo_upscale_rows needs; the same for the life of the sidecar. */
size_t stdo_scratch_size(const stdo_sidecar *sidecar);

/* Upscales the patch rows row_begin..row_end-1 of one frame of a segment. `labels` are those of the whole frame, `lr` and
   `hr` whole frames of lr_width x lr_height and hr_width x hr_height. Ranges that partition the rows partition the hr
   samples too, so threads may share a frame, each with a range and scratch of its own. `scratch` may have any alignment
   and content. Allocates nothing; where it fails, `hr` is untouched. `lr` and `hr` must not overlap. */
stdo_status stdo_upscale_rows(const stdo_sidecar *sidecar, uint32_t segment, const uint8_t *labels,
                              const stdo_const_image *lr, const stdo_image *hr,
                              uint32_t row_begin, uint32_t row_end, void *scratch);

/* The CRC-32 of zlib: begin with crc = 0 and hand each result to the next call. */
uint32_t stdo_crc32(uint32_t crc, const uint8_t *data, size_t size);
