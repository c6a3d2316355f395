/* Reads and writes y4m. The reader trusts nothing: lines have a longest length, numbers a range. */
#include "y4m.h"

#include <string.h>

enum { LONGEST_LINE = 1024 };

const char *y4m_status_string(y4m_status status)
{
    switch (status) {
    case Y4M_OK: return "no error";
    case Y4M_END: return "the stream has ended";
    case Y4M_EMPTY: return "there is no stream: what should have written it failed or wrote nothing";
    case Y4M_MAGIC: return "not y4m: it does not begin with YUV4MPEG2; ask ffmpeg for -f yuv4mpegpipe";
    case Y4M_LINE: return "a line of the stream is longer than 1023 bytes or not ended";
    case Y4M_PARAMETER: return "a parameter in the stream's first line is malformed";
    case Y4M_SIZE: return "the stream's first line gives no width and height of 1..65535";
    case Y4M_CHROMA: return "the stream is not 8-bit 4:2:0; ask ffmpeg for -pix_fmt yuv420p";
    case Y4M_INTERLACED:
        return "the stream is interlaced, and both fields would be shown as one picture; deinterlace the source before "
               "stdo encode: ffmpeg -vf yadif, or bwdif";
    case Y4M_FRAME: return "no frame where one should begin: the frames are not of the size that the first line says";
    case Y4M_TRUNCATED: return "the stream ends within a frame";
    }
    return "unknown status";
}

size_t y4m_frame_size(uint32_t width, uint32_t height)
{
    return (size_t)width * height + 2 * (size_t)((width + 1) / 2) * ((height + 1) / 2);
}

/* Reads a line without its newline, which must be there. A line with a NUL in it is malformed. */
static y4m_status read_line(FILE *file, char line[LONGEST_LINE])
{
    size_t length = 0;
    for (int c; (c = getc(file)) != '\n'; line[length++] = (char)c) {
        line[length] = '\0'; /* whatever the outcome */
        if (c == EOF) return length == 0 ? Y4M_END : Y4M_LINE;
        if (length == LONGEST_LINE - 1) return Y4M_LINE;
        if (c == '\0') return Y4M_PARAMETER;
    }
    line[length] = '\0';
    return Y4M_OK;
}

static int parse_side(const char *text, uint32_t *side)
{
    uint32_t value = 0;
    for (; *text >= '0' && *text <= '9' && value <= UINT16_MAX; text++) value = value * 10 + (uint32_t)(*text - '0');
    *side = value;
    return *text == '\0' && value >= 1 && value <= UINT16_MAX;
}

/* Takes text of allowed characters only, because it is written out as it came in. */
static int take_token(const char *text, const char *allowed, char token[Y4M_TOKEN])
{
    const size_t length = strlen(text);
    if (length == 0 || length >= Y4M_TOKEN || strspn(text, allowed) != length) return 0;
    memcpy(token, text, length + 1);
    return 1;
}

static int chroma_ok(const char *chroma)
{
    static const char *const known[] = {"420", "420jpeg", "420mpeg2", "420paldv"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(chroma, known[i]) == 0) return 1;
    return 0;
}

static y4m_status take_parameter(const char *text, y4m_header *header)
{
    static const char ratio[] = "0123456789:", letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", range[] = "XCOLORRANGE=";
    switch (text[0]) {
    case 'W': return parse_side(text + 1, &header->width) ? Y4M_OK : Y4M_SIZE;
    case 'H': return parse_side(text + 1, &header->height) ? Y4M_OK : Y4M_SIZE;
    case 'F': return take_token(text + 1, ratio, header->rate) ? Y4M_OK : Y4M_PARAMETER;
    case 'A': return take_token(text + 1, ratio, header->aspect) ? Y4M_OK : Y4M_PARAMETER;
    case 'I':
        if (text[1] == '\0' || strchr("ptbm?", text[1]) == NULL || text[2] != '\0') return Y4M_PARAMETER;
        header->interlace = text[1];
        return strchr("tbm", text[1]) == NULL ? Y4M_OK : Y4M_INTERLACED;
    case 'C':
        if (!chroma_ok(text + 1)) return Y4M_CHROMA;
        strcpy(header->chroma, text + 1);
        return Y4M_OK;
    case 'X':
        if (strncmp(text, range, sizeof range - 1) != 0) return Y4M_OK;
        return take_token(text + sizeof range - 1, letters, header->range) ? Y4M_OK : Y4M_PARAMETER;
    default: return Y4M_OK; /* as the format asks: what is unknown is passed over */
    }
}

y4m_status y4m_read_header(FILE *file, y4m_header *header)
{
    static const char magic[] = "YUV4MPEG2";
    char line[LONGEST_LINE];
    memset(header, 0, sizeof *header);
    const y4m_status status = read_line(file, line);
    if (status == Y4M_END) return Y4M_EMPTY;
    if (strncmp(line, magic, sizeof magic - 1) != 0 || status == Y4M_PARAMETER) return Y4M_MAGIC;
    if (status != Y4M_OK) return status;

    char *at = line + sizeof magic - 1;
    while (*at == ' ') {
        char *text = at + 1, *end = text + strcspn(text, " ");
        const char separator = *end;
        *end = '\0';
        const y4m_status taken = *text == '\0' ? Y4M_OK : take_parameter(text, header);
        if (taken != Y4M_OK) return taken;
        *end = separator;
        at = end;
    }
    if (*at != '\0') return Y4M_MAGIC;
    return header->width > 0 && header->height > 0 ? Y4M_OK : Y4M_SIZE;
}

y4m_status y4m_read_frame(FILE *file, uint8_t *planes, size_t size)
{
    char line[LONGEST_LINE];
    const y4m_status status = read_line(file, line);
    if (status == Y4M_END) return Y4M_END;
    if (status != Y4M_OK || strncmp(line, "FRAME", 5) != 0 || (line[5] != '\0' && line[5] != ' ')) return Y4M_FRAME;
    return fread(planes, 1, size, file) == size ? Y4M_OK : Y4M_TRUNCATED;
}

int y4m_write_header(FILE *file, const y4m_header *header)
{
    fprintf(file, "YUV4MPEG2 W%u H%u", (unsigned)header->width, (unsigned)header->height);
    if (header->rate[0] != '\0') fprintf(file, " F%s", header->rate);
    if (header->interlace != '\0') fprintf(file, " I%c", header->interlace);
    if (header->aspect[0] != '\0') fprintf(file, " A%s", header->aspect);
    if (header->chroma[0] != '\0') fprintf(file, " C%s", header->chroma);
    if (header->range[0] != '\0') fprintf(file, " XCOLORRANGE=%s", header->range);
    return putc('\n', file) != EOF;
}

int y4m_write_frame(FILE *file, const uint8_t *planes, size_t size)
{
    return fputs("FRAME\n", file) != EOF && fwrite(planes, 1, size, file) == size;
}
