/* Squared errors by patch. */
#include "squared_errors.h"

#include "../unroll.h"

#include <string.h>

/* The squares of RUN pixels add up within 32 bits; compilers add many such numbers at once. */
enum { RUN = 65536, STEP = 8 };

STDO_INLINE uint32_t errors_of(const uint8_t *a, const uint8_t *b, size_t count)
{
    uint32_t sum = 0;
    for (size_t x = 0; x < count; x++) {
        const int16_t difference = (int16_t)(a[x] - b[x]);
        sum += (uint32_t)(difference * difference);
    }
    return sum;
}

static uint64_t row_error(const uint8_t *a, const uint8_t *b, size_t width)
{
    uint64_t total = 0;
    for (; width > RUN; a += RUN, b += RUN, width -= RUN) total += errors_of(a, b, RUN);
    /* The sides of patches are multiples of 4 and often of 8, but not of what compilers take at once. */
    const size_t whole = width & ~(size_t)(2 * STEP - 1);
    total += errors_of(a, b, whole);
    if (width - whole < STEP) return total + errors_of(a + whole, b + whole, width - whole);
    total += errors_of(a + whole, b + whole, STEP);
    return total + errors_of(a + whole + STEP, b + whole + STEP, width - whole - STEP);
}

stdo_status stdo_squared_errors(const stdo_compared *planes, const stdo_patch_grid *grid, uint64_t *sums)
{
    if (planes == NULL || grid == NULL || sums == NULL || planes->truth == NULL || planes->shown == NULL ||
        (uint64_t)grid->side * grid->columns < planes->width || (uint64_t)grid->side * grid->rows < planes->height)
        return STDO_ERROR_ARGUMENT;
    memset(sums, 0, (size_t)grid->columns * grid->rows * sizeof *sums);
    const uint8_t *truth = planes->truth, *shown = planes->shown;
    uint32_t in_patch = 0; /* rows of the patch that are done */
    for (uint32_t y = 0; y < planes->height; y++, truth += planes->truth_stride, shown += planes->shown_stride) {
        uint64_t *sum = sums;
        for (size_t x = 0; x < planes->width; x += grid->side) {
            const size_t left = planes->width - x;
            *sum++ += row_error(truth + x, shown + x, left < grid->side ? left : grid->side);
        }
        if (++in_patch == grid->side) {
            in_patch = 0;
            sums += grid->columns;
        }
    }
    return STDO_OK;
}
