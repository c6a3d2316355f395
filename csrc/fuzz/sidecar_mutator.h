/* What the sidecar fuzzers share: a mutator that mends the checksums. Without it nearly every mutation would end at the
   first crc, and nothing behind it would ever be tried. */
#ifndef STDO_FUZZ_SIDECAR_MUTATOR_H
#define STDO_FUZZ_SIDECAR_MUTATOR_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* libFuzzer calls this in place of its own mutator, if it is linked in. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);

#endif
