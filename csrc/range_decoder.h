/* The adaptive binary range decoder that the map and the codes of nets share (FORMAT.md). Any bytes may be read for
   ever: those past the end are 0. */
#ifndef STDO_RANGE_DECODER_H
#define STDO_RANGE_DECODER_H

#include <stddef.h>
#include <stdint.h>

enum { STDO_CONTEXT_START = 1 << 14 };

typedef struct stdo_range_decoder {
    const uint8_t *at, *end;
    uint32_t range, code;
} stdo_range_decoder;

static inline void stdo_range_fill(stdo_range_decoder *d)
{
    while (d->range < 1u << 24) {
        d->range <<= 8;
        d->code = d->code << 8 | (d->at < d->end ? *d->at++ : 0u);
    }
}

/* Begins at the first of `size` bytes; `data` may be NULL if there are none. */
static inline void stdo_range_start(stdo_range_decoder *d, const uint8_t *data, size_t size)
{
    d->at = data;
    d->end = size > 0 ? data + size : data;
    d->code = 0;
    for (int i = 0; i < 4; i++) d->code = d->code << 8 | (d->at < d->end ? *d->at++ : 0u);
    d->range = UINT32_MAX;
}

/* The next bit by a context, which adapts by 1 / 2^rate of what it lacks. */
static inline uint32_t stdo_range_bit_at(stdo_range_decoder *d, uint16_t *context, uint32_t rate)
{
    enum { ONE = 1 << 15 };
    const uint32_t p = *context, bound = (d->range >> 15) * p, bit = d->code >= bound;
    if (bit) {
        d->code -= bound;
        d->range -= bound;
        *context = (uint16_t)(p - (p >> rate));
    } else {
        d->range = bound;
        *context = (uint16_t)(p + ((ONE - p) >> rate));
    }
    stdo_range_fill(d);
    return bit;
}

/* The same at the rate of the map. */
static inline uint32_t stdo_range_bit(stdo_range_decoder *d, uint16_t *context)
{
    return stdo_range_bit_at(d, context, 5);
}

/* The next `count` bits, 0..32, of which each is as often 0 as 1; up to eight at once, by a division. */
static inline uint32_t stdo_range_bits(stdo_range_decoder *d, uint32_t count)
{
    uint32_t value = 0;
    while (count > 0) {
        const uint32_t some = count < 8 ? count : 8, most = (1u << some) - 1;
        d->range >>= some;
        uint32_t digits = d->code / d->range;
        if (digits > most) digits = most; /* in no code that was ever written */
        d->code -= digits * d->range;
        stdo_range_fill(d);
        value = value << some | digits;
        count -= some;
    }
    return value;
}

#endif
