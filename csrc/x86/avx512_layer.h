/* How AVX-512 cuts an integer layer, and how it packs one. Included once, between begin_avx512vnni.h and end_target.h.

   One vector holds the int32 sums of 16 output channels of one pixel. A unit is four bytes of a row of activations: it
   is broadcast, and vpdpbusd multiplies it with 16 x 4 weights. With 8 or 4 output channels the 16 lanes would stand
   empty, so each lane takes every second or fourth unit (`split` is 2 or 4) and neighbouring lanes are added at the
   end.

   With one channel a row of the window fills its units badly: 5 bytes take 2. There the first four rows are laid side
   by side, four bytes to a pixel, so that each column of them is one unit (`tall`); the other rows lie flat. */

enum { LANES = 16, TALL = 4 };

typedef __m512i v512;

/* How a layer is cut: the same from `pack` to the last store. */
typedef struct shape {
    size_t kernel;
    size_t pixel;   /* bytes of an input pixel */
    size_t split;   /* lanes that share an output channel */
    size_t groups;  /* of `split` units in a row of the window */
    size_t vectors; /* of output channels */
    size_t tall;    /* groups in the four rows side by side, or 0 */
} shape;

/* For one or two vectors of output channels: bias, multiplier, then the weights [row][group][vector], those of the tall
   rows first. */
typedef struct block {
    v512 bias[2], multiplier[2];
    v512 weight[];
} block;

static size_t pixel_bytes(uint32_t channels)
{
    if (channels == 1) return 1;
    return channels <= LANES ? (channels + 3) / 4 * 4 : (channels + 15) / 16 * 16;
}

static shape shape_of(const stdo_layer *layer)
{
    shape s;
    s.kernel = layer->kernel;
    s.pixel = pixel_bytes(layer->in);
    s.split = layer->out <= 4 ? 4 : layer->out <= 8 ? 2 : 1;
    s.groups = (s.kernel * s.pixel + 4 * s.split - 1) / (4 * s.split);
    s.vectors = s.split > 1 ? 1 : (layer->out + LANES - 1) / LANES;
    s.tall = layer->in == 1 && s.kernel > TALL ? (s.kernel + s.split - 1) / s.split : 0;
    return s;
}

static size_t block_vectors(const shape *s, size_t first) { return s->vectors - first >= 2 ? 2 : 1; }

static size_t all_groups(const shape *s)
{
    return s->tall > 0 ? s->tall + (s->kernel - TALL) * s->groups : s->kernel * s->groups;
}

static size_t block_bytes(const shape *s, size_t vectors)
{
    return sizeof(block) + all_groups(s) * vectors * sizeof(v512);
}

static size_t packed_bytes(const stdo_layer *layer)
{
    const shape s = shape_of(layer);
    size_t bytes = 0;
    for (size_t v = 0; v < s.vectors; v += 2) bytes += block_bytes(&s, block_vectors(&s, v));
    return bytes;
}

/* The weight of output `o` for byte `at` of group `group`, counted over all rows of the window. */
static int8_t weight_at(const stdo_layer *layer, const shape *s, size_t o, size_t group, size_t at)
{
    size_t row, column, channel = 0;
    if (group < s->tall) {
        at += group * 4 * s->split;
        row = at % TALL;
        column = at / TALL;
    } else {
        const size_t flat = group - s->tall;
        at += flat % s->groups * 4 * s->split;
        row = flat / s->groups + (s->tall > 0 ? TALL : 0);
        column = at / s->pixel;
        channel = at % s->pixel;
    }
    if (o >= layer->out || column >= s->kernel || channel >= layer->in) return 0;
    return ((const int8_t *)layer->weight)[((o * s->kernel + row) * s->kernel + column) * layer->in + channel];
}

static void pack_block(const stdo_layer *layer, const shape *s, size_t first, size_t vectors, block *b)
{
    const size_t outs = LANES / s->split;
    for (size_t v = 0; v < vectors; v++) {
        int32_t bias[LANES] = {0};
        int16_t multiplier[2 * LANES] = {0};
        for (size_t i = 0; i < outs; i++) {
            const size_t o = (first + v) * LANES + i;
            if (o >= layer->out) break;
            bias[i * s->split] = ((const int32_t *)layer->bias)[o];
            /* As many outputs as fit in 128 bits of sums lie, after packing, in each 128 bits. */
            const size_t in_lane = 4 / s->split, lane = i / in_lane;
            for (size_t j = 0; j < 8; j += in_lane)
                multiplier[lane * 8 + j + i % in_lane] = (int16_t)layer->multiplier[o];
        }
        b->bias[v] = _mm512_loadu_si512(bias);
        b->multiplier[v] = _mm512_loadu_si512(multiplier);
    }
    int8_t *weight = (int8_t *)b->weight;
    for (size_t g = 0; g < all_groups(s); g++)
        for (size_t v = 0; v < vectors; v++)
            for (size_t lane = 0; lane < LANES; lane++)
                for (size_t t = 0; t < 4; t++)
                    *weight++ = weight_at(layer, s, (first + v) * LANES + lane / s->split, g, lane % s->split * 4 + t);
}

static void pack(const stdo_layer *layer, void *packed)
{
    const shape s = shape_of(layer);
    uint8_t *at = packed;
    for (size_t v = 0; v < s.vectors; v += 2) {
        const size_t vectors = block_vectors(&s, v);
        pack_block(layer, &s, v, vectors, (block *)(void *)at);
        at += block_bytes(&s, vectors);
    }
}
