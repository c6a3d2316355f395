/* stdo: upscales a low-resolution video with the small nets of its sidecar (FORMAT.md).

   In order: stdo_open_memory, stdo_map_new and one block of stdo_scratch_size bytes per thread; then for each frame
   stdo_map_read and stdo_upscale_rows; at the end stdo_map_free and stdo_close.

   Opened so, all nets are ready, and a sidecar may take 256 MiB. A program with less memory opens with stdo_open and
   STDO_LAZY, and loads the nets of a segment with stdo_load before its first frame and drops them after its last.

   Only stdo_open, stdo_open_memory, stdo_load and stdo_map_new allocate. The library has no globals, prints nothing,
   opens no files, starts no threads, and gives the same bytes on every machine. Pointers must not be NULL unless the
   comment says so: functions that return a status answer a NULL with STDO_ERROR_ARGUMENT. Any threads may call any
   functions at the same time, except two calls on the same stdo_map, on overlapping rows of the same hr frame, or of
   stdo_load and stdo_drop on the same sidecar; and a segment may not be dropped while rows of it are upscaled.

   Structs that begin with `size` may get more fields at their end in later versions. The caller sets it to the size of
   the struct that it was compiled with, and the library neither reads nor writes further, so that newer libraries serve
   older programs:

       stdo_info info = {.size = sizeof info};

   A size less than that of the first version, such as 0 where it was forgotten, is STDO_ERROR_ARGUMENT. Other structs,
   and the parameters of functions, stay as they are for as long as STDO_ABI does. */
#ifndef STDO_H
#define STDO_H

#include <stddef.h>
#include <stdint.h>

#define STDO_VERSION "0.1.0"
#define STDO_VERSION_NUMBER 100 /* 10000 * major + 100 * minor + patch, for #if */

/* The number in the shared library's name (libstdo.so.0): another one where programs must be compiled anew. */
#define STDO_ABI 0

/* Marks the functions that a shared library or a DLL exports. On Windows a build of the DLL defines STDO_BUILD_DLL, and
   a program that calls it may define STDO_USE_DLL. */
#if defined(_WIN32) && defined(STDO_BUILD_DLL)
#define STDO_API __declspec(dllexport)
#elif defined(_WIN32) && defined(STDO_USE_DLL)
#define STDO_API __declspec(dllimport)
#elif defined(__GNUC__) && !defined(_WIN32)
#define STDO_API __attribute__((visibility("default")))
#else
#define STDO_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- cffi reads from here: no macros but STDO_API, and no includes ---- */

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
    STDO_ERROR_LABEL_RANGE = 15,
    STDO_ERROR_TIER = 16,
    STDO_ERROR_NET_CRC = 17,
    STDO_ERROR_NOT_LOADED = 18
} stdo_status;

/* STDO_VERSION and STDO_VERSION_NUMBER of the library that runs, which may be newer than this header. */
STDO_API const char *stdo_version(void);
STDO_API uint32_t stdo_version_number(void);

/* One line of English, without a full stop; constant storage; never NULL, whatever the number. */
STDO_API const char *stdo_status_string(stdo_status status);

/* An opened sidecar. */
typedef struct stdo_sidecar stdo_sidecar;

/* The decoder of a sidecar's map: one position in it. One thread at a time may use it. */
typedef struct stdo_map stdo_map;

enum { STDO_COLOUR_YUV420 = 0, STDO_COLOUR_RGB = 1 };

typedef struct stdo_info {
    size_t size;
    uint32_t scale, divisor;    /* scale / divisor hr pixels per lr pixel: 1, 2, 3 or 4 by 1, or 3 by 2 */
    uint32_t mode;              /* what trained it; FORMAT.md */
    uint32_t patch;             /* side of a patch in lr pixels */
    uint32_t chroma;            /* 0 centre, 1 left */
    uint32_t colour;            /* STDO_COLOUR_YUV420: nets serve luma, and some U and V; STDO_COLOUR_RGB: one
                                   net serves all planes */
    uint32_t lr_width, lr_height;
    uint32_t hr_width, hr_height;
    uint32_t frames, segments;
    uint32_t columns, rows;     /* of the patch grid; a frame has columns * rows labels, row by row */
    uint32_t nets;              /* in the file; segments may share them */
    uint64_t net_bytes;         /* of these */
    uint32_t segments_there, frames_there; /* fewer than segments and frames where a part of the file was opened */
} stdo_info;

