/* Training's inner loops for all vector tiers, which define VECTOR of LANES floats, LOAD, STORE, LOAD_INT16, SET1, ADD,
   SUB, MUL, DIV, SQRT, ABS, FMADD (a * b + c), POSITIVE (value where mask is above 0, else 0), and how many pixels
   (PIXEL_CASES) and sums of weights (RUN_CASES) a step keeps in registers.

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
        const size_t kernel_row = r->columns * channels * STDO_TRAIN_BLOCK;
        const float *next = weight + r->kernel * kernel_row;
        weight += r->first * kernel_row;
        for (size_t row = 0; row < r->rows; row++)
            for (size_t column = 0; column < r->columns; column++) {
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
    for (size_t i = sizeof cases / sizeof *cases; i-- > 0;)
        if (cases[i] == width) return width; /* no divisions for the short rows of a net's input */
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
    const size_t joined = w->channels == w->in_pixel ? w->columns : 1, length = joined * w->channels;
    float *to = w->sum;
    for (size_t row = 0; row < w->kernel; row++)
        for (size_t column = 0; column < w->columns; column += joined, to += length * STDO_TRAIN_BLOCK)
            run(w, w->in + row * w->in_row + column * w->in_pixel, length, to);
}

/* ---- F(4, 3); the formulas are those of train_c.c ---- */

/* A pixel of a row whose first is `margin`; 0 outside. */
STDO_INLINE VECTOR pixel_or_zero(const stdo_train_tiles *t, size_t at, size_t v)
{
    return at - t->margin < t->width ? LOAD(t->in + (at - t->margin) * STDO_TRAIN_BLOCK + v * LANES) : SET1(0);
}

static void input_tiles(const stdo_train_tiles *t)
{
    const VECTOR two = SET1(2), four = SET1(4), five = SET1(-5), minus_two = SET1(-2), minus_four = SET1(-4);
    for (size_t tile = 0; tile < t->tiles; tile++) {
        STDO_UNROLL
        for (size_t v = 0; v < VECTORS; v++) {
            VECTOR d[STDO_TRAIN_POINTS];
            STDO_UNROLL
            for (size_t i = 0; i < STDO_TRAIN_POINTS; i++) d[i] = pixel_or_zero(t, tile * STDO_TRAIN_TILE + i, v);
            const VECTOR even = FMADD(minus_four, d[2], d[4]), odd = FMADD(minus_four, d[1], d[3]);
            const VECTOR even_2 = SUB(d[4], d[2]), odd_2 = SUB(d[3], d[1]);
            float *to = t->out + tile * STDO_TRAIN_BLOCK + v * LANES;
            STORE(to, FMADD(four, d[0], FMADD(five, d[2], d[4])));
            STORE(to + t->plane, ADD(even, odd));
            STORE(to + 2 * t->plane, SUB(even, odd));
            STORE(to + 3 * t->plane, FMADD(two, odd_2, even_2));
            STORE(to + 4 * t->plane, FMADD(minus_two, odd_2, even_2));
            STORE(to + 5 * t->plane, FMADD(four, d[1], FMADD(five, d[3], d[5])));
        }
    }
}

static void gradient_tiles(const stdo_train_tiles *t)
{
    const VECTOR two = SET1(2), four = SET1(4), minus_two = SET1(-2);
    for (size_t tile = 0; tile < t->tiles; tile++) {
        STDO_UNROLL
        for (size_t v = 0; v < VECTORS; v++) {
            VECTOR d[STDO_TRAIN_TILE];
            STDO_UNROLL
            for (size_t i = 0; i < STDO_TRAIN_TILE; i++) d[i] = pixel_or_zero(t, tile * STDO_TRAIN_TILE + i, v);
            const VECTOR even = ADD(d[0], d[2]), odd = ADD(d[1], d[3]);
            const VECTOR even_2 = FMADD(four, d[2], d[0]), odd_2 = FMADD(four, d[3], d[1]);
            float *to = t->out + tile * STDO_TRAIN_BLOCK + v * LANES;
            STORE(to, d[0]);
            STORE(to + t->plane, ADD(even, odd));
            STORE(to + 2 * t->plane, SUB(even, odd));
            STORE(to + 3 * t->plane, FMADD(two, odd_2, even_2));
            STORE(to + 4 * t->plane, FMADD(minus_two, odd_2, even_2));
            STORE(to + 5 * t->plane, d[3]);
        }
    }
}

