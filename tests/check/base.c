/* The base, and the pixels. */
#include "check.h"

#include <string.h>

enum { MOST_WIDTH = 150, MARGIN = 4, V_LEAST = -20974, V_GREATEST = 20846 };

/* FORMAT.md's table: centre and left, for each scale. */
static const stdo_phase phases[2][STDO_MAX_SCALE][STDO_MAX_SCALE] = {
    {
        {{0, {0, 128, 0, 0}}},
        {{-1, {-4, 34, 112, -14}}, {0, {-14, 112, 34, -4}}},
        {{-1, {-7, 47, 102, -14}}, {0, {0, 128, 0, 0}}, {0, {-14, 102, 47, -7}}},
        {{-1, {-8, 55, 95, -14}}, {-1, {-1, 15, 123, -9}}, {0, {-9, 123, 15, -1}}, {0, {-14, 95, 55, -8}}},
    },
    {
        {{0, {0, 128, 0, 0}}},
        {{-1, {-1, 15, 123, -9}}, {0, {-14, 95, 55, -8}}},
        {{-1, {-2, 21, 120, -11}}, {0, {-11, 120, 21, -2}}, {0, {-12, 76, 76, -12}}},
        {{-1, {-3, 24, 119, -12}}, {0, {-5, 126, 7, 0}}, {0, {-14, 104, 44, -6}}, {0, {-10, 65, 86, -13}}},
    },
};

/* The same for scale 3/2. */
static const stdo_phase phases_3_2[2][3] = {
    {{-1, {-2, 21, 120, -11}}, {0, {-12, 76, 76, -12}}, {1, {-11, 120, 21, -2}}},
    {{-1, {-1, 9, 127, -7}}, {0, {-10, 62, 90, -14}}, {1, {-14, 112, 34, -4}}},
};

static const stdo_phase *a_phase(uint32_t scale) { return phases[random_below(2)][scale - 1]; }

void check_base_vertical(const stdo_kernels *kernels, int quick)
{
    stdo_kernels plain;
    stdo_kernels_c(&plain);
    for (size_t i = 0; i < (quick ? 150 : 2000); i++) {
        const size_t width = 1 + i % MOST_WIDTH, room = (width + STDO_SLACK) * sizeof(int16_t) + STDO_SLACK_BYTES;
        const uint32_t scale = 1 + random_below(4), r = random_below(scale), extreme = random_below(3);
        const stdo_phase *phase = &a_phase(scale)[r];
        describe("case %zu: width %zu, scale %u, taps %d %d %d %d", i, width, scale, phase->tap[0], phase->tap[1],
                 phase->tap[2], phase->tap[3]);
        uint8_t *lr[4];
        for (int j = 0; j < 4; j++) {
            lr[j] = block("lr", width, 1);
            /* The greatest and the least sum: each tap sees the value that its sign asks for. */
            if (extreme < 2) memset(lr[j], (phase->tap[j] < 0) == (extreme == 0) ? 255 : 0, width);
        }
        int16_t *v[2];
        for (int t = 0; t < 2; t++) {
            v[t] = block("v", room, sizeof(int16_t));
            (t ? kernels : &plain)->base_vertical((const uint8_t *const *)lr, phase, width, v[t]);
        }
        for (size_t x = 0; x < width; x++)
            if (v[0][x] != v[1][x]) fail("pixel %zu: expected %d, found %d", x, v[0][x], v[1][x]);
        release_blocks(0);
    }
}

void check_hr_row(const stdo_kernels *kernels, int quick)
{
    stdo_kernels plain;
    stdo_kernels_c(&plain);
    for (size_t i = 0; i < (quick ? 300 : 4000); i++) {
        const uint32_t scale = 1 + (uint32_t)(i % 4), kind = random_below(4);
        const stdo_phase *phase = a_phase(scale);
        const size_t width = 1 + i / 4 % MOST_WIDTH + (i % 64 == 63 ? 4 * MOST_WIDTH : 0);
        const size_t pixels = (width + scale - 1) / scale;
        describe("case %zu: width %zu, scale %u, residual %s", i, width, scale, kind == 0 ? "NULL" : "given");
        int16_t *v = block("v", (pixels + MARGIN + STDO_SLACK) * sizeof(int16_t) + STDO_SLACK_BYTES, sizeof(int16_t));
        const int32_t tones[] = {V_LEAST, V_GREATEST, 0};
        const uint32_t tone = random_below(4);
        for (size_t x = 0; x < pixels + MARGIN; x++)
            v[x] = (int16_t)(tone == 3 ? random_between(V_LEAST, V_GREATEST) : random_below(4) ? tones[tone] : tones[x % 3]);
        const size_t values = pixels * scale;
        int16_t *residual = NULL;
        if (kind > 0) {
            residual = block("residual", (values + STDO_SLACK * scale) * sizeof(int16_t) + STDO_SLACK_BYTES, sizeof(int16_t));
            for (size_t x = 0; x < values; x++)
                residual[x] = (int16_t)(kind == 1 ? random_between(-32768, 32767) :
                                        kind == 2 ? random_between(-4000, 4000) : random_below(2) ? 32767 : -32768);
        }
        uint8_t *hr[2];
        for (int t = 0; t < 2; t++) {
            hr[t] = block("hr", width, 1);
            (t ? kernels : &plain)->hr_row(v, phase, scale, residual, width, hr[t]);
        }
        for (size_t x = 0; x < width; x++)
            if (hr[0][x] != hr[1][x])
                fail("pixel %zu: expected %d, found %d (residual %d)", x, hr[0][x], hr[1][x], residual ? residual[x] : 0);
        release_blocks(0);
    }
}

void check_hr_row_3_2(const stdo_kernels *kernels, int quick)
{
    stdo_kernels plain;
    stdo_kernels_c(&plain);
    for (size_t i = 0; i < (quick ? 300 : 3000); i++) {
        const stdo_phase *phase = phases_3_2[random_below(2)];
        const size_t width = 1 + i % MOST_WIDTH + (i % 64 == 63 ? 4 * MOST_WIDTH : 0), pixels = (width + 2) / 3 * 2;
        describe("case %zu: width %zu", i, width);
        int16_t *v = block("v", (pixels + MARGIN + STDO_SLACK) * sizeof(int16_t) + STDO_SLACK_BYTES, sizeof(int16_t));
        const int32_t tones[] = {V_LEAST, V_GREATEST, 0};
        const uint32_t tone = random_below(4);
        for (size_t x = 0; x < pixels + MARGIN; x++)
            v[x] = (int16_t)(tone == 3 ? random_between(V_LEAST, V_GREATEST) : random_below(4) ? tones[tone] : tones[x % 3]);
        uint8_t *hr[2];
        for (int t = 0; t < 2; t++) {
            hr[t] = block("hr", width, 1);
            (t ? kernels : &plain)->hr_row_3_2(v, phase, width, hr[t]);
        }
        for (size_t x = 0; x < width; x++)
            if (hr[0][x] != hr[1][x]) fail("pixel %zu: expected %d, found %d", x, hr[0][x], hr[1][x]);
        release_blocks(0);
    }
}
