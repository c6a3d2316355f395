/* Float convolutions for both x86 tiers, which define VECTOR of LANES floats, SET1, FMADD, MUL, MIN, MAX, store_first
   (the first `count` lanes) and store_rounded (as int16), and PIXELS and PIXELS_TAIL.

   One vector holds LANES output channels of a pixel; each sum is one chain of fused multiply-adds in the order of the
   plain kernel. Registers: PIXELS x 2 sums, 2 vectors of weights, one input. */

/* For one or two vectors of output channels: bias, then the weights [row][column][in][vector]. */
static size_t vectors_of(const stdo_layer *layer) { return (layer->out + LANES - 1) / LANES; }
static size_t block_vectors(size_t vectors, size_t first) { return vectors - first >= 2 ? 2 : 1; }
static size_t window(const stdo_layer *layer) { return (size_t)layer->kernel * layer->kernel * layer->in; }
static size_t pixel_bytes(uint32_t channels) { return channels * sizeof(float); }

static size_t packed_bytes(const stdo_layer *layer) { return vectors_of(layer) * (window(layer) + 1) * sizeof(VECTOR); }

static void pack(const stdo_layer *layer, void *packed)
{
    const size_t count = window(layer), vectors = vectors_of(layer);
    const float *bias = layer->bias, *weight = layer->weight;
    float *out = packed;
    for (size_t first = 0; first < vectors; first += 2) {
        const size_t lanes = block_vectors(vectors, first) * LANES, begin = first * LANES;
        for (size_t i = 0; i < lanes; i++) *out++ = begin + i < layer->out ? bias[begin + i] : 0;
        for (size_t t = 0; t < count; t++)
            for (size_t i = 0; i < lanes; i++) *out++ = begin + i < layer->out ? weight[(begin + i) * count + t] : 0;
    }
}

static void load(const uint8_t *const lr[], uint32_t planes, size_t width, void *row)
{
    float *out = row;
    for (size_t x = 0; x < width; x++)
        for (uint32_t p = 0; p < planes; p++) *out++ = (float)lr[p][x];
}

/* sum[p * vectors + v] */
STDO_INLINE void convolve(const stdo_layer *layer, const void *const rows[], size_t x, const VECTOR *packed,
                          size_t pixels, size_t vectors, VECTOR *sum)
{
    STDO_UNROLL
    for (size_t p = 0; p < pixels; p++) {
        STDO_UNROLL
        for (size_t v = 0; v < vectors; v++) sum[p * vectors + v] = packed[v];
    }
    const size_t pixel = layer->in, run = layer->kernel * pixel;
    const VECTOR *weight = packed + vectors;
    for (size_t row = 0; row < layer->kernel; row++) {
        const float *in = (const float *)rows[row] + x * pixel;
        for (size_t t = 0; t < run; t++, in++, weight += vectors) {
            STDO_UNROLL
            for (size_t p = 0; p < pixels; p++) {
                const VECTOR value = SET1(in[p * pixel]);
                STDO_UNROLL
                for (size_t v = 0; v < vectors; v++)
                    sum[p * vectors + v] = FMADD(weight[v], value, sum[p * vectors + v]);
            }
        }
    }
}

STDO_INLINE void hidden_step(const stdo_layer *layer, const void *const rows[], size_t x, const VECTOR *packed,
                             size_t pixels, size_t vectors, size_t first, float *out)
{
    const size_t left = layer->out - first * LANES, tail = left < vectors * LANES ? left % LANES : LANES;
    VECTOR sum[PIXELS * 2];
    convolve(layer, rows, x, packed, pixels, vectors, sum);
    STDO_UNROLL
    for (size_t p = 0; p < pixels; p++) {
        STDO_UNROLL
        for (size_t v = 0; v < vectors; v++)
            store_first(out + (x + p) * layer->out + (first + v) * LANES, MAX(sum[p * vectors + v], SET1(0.0f)),
                        v + 1 < vectors ? LANES : tail);
    }
}

STDO_INLINE void hidden_block(const stdo_layer *layer, const void *const rows[], size_t width, const VECTOR *packed,
                              size_t vectors, size_t first, float *out)
{
    size_t x = 0;
    for (; x + PIXELS <= width; x += PIXELS) hidden_step(layer, rows, x, packed, PIXELS, vectors, first, out);
    for (; x < width; x += PIXELS_TAIL) hidden_step(layer, rows, x, packed, PIXELS_TAIL, vectors, first, out);
}

static void hidden(const stdo_layer *layer, const void *const rows[], size_t width, void *out)
{
    const VECTOR *packed = layer->packed;
    for (size_t first = 0, vectors = vectors_of(layer); first < vectors; first += 2) {
        if (block_vectors(vectors, first) == 2)
            hidden_block(layer, rows, width, packed, 2, first, out);
        else
            hidden_block(layer, rows, width, packed, 1, first, out);
        packed += block_vectors(vectors, first) * (window(layer) + 1);
    }
}

STDO_INLINE void last_step(const stdo_layer *layer, const void *const rows[], size_t x, const VECTOR *packed,
                           size_t pixels, size_t vectors, size_t first, size_t scale, int16_t *residual, size_t stride)
{
    const VECTOR low = SET1(-32768.0f), high = SET1(32767.0f);
    VECTOR sum[PIXELS * 2];
    convolve(layer, rows, x, packed, pixels, vectors, sum);
    STDO_UNROLL
    for (size_t p = 0; p < pixels; p++) {
        STDO_UNROLL
        for (size_t v = 0; v < vectors; v++) {
            int16_t value[LANES];
            store_rounded(value, MIN(MAX(MUL(sum[p * vectors + v], SET1(64.0f)), low), high));
            const size_t begin = (first + v) * LANES, end = begin + LANES < layer->out ? begin + LANES : layer->out;
            for (size_t o = begin; o < end; o++)
                residual[o / scale * stride + (x + p) * scale + o % scale] = value[o - begin];
        }
    }
}

STDO_INLINE void last_block(const stdo_layer *layer, const void *const rows[], size_t width, const VECTOR *packed,
                            size_t vectors, size_t first, size_t scale, int16_t *residual, size_t stride)
{
    size_t x = 0;
    for (; x + PIXELS <= width; x += PIXELS)
        last_step(layer, rows, x, packed, PIXELS, vectors, first, scale, residual, stride);
    for (; x < width; x += PIXELS_TAIL)
        last_step(layer, rows, x, packed, PIXELS_TAIL, vectors, first, scale, residual, stride);
}

static void last(const stdo_layer *layer, const void *const rows[], size_t width, uint32_t scale, int16_t *residual,
                 size_t stride)
{
    const VECTOR *packed = layer->packed;
    for (size_t first = 0, vectors = vectors_of(layer); first < vectors; first += 2) {
        if (block_vectors(vectors, first) == 2)
            last_block(layer, rows, width, packed, 2, first, scale, residual, stride);
        else
            last_block(layer, rows, width, packed, 1, first, scale, residual, stride);
        packed += block_vectors(vectors, first) * (window(layer) + 1);
    }
}