static void output_tiles(const stdo_train_tiles *t)
{
    const VECTOR two = SET1(2), four = SET1(4), eight = SET1(8);
    for (size_t tile = 0; tile < t->tiles; tile++) {
        const size_t first = tile * STDO_TRAIN_TILE, left = t->width - first;
        STDO_UNROLL
        for (size_t v = 0; v < VECTORS; v++) {
            VECTOR m[STDO_TRAIN_POINTS], y[STDO_TRAIN_TILE];
            STDO_UNROLL
            for (size_t i = 0; i < STDO_TRAIN_POINTS; i++)
                m[i] = LOAD(t->in + i * t->plane + tile * STDO_TRAIN_BLOCK + v * LANES);
            const VECTOR ones = ADD(m[1], m[2]), ones_apart = SUB(m[1], m[2]);
            const VECTOR twos = ADD(m[3], m[4]), twos_apart = SUB(m[3], m[4]), start = LOAD(t->start + v * LANES);
            y[0] = ADD(ADD(ADD(m[0], ones), twos), start);
            y[1] = ADD(FMADD(two, twos_apart, ones_apart), start);
            y[2] = ADD(FMADD(four, twos, ones), start);
            y[3] = ADD(ADD(FMADD(eight, twos_apart, ones_apart), m[5]), start);
            STDO_UNROLL
            for (size_t i = 0; i < STDO_TRAIN_TILE; i++) {
                const size_t at = (first + i) * STDO_TRAIN_BLOCK + v * LANES;
                if (i >= left) break;
                if (t->relu) y[i] = POSITIVE(y[i], y[i]);
                if (t->mask != NULL) y[i] = POSITIVE(LOAD(t->mask + at), y[i]);
                STORE(t->out + at, y[i]);
            }
        }
    }
}

/* ---- The loss ---- */

STDO_INLINE void errors_of(stdo_train_errors *e, stdo_train_loss loss)
{
    const VECTOR zero = SET1(0), unit = SET1(e->unit), slope = SET1(e->slope), epsilon = SET1(e->epsilon * e->epsilon);
    const VECTOR minus_slope = SET1(-e->slope), two_slopes = SET1(2 * e->slope);
    int16_t wanted[STDO_TRAIN_BLOCK] = {0};
    VECTOR sum[VECTORS], used[VECTORS];
    STDO_UNROLL
    for (size_t v = 0; v < VECTORS; v++) sum[v] = zero;
    float marks[STDO_TRAIN_BLOCK] = {0};
    for (size_t o = 0; o < e->channels; o++) marks[o] = 1;
    STDO_UNROLL
    for (size_t v = 0; v < VECTORS; v++) used[v] = LOAD(marks + v * LANES);
    for (size_t i = 0; i < e->pixels; i++) {
        const int16_t *target = e->target + i * e->out;
        if (e->channels < STDO_TRAIN_BLOCK) target = memcpy(wanted, target, e->channels * sizeof *wanted);
        STDO_UNROLL
        for (size_t v = 0; v < VECTORS; v++) {
            const VECTOR y = LOAD(e->y + i * STDO_TRAIN_BLOCK + v * LANES);
            const VECTOR d = SUB(y, MUL(unit, LOAD_INT16(target + v * LANES)));
            VECTOR gradient;
            if (loss == STDO_TRAIN_L1) {
                sum[v] = ADD(sum[v], ABS(d));
                gradient = ADD(POSITIVE(d, slope), POSITIVE(SUB(zero, d), minus_slope));
            } else if (loss == STDO_TRAIN_L2) {
                sum[v] = ADD(sum[v], MUL(d, d));
                gradient = MUL(two_slopes, d);
            } else {
                const VECTOR root = SQRT(ADD(MUL(d, d), epsilon));
                sum[v] = ADD(sum[v], root);
                gradient = DIV(MUL(slope, d), root);
            }
            if (e->d_y != NULL) STORE(e->d_y + i * STDO_TRAIN_BLOCK + v * LANES, POSITIVE(used[v], gradient));
        }
    }
    STDO_UNROLL
    for (size_t v = 0; v < VECTORS; v++) STORE(e->sum + v * LANES, POSITIVE(used[v], sum[v]));
}

static void errors(stdo_train_errors *e)
{
    switch (e->loss) {
    case STDO_TRAIN_L1: errors_of(e, STDO_TRAIN_L1); break;
    case STDO_TRAIN_CHARBONNIER: errors_of(e, STDO_TRAIN_CHARBONNIER); break;
    case STDO_TRAIN_L2: errors_of(e, STDO_TRAIN_L2); break;
    }
}

#define STDO_TRAIN_KERNELS(tier) {tier, row, weights, input_tiles, gradient_tiles, output_tiles, errors}
