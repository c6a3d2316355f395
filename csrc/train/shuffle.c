/* The pixel shuffle in blocks of 16 channels (Shi et al. 2016): values only change places. */
#include "train_blocks.h"

#include <string.h>

enum { BLOCK = STDO_TRAIN_BLOCK };

void stdo_train_shuffle(uint32_t patches, uint32_t height, uint32_t width, uint32_t channels, uint32_t factor,
                        uint32_t back, float *from, float *to)
{
    const size_t plane = (size_t)height * width * BLOCK, places = (size_t)factor * factor;
    const size_t blocks = stdo_train_blocks(channels), sources = stdo_train_blocks(channels * places);
    const size_t row = width * factor * BLOCK;
    if (channels % BLOCK != 0)
        memset(back ? from : to, 0, patches * plane * (back ? sources : blocks * places) * sizeof(float));
    for (size_t patch = 0; patch < patches; patch++, from += sources * plane)
        for (size_t block = 0; block < blocks; block++, to += places * plane)
            for (size_t place = 0; place < places; place++)
                for (size_t c = 0; c < stdo_train_in_block(channels, block); c++) {
                    const size_t channel = (block * BLOCK + c) * places + place;
                    float *wide = from + channel / BLOCK * plane + channel % BLOCK;
                    float *first = to + place / factor * row + place % factor * BLOCK + c;
                    for (size_t y = 0; y < height; y++, first += factor * row) {
                        float *pixel = first;
                        for (size_t x = 0; x < width; x++, wide += BLOCK, pixel += factor * BLOCK)
                            if (back)
                                *wide = *pixel;
                            else
                                *pixel = *wide;
                    }
                }
}
