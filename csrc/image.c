/* Images as pointers into the caller's memory. */
#include <stdo/stdo.h>

static uint32_t side(uint32_t luma, uint32_t colour, int plane)
{
    return plane > 0 && colour == STDO_COLOUR_YUV420 ? luma / 2 + luma % 2 : luma;
}

size_t stdo_image_size(uint32_t width, uint32_t height, uint32_t colour)
{
    size_t size = 0;
    for (int i = 0; i < 3; i++) size += (size_t)side(width, colour, i) * side(height, colour, i);
    return size;
}

stdo_image stdo_image_from_buffer(uint8_t *buffer, uint32_t width, uint32_t height, uint32_t colour)
{
    stdo_image image = {.chroma_step = 1};
    if (buffer == NULL) return image;
    for (int i = 0; i < 3; i++) {
        image.plane[i] = buffer;
        image.stride[i] = (ptrdiff_t)side(width, colour, i);
        buffer += (size_t)side(width, colour, i) * side(height, colour, i);
    }
    return image;
}

stdo_const_image stdo_image_for_reading(const stdo_image *image)
{
    stdo_const_image same = {.chroma_step = 1};
    if (image == NULL) return same;
    same.chroma_step = image->chroma_step;
    for (int i = 0; i < 3; i++) {
        same.plane[i] = image->plane[i];
        same.stride[i] = image->stride[i];
    }
    return same;
}