typedef struct stdo_segment_info {
    size_t size;
    uint32_t first_frame, frames;
    uint32_t lr_first_crc;      /* of the segment's first decoded lr frame: Y, U, V without padding */
    uint32_t lr_crc;            /* of all its decoded lr frames, in order */
    uint64_t net_bytes;         /* of its nets, those too that other segments share */
    uint32_t map_bytes;
    uint32_t nets;              /* for luma that it refers to: labels are 0..nets */
    uint32_t computed;          /* 1: labels follow from the lr frame, 0: they are coded in the map */
    uint32_t chroma;            /* 1: a net more serves U and V, 0: they have the base alone */
} stdo_segment_info;

/* Planes Y, U, V, 8 bit 4:2:0; a chroma plane has (width + 1) / 2 x (height + 1) / 2 samples. For STDO_COLOUR_RGB
   planes R, G, B of full size. `plane` points to the top left sample and `stride` is the distance in bytes from one row
   to the row below, which may be negative. Nothing is asked of alignment or padding: only samples inside the planes are
   touched.

   `chroma_step` is the distance in bytes from a sample of U or V to the next: 1, or 0 to the same effect, in planes of
   their own, and 2 where they lie in turns, with one stride: then plane[2] is plane[1] + 1 (NV12), or plane[1] is
   plane[2] + 1 (NV21). */
typedef struct stdo_image {
    uint8_t *plane[3];
    ptrdiff_t stride[3];
    uint32_t chroma_step;
} stdo_image;

/* The same, for reading only. */
typedef struct stdo_const_image {
    const uint8_t *plane[3];
    ptrdiff_t stride[3];
    uint32_t chroma_step;
} stdo_const_image;

/* Planes in one buffer, one after the other without padding: the bytes that they take, and the image. */
STDO_API size_t stdo_image_size(uint32_t width, uint32_t height, uint32_t colour);
STDO_API stdo_image stdo_image_from_buffer(uint8_t *buffer, uint32_t width, uint32_t height, uint32_t colour);

STDO_API stdo_const_image stdo_image_for_reading(const stdo_image *image);

/* A frame that this sidecar upscaled before, and its segment: stdo_upscale_rows copies the patches that did not change
   since. `hr` must be what `labels` and `lr` gave; each image has the chroma_step of the frame's, and where
   that is 2 `hr` has the same plane first. `lr` must be other memory than the lr frame of the call: where a decoder
   writes every frame to the same place, make a copy. `hr` may be the image that is written, in which unchanged patches
   are then left alone; otherwise the two must not overlap. */
typedef struct stdo_previous {
    size_t size;
    uint32_t segment;
    const uint8_t *labels;
    stdo_const_image lr, hr;
} stdo_previous;

/* One frame of a segment: its labels, and whole images of lr_width x lr_height and hr_width x hr_height that do not
   overlap. `previous` may be NULL, and changes no pixel.

   `ages` may be NULL. Otherwise it has columns * rows values, which the caller keeps from each frame to the next: for
   how many frames a patch has been as it is, with 0 where it was computed in this one, and 255 for more than that. So a
   texture that holds the frame of n frames ago lacks the patches whose age is less than n. Calls write the ages of their
   rows, and read them where there is a `previous`, which must be the frame that they are of.

   `hr_age` is for surfaces that are written in turn: `hr` holds what was written that many frames ago, or 0 if nothing
   that is known; EGL_EXT_buffer_age counts so too. Patches that have not changed since are left alone there, in place of
   being copied from `previous`. It needs `ages`. */
typedef struct stdo_frame {
    size_t size;
    uint32_t segment, hr_age;
    const uint8_t *labels;
    stdo_const_image lr;
    stdo_image hr;
    const stdo_previous *previous;
    uint8_t *ages;
} stdo_frame;

/* Luma patches by what was done for them. Calls add to it, so set all but `size` to zero first; each thread needs its
   own. */
typedef struct stdo_statistics {
    size_t size;
    uint64_t net, base, reused;
} stdo_statistics;

/* How a sidecar is opened. STDO_LAZY: no net is loaded yet. STDO_PARTIAL: the bytes may be the first of a file, as far as
   they have come: what they hold can be played, and once more are there, they are opened anew. The header and the net
   table must be there, otherwise it is STDO_ERROR_TRUNCATED. */
enum { STDO_LAZY = 1, STDO_PARTIAL = 2 };

/* `tiers` names the implementations that may run, separated by commas: c, avx2, avxvnni, avx512vnni, neon, neon_dot,
   neon_i8mm; NULL or "" allows all. c is always allowed, avx2 is where avxvnni is, and neon is wherever one of the two
   after it is. The best of them that this CPU has runs.

   `most` limits the bytes that are allocated for this sidecar and its nets at any time, without its maps; 0 for 256 MiB.
   Where more would be needed, the call fails with STDO_ERROR_MEMORY before it takes them. Opened with STDO_LAZY a file
   takes less than four times its bytes, and 64 KiB.

   `take` and `give` are used in place of malloc and free, with `context`; `take` gives NULL where there is no memory.
   Either both are NULL or none is.

   A net goes over a wide frame in strips, as wide as the rows between its layers fit `strip` bytes, which stay in the
   cache so; 0 for 384 KiB, which suits cores with 512 KiB of L2 and more. No choice changes a pixel. */
