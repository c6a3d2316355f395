/* YUV4MPEG2 streams of 8-bit 4:2:0, as ffmpeg's yuv4mpegpipe muxer writes them. */
#ifndef STDO_TOOLS_Y4M_H
#define STDO_TOOLS_Y4M_H

#include <stdint.h>
#include <stdio.h>

typedef enum y4m_status {
    Y4M_OK = 0,
    Y4M_END,                    /* no byte of another frame follows */
    Y4M_EMPTY,
    Y4M_MAGIC,
    Y4M_LINE,
    Y4M_PARAMETER,
    Y4M_SIZE,
    Y4M_CHROMA,
    Y4M_INTERLACED,
    Y4M_FRAME,
    Y4M_TRUNCATED
} y4m_status;

enum { Y4M_TOKEN = 32 };

/* What a stream says about itself. Empty strings and '\0' where it does not. */
typedef struct y4m_header {
    uint32_t width, height;     /* 1..65535 */
    char interlace;             /* p or ?; interlaced streams are refused */
    char chroma[Y4M_TOKEN];     /* 420, 420jpeg, 420mpeg2 or 420paldv */
    char rate[Y4M_TOKEN], aspect[Y4M_TOKEN], range[Y4M_TOKEN];
} y4m_header;

/* One line of English; never NULL. */
const char *y4m_status_string(y4m_status status);

/* Bytes of a frame's planes Y, U, V, one after the other without padding. */
size_t y4m_frame_size(uint32_t width, uint32_t height);

/* Reads the stream's first line. Sizes are checked for 1..65535 only. */
y4m_status y4m_read_header(FILE *file, y4m_header *header);

/* Reads one frame: `size` bytes of planes after its line. Y4M_END where the stream ends in front of it. */
y4m_status y4m_read_frame(FILE *file, uint8_t *planes, size_t size);

/* Both give 0 where the file takes no more. */
int y4m_write_header(FILE *file, const y4m_header *header);
int y4m_write_frame(FILE *file, const uint8_t *planes, size_t size);

#endif
