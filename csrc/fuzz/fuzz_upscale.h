/* What programs without libFuzzer ask of the player's fuzzer. */
#ifndef STDO_FUZZ_UPSCALE_H
#define STDO_FUZZ_UPSCALE_H

#include "../kernels.h"

/* libFuzzer calls this before the first input: from here on, inputs that take long are not upscaled. */
int LLVMFuzzerInitialize(int *count, char ***words);

/* Frames that each tier upscaled and that were compared. */
extern uint64_t stdo_fuzz_compared[STDO_TIERS];

#endif