typedef struct stdo_options {
    size_t size;
    const char *tiers;
    uint64_t most;
    void *(*take)(void *context, size_t bytes);
    void (*give)(void *context, void *memory);
    void *context;
    uint64_t how;               /* STDO_LAZY and STDO_PARTIAL, added up; others are refused */
    uint64_t strip;
} stdo_options;

/* Checks the `size` bytes of a sidecar file as FORMAT.md says, less than 2^32, and opens it. The bytes are copied: the
   caller may free them at once. `options` may be NULL. On success the caller owns *out and ends it with stdo_close; on
   failure *out is NULL. */
STDO_API stdo_status stdo_open(const uint8_t *data, size_t size, const stdo_options *options, stdo_sidecar **out);

/* The same with `tiers` for the only option. */
STDO_API stdo_status stdo_open_memory(const uint8_t *data, size_t size, const char *tiers, stdo_sidecar **out);

/* Decodes the nets of a segment and makes them ready, where another loaded segment has not them already. Segments may be
   loaded several times, and are then to be dropped as often. Without STDO_LAZY all are loaded once. */
STDO_API stdo_status stdo_load(stdo_sidecar *sidecar, uint32_t segment);

/* STDO_ERROR_NOT_LOADED where it is not. */
STDO_API stdo_status stdo_drop(stdo_sidecar *sidecar, uint32_t segment);

/* The bytes that are allocated for a sidecar and its nets now. */
STDO_API uint64_t stdo_memory(const stdo_sidecar *sidecar);

/* The name of the implementation that runs. */
STDO_API const char *stdo_tier(const stdo_sidecar *sidecar);

/* NULL is allowed. No stdo_map of this sidecar may be read afterwards. */
STDO_API void stdo_close(stdo_sidecar *sidecar);

STDO_API stdo_status stdo_get_info(const stdo_sidecar *sidecar, stdo_info *info);
STDO_API stdo_status stdo_get_segment(const stdo_sidecar *sidecar, uint32_t index, stdo_segment_info *info);

/* The caller owns *out, ends it with stdo_map_free, and keeps the sidecar open as long as it reads the map. It takes 33
   bytes for each patch of a frame and at most 0.3 MB besides, by malloc. */
STDO_API stdo_status stdo_map_new(const stdo_sidecar *sidecar, stdo_map **out);

/* NULL is allowed; the sidecar may be closed already. */
STDO_API void stdo_map_free(stdo_map *map);

/* Writes the columns * rows labels of any frame, 0..frames-1 counted from the start of the video. Reading on decodes
   only the frames between. Going back decodes at most a 32nd of the segment's frames, going into another segment those
   from its start. `lr` is that frame as it was decoded, of which plane 0 is read; it may be NULL in segments whose
   labels are not computed. Allocates nothing. */
STDO_API stdo_status stdo_map_read(stdo_map *map, uint32_t frame, const stdo_const_image *lr, uint8_t *labels);

/* Bytes of scratch memory that one call of stdo_upscale_rows needs; the same for the life of the sidecar. */
STDO_API size_t stdo_scratch_size(const stdo_sidecar *sidecar);

/* Upscales the patch rows row_begin..row_end-1 of a frame. Ranges that partition the rows partition the hr samples too,
   so threads may share a frame, each with a range and scratch of its own. `scratch` may have any alignment and content.
   Allocates nothing; where it fails, `hr` is untouched. `statistics` may be NULL. */
STDO_API stdo_status stdo_upscale_rows(const stdo_sidecar *sidecar, const stdo_frame *frame, uint32_t row_begin,
                                       uint32_t row_end, void *scratch, stdo_statistics *statistics);

/* Counts the products of weights and pixels that a frame with these labels takes where nothing is copied. Patches of one
   net are joined to rectangles, which compute some pixels around them anew, so fragmented labels take more. `scratch`
   as for stdo_upscale_rows. */
STDO_API stdo_status stdo_count_products(const stdo_sidecar *sidecar, uint32_t segment, const uint8_t *labels,
                                         void *scratch, uint64_t *products);

/* The CRC-32 of zlib: begin with crc = 0 and hand each result to the next call. */
STDO_API uint32_t stdo_crc32(uint32_t crc, const uint8_t *data, size_t size);

/* ---- cffi reads to here ---- */

#ifdef __cplusplus
}
#endif

#endif
