/* Training's inner loops for all vector tiers, which define VECTOR of LANES floats, LOAD, STORE, SET1, FMADD (a * b + c),
   POSITIVE (value where mask is above 0, else 0), and how many pixels (PIXEL_CASES) and sums of weights (RUN_CASES) a step
   keeps in registers.

   A block of 16 output channels is VECTORS vectors. In `row` each weight is loaded once for all pixels of a step, and each
   input once for all vectors of a pixel; in `weights` it is the same with gradients for weights. */

enum { VECTORS = STDO_TRAIN_BLOCK / LANES };

STDO_INLINE void row_step(const stdo_train_row *r, size_t x, size_t pixels, size_t in_pixel)
{
    VECTOR sum[PIXELS * VECTORS];
    STDO_UNROLL
    for (size_t p = 0; p < pixels; p++) {
        STDO_UNROLL
        for (size_t v = 0; v < VECTORS; v++) sum[p * VECTORS + v] = LOAD(r->start + v * LANES);
    }
    const float *block = r->in + x * in_pixel, *weight = r->weight;
    for (size_t left = r->channels; left > 0; block += r->in_block) {
        const size_t channels = left < STDO_TRAIN_BLOCK ? left : STDO_TRAIN_BLOCK;
        const size_t kernel_row = r->kernel * channels * STDO_TRAIN_BLOCK;
        const float *next = weight + r->kernel * kernel_row;
        weight += r->first * kernel_row;
        for (size_t row = 0; row < r->rows; row++)
            for (size_t column = 0; column < r->kernel; column++) {
                const float *in = block + row * r->in_row + column * in_pixel;
                for (size_t c = 0; c < channels; c++, in++, weight += STDO_TRAIN_BLOCK) {
                    VECTOR w[VECTORS];
                    STDO_UNROLL
                    for (size_t v = 0; v < VECTORS; v++) w[v] = LOAD(weight + v * LANES);
                    STDO_UNROLL
                    for (size_t p = 0; p < pixels; p++) {
                        const VECTOR value = SET1(in[p * in_pixel]);
                        STDO_UNROLL
                        for (size_t v = 0; v < VECTORS; v++)
                            sum[p * VECTORS + v] = FMADD(value, w[v], sum[p * VECTORS + v]);
                    }
                }
            }
        weight = next;
        left -= channels;
    }
    STDO_UNROLL
    for (size_t p = 0; p < pixels; p++) {
        STDO_UNROLL
        for (size_t v = 0; v < VECTORS; v++) {
            const size_t at = (x + p) * STDO_TRAIN_BLOCK + v * LANES;
            VECTOR value = sum[p * VECTORS + v];
            if (r->relu) value = POSITIVE(value, value);
            if (r->mask != NULL) value = POSITIVE(LOAD(r->mask + at), value);
            STORE(r->out + at, value);
        }
    }
}

/* The last step is moved back to end with the row: some pixels are made twice. */
#define ROW_CASE(count) \
    case count: \
        for (size_t x = 0; x < r->width; x += count) { \
            const size_t at = x + count <= r->width ? x : r->width - count; \
            if (r->in_pixel == STDO_TRAIN_BLOCK) \
                row_step(r, at, count, STDO_TRAIN_BLOCK); \
            else \
                row_step(r, at, count, r->in_pixel); \
        } \
        break;

/* Of the steps there are code for, the one that makes the fewest pixels twice; a longer one where that is equal. */
static size_t pixels_for(size_t width)
{
    static const size_t cases[] = {PIXEL_CASES(LIST_CASE)};
    size_t best = 1, least = (size_t)-1;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const size_t made = (width + cases[i] - 1) / cases[i] * (cases[i] + 1); /* a step costs about one pixel more */
        if (cases[i] <= width && made <= least) {
            least = made;
            best = cases[i];
        }
    }
    return best;
}

static void row(const stdo_train_row *r)
{
    switch (pixels_for(r->width)) {
        PIXEL_CASES(ROW_CASE)
    }
}

STDO_INLINE void run_step(const stdo_train_weights *w, const float *in, size_t run, float *to)
{
    VECTOR sum[RUN * VECTORS];
    STDO_UNROLL
    for (size_t i = 0; i < run * VECTORS; i++) sum[i] = LOAD(to + i * LANES);
    const float *d_out = w->d_out;
    for (size_t y = 0; y < w->height; y++, in += w->in_row) {
        const float *at = in;
        for (size_t x = 0; x < w->width; x++, at += w->in_pixel, d_out += STDO_TRAIN_BLOCK) {
            VECTOR d[VECTORS];
            STDO_UNROLL
            for (size_t v = 0; v < VECTORS; v++) d[v] = LOAD(d_out + v * LANES);
            STDO_UNROLL
            for (size_t i = 0; i < run; i++) {
                const VECTOR value = SET1(at[i]);
                STDO_UNROLL
                for (size_t v = 0; v < VECTORS; v++) sum[i * VECTORS + v] = FMADD(value, d[v], sum[i * VECTORS + v]);
            }
        }
    }
    STDO_UNROLL
    for (size_t i = 0; i < run * VECTORS; i++) STORE(to + i * LANES, sum[i]);
}

#define RUN_CASE(count) \
    if (length >= count) { \
        run_step(w, in, count, to); \
        done = count; \
    } else

/* The sums of `length` inputs that lie side by side. */
static void run(const stdo_train_weights *w, const float *in, size_t length, float *to)
{
    for (size_t done; length > 0; length -= done, in += done, to += done * STDO_TRAIN_BLOCK) {
        RUN_CASES(RUN_CASE)
        {
            run_step(w, in, 1, to);
            done = 1;
        }
    }
}

static void weights(const stdo_train_weights *w)
{
    /* Columns of the kernel lie side by side too where pixels have no gaps. */
    const size_t joined = w->channels == w->in_pixel ? w->kernel : 1, length = joined * w->channels;
    float *to = w->sum;
    for (size_t row = 0; row < w->kernel; row++)
        for (size_t column = 0; column < w->kernel; column += joined, to += length * STDO_TRAIN_BLOCK)
            run(w, w->in + row * w->in_row + column * w->in_pixel, length, to);
}
