/* Fuzzes the y4m reader: any bytes are a stream, whose frames are read in blocks of the size that it states. */
#define _POSIX_C_SOURCE 200809L /* for fmemopen */
#include "../tools/y4m.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *exact = malloc(size > 0 ? size : 1);
    FILE *file = exact != NULL && size > 0 ? fmemopen(memcpy(exact, data, size), size, "rb") : NULL;
    y4m_header header;
    if (file != NULL && y4m_read_header(file, &header) == Y4M_OK) {
        if (header.width < 1 || header.height < 1 || header.width > UINT16_MAX || header.height > UINT16_MAX) abort();
        const size_t frame = y4m_frame_size(header.width, header.height);
        uint8_t *planes = frame <= MOST_BYTES ? malloc(frame) : NULL;
        while (planes != NULL && y4m_read_frame(file, planes, frame) == Y4M_OK) continue;
        free(planes);
    }
    if (file != NULL) fclose(file);
    free(exact);
    return 0;
}
