/* Upscales FRAMES frames of noise with the first net of SIDECAR, in one call each: the work whose instructions
   `python -m bench arm` counts. Prints the tier and a checksum. */
#include <stdo/stdo.h>

#include <stdio.h>
#include <stdlib.h>

static uint8_t *block(size_t size)
{
    uint8_t *bytes = malloc(size);
    if (bytes == NULL) abort();
    for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)(i * i >> 3);
    return bytes;
}

int main(int count, char **arguments)
{
    FILE *file = count == 3 ? fopen(arguments[1], "rb") : NULL;
    if (file == NULL) return 2;
    uint8_t *data = block(1 << 20);
    const size_t size = fread(data, 1, 1 << 20, file);
    stdo_sidecar *sidecar;
    stdo_info info = {.size = sizeof info};
    if (stdo_open_memory(data, size, getenv("STDO_CPU"), &sidecar) != STDO_OK ||
        stdo_get_info(sidecar, &info) != STDO_OK)
        return 1;

    const stdo_image lr = stdo_image_from_buffer(block(stdo_image_size(info.lr_width, info.lr_height, info.colour)),
                                                 info.lr_width, info.lr_height, info.colour);
    const stdo_image hr = stdo_image_from_buffer(block(stdo_image_size(info.hr_width, info.hr_height, info.colour)),
                                                 info.hr_width, info.hr_height, info.colour);
    uint8_t *labels = block((size_t)info.columns * info.rows), *scratch = block(stdo_scratch_size(sidecar));
    for (size_t i = 0; i < (size_t)info.columns * info.rows; i++) labels[i] = 1;
    const stdo_frame what = {.size = sizeof what, .labels = labels,
                             .lr = stdo_image_for_reading(&lr), .hr = hr};
    for (long frame = 0; frame < strtol(arguments[2], NULL, 10); frame++)
        if (stdo_upscale_rows(sidecar, &what, 0, info.rows, scratch, NULL) != STDO_OK) return 1;
    printf("%s %08x\n", stdo_tier(sidecar),
           (unsigned)stdo_crc32(0, hr.plane[0], (size_t)hr.stride[0] * info.hr_height));
    return 0;
}
