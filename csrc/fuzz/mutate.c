/* Mutates the files named and upscales them, without libFuzzer: SEED RUNS FILE... So it runs with any compiler on any
   system, and under emulation. The same seed gives the same inputs; nothing is learnt from what they reach, so begin
   from what libFuzzer kept. Prints how many frames each tier upscaled. */
#include "fuzz_upscale.h"
#include "sidecar_mutator.h"
#include "surface.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST = 4000, MOST_MUTATIONS = 4, MOST_INSERTED = 8 };

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);

static uint32_t state;

/* One change: a bit, a byte, a byte by a little, a field of limits, bytes from elsewhere, bytes put in or taken out. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most)
{
    const uint32_t kind = size > 0 ? draw(&state, 7) : 5;
    const size_t at = draw(&state, (uint32_t)size + (size == 0)), rest = size - at;
    const size_t length = 1 + draw(&state, MOST_INSERTED);
    if (kind == 0) data[at] ^= (uint8_t)(1 << draw(&state, 8));
    if (kind == 1) data[at] = (uint8_t)draw(&state, 256);
    if (kind == 2) data[at] = (uint8_t)(data[at] + draw(&state, 9) - 4);
    if (kind == 3) memset(data + at, draw(&state, 2) ? 255 : 0, length < rest ? length : rest);
    if (kind == 4) memmove(data + at, data + draw(&state, (uint32_t)(size - (length < rest ? length : rest)) + 1),
                           length < rest ? length : rest);
    if (kind == 5 && size + length <= most) {
        memmove(data + at + length, data + at, rest);
        for (size_t i = 0; i < length; i++) data[at + i] = (uint8_t)draw(&state, 256);
        return size + length;
    }
    if (kind == 6 && length < rest) {
        memmove(data + at, data + at + length, rest - length);
        return size - length;
    }
    return size;
}

static size_t read_file(const char *path, uint8_t *data)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fprintf(stderr, "%s: cannot be opened\n", path);
        exit(2);
    }
    const size_t size = fread(data, 1, LARGEST, file);
    fclose(file);
    return size;
}

int main(int count, char **words)
{
    if (count < 4) {
        fprintf(stderr, "usage: %s SEED RUNS FILE...\n", words[0]);
        return 2;
    }
    const unsigned long runs = strtoul(words[2], NULL, 10);
    state = 2 * (uint32_t)strtoul(words[1], NULL, 10) + 1;
    LLVMFuzzerInitialize(&count, &words);
    for (unsigned long i = 0; i < runs; i++) {
        uint8_t file[LARGEST];
        size_t size = read_file(words[3 + draw(&state, (uint32_t)count - 3)], file);
        for (uint32_t n = 1 + draw(&state, MOST_MUTATIONS); n > 0; n--)
            size = LLVMFuzzerCustomMutator(file, size, LARGEST, draw(&state, 1 << 16));
        uint8_t *exact = malloc(size > 0 ? size : 1);
        if (exact == NULL) return 2;
        LLVMFuzzerTestOneInput(memcpy(exact, file, size), size);
        free(exact);
    }
    printf("%lu runs, nothing found; frames compared:\n", runs);
    for (int tier = 0; tier < STDO_TIERS; tier++)
        if (stdo_fuzz_compared[tier] > 0)
            printf("%s %llu\n", stdo_tier_name((stdo_tier_index)tier), (unsigned long long)stdo_fuzz_compared[tier]);
    return 0;
}
