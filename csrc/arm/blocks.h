/* The rows of a layer with SDOT or SMMLA, which define `convolve`: sums of `pixels` pixels and `vectors` vectors of
   outputs from packed weights, and weight_bytes(layer, vectors). A layer's vectors are cut into blocks of four, and at
   the end two or one: fewer vectors go with more pixels, so that the registers hold the same number of sums. */

/* A block: `vectors` stdo_finish, then weights as `pack_weights` lays them. */
static size_t vectors_of(const stdo_layer *layer) { return (layer->out + LANES - 1) / LANES; }

static size_t block_vectors(size_t left) { return left >= 3 ? 4 : left; }

static size_t block_bytes(const stdo_layer *layer, size_t vectors)
{
    const size_t bytes = vectors * sizeof(stdo_finish) + weight_bytes(layer, vectors);
    return (bytes + 15) / 16 * 16;
}

static size_t packed_bytes(const stdo_layer *layer)
{
    size_t bytes = 0;
    for (size_t v = 0, all = vectors_of(layer); v < all; v += block_vectors(all - v))
        bytes += block_bytes(layer, block_vectors(all - v));
    return bytes;
}

static void pack(const stdo_layer *layer, void *packed)
{
    uint8_t *at = packed;
    for (size_t first = 0, all = vectors_of(layer); first < all;) {
        const size_t vectors = block_vectors(all - first);
        for (size_t v = 0; v < vectors; v++) stdo_arm_pack_finish(layer, first + v, (stdo_finish *)(void *)at + v);
        pack_weights(layer, first, vectors, (int8_t *)at + vectors * sizeof(stdo_finish));
        at += block_bytes(layer, vectors);
        first += vectors;
    }
}

STDO_INLINE void hidden_block(const stdo_layer *layer, const uint8_t *const rows[], size_t width, const uint8_t *block,
                              size_t pixels, size_t vectors, uint8_t *out, size_t out_pixel)
{
    const stdo_finish *finish = (const stdo_finish *)(const void *)block;
    const int8_t *weight = (const int8_t *)(finish + vectors);
    const int32x4_t shift = vdupq_n_s32(-(int32_t)layer->shift);
    const size_t pixel = stdo_arm_pixel_bytes(layer->in);
    for (size_t x = 0; x < width; x += pixels) {
        int32x4_t sum[16];
        convolve(layer->kernel, pixel, rows, x * pixel, finish, weight, pixels, vectors, sum);
        store_hidden(sum, pixels, vectors, finish, shift, out + x * out_pixel, out_pixel);
    }
}

STDO_INLINE void last_block(const stdo_layer *layer, const uint8_t *const rows[], size_t width, const uint8_t *block,
                            size_t pixels, size_t vectors, size_t first, size_t scale, int16_t *residual, size_t stride)
{
    const stdo_finish *finish = (const stdo_finish *)(const void *)block;
    const int8_t *weight = (const int8_t *)(finish + vectors);
    const int32x4_t shift = vdupq_n_s32(-(int32_t)layer->shift);
    const size_t pixel = stdo_arm_pixel_bytes(layer->in);
    for (size_t x = 0; x < width; x += pixels) {
        int32x4_t sum[16];
        convolve(layer->kernel, pixel, rows, x * pixel, finish, weight, pixels, vectors, sum);
        store_last(sum, pixels, vectors, finish, shift, first, layer->out, scale, x, residual, stride);
    }
}

static void hidden(const stdo_layer *layer, const void *const rows[], size_t width, void *out)
{
    const uint8_t *in[STDO_MAX_KERNEL], *block = layer->packed;
    for (size_t i = 0; i < layer->kernel; i++) in[i] = rows[i];
    const size_t out_pixel = stdo_arm_pixel_bytes(layer->out);
    for (size_t first = 0, all = vectors_of(layer); first < all;) {
        const size_t vectors = block_vectors(all - first);
        uint8_t *to = (uint8_t *)out + first * LANES;
        if (vectors == 4)
            hidden_block(layer, in, width, block, 4, 4, to, out_pixel);
        else if (vectors == 2)
            hidden_block(layer, in, width, block, 8, 2, to, out_pixel);
        else
            hidden_block(layer, in, width, block, 8, 1, to, out_pixel);
        block += block_bytes(layer, vectors);
        first += vectors;
    }
}

static void last(const stdo_layer *layer, const void *const rows[], size_t width, uint32_t scale, int16_t *residual,
                 size_t stride)
{
    const uint8_t *in[STDO_MAX_KERNEL], *block = layer->packed;
    for (size_t i = 0; i < layer->kernel; i++) in[i] = rows[i];
    for (size_t first = 0, all = vectors_of(layer); first < all;) {
        const size_t vectors = block_vectors(all - first);
        if (scale == 4) /* 16 or 48 outputs: always four vectors */
            last_block(layer, in, width, block, 4, 4, first, 4, residual, stride);
        else if (vectors == 4)
            last_block(layer, in, width, block, 4, 4, first, scale, residual, stride);
        else if (vectors == 2)
            last_block(layer, in, width, block, 8, 2, first, scale, residual, stride);
        else
            last_block(layer, in, width, block, 8, 1, first, scale, residual, stride);
        block += block_bytes(layer, vectors);
        first += vectors;
    }
}
