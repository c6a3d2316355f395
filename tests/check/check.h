/* The parts of check_kernels.c: blocks of memory with guards, and one function for each kernel. */
#ifndef CHECK_H
#define CHECK_H

#include "float/float_conv.h"
#include "kernels.h"
#include "train/train_kernels.h"

#include <stdio.h>

/* Checks a table of kernels against the plain one; returns where they agree, and calls `fail` where they do not. */
typedef void check_function(const stdo_kernels *kernels, int quick);

check_function check_int8_load, check_int8_hidden, check_int8_last;
check_function check_float32_load, check_float32_hidden, check_float32_last;
check_function check_base_vertical, check_hr_row, check_hr_row_3_2, check_int8_frame, check_float32_frame;
check_function check_train_row, check_train_weights, check_train_net, check_train_errors;
check_function check_train_input_tiles, check_train_gradient_tiles, check_train_output_tiles;

/* Checked in place of a tier's own where they are not NULL: by those of training, and by those of float nets. */
extern const stdo_train_kernels *train_override;
extern const stdo_conv *float_override;

/* Runs a check from a seed. Returns 1, or 0 with what went wrong in `report`, a fault among it. */
int passes(check_function *check, const stdo_kernels *kernels, uint64_t seed, int quick, char *report, size_t size);

/* A kernel that is wrong on purpose, and the check that it is put before. Those of training, in wrong_train.c. */
typedef struct wrong_kernel {
    const char *what;
    check_function *check;
    void (*apply)(void);
} wrong_kernel;

extern const wrong_kernel wrong_training[];
extern const size_t wrong_training_count;

/* Applies checks to kernels that are wrong on purpose. Returns 1 if each is caught. */
int self_test(int quick);

/* Why a tier does not run here, or NULL if it does, and its table. In check_kernels.c. */
const char *why_not(stdo_tier_index tier);
void fill_table(stdo_tier_index tier, stdo_kernels *kernels);

/* Prints a table of times, each measured for so long. Returns 1, or 0 if a kernel is wrong. */
int bench(unsigned milliseconds);

/* ---- For the checks ---- */

/* What is being run, for the report. */
void describe(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends the check. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

uint32_t random_bits(void);
uint32_t random_below(uint32_t limit);
int32_t random_between(int32_t low, int32_t high); /* both included */
double random_unit(void);                          /* 0 <= value < 1 */

/* A block of `size` bytes of garbage. Whatever the kernels write just before or after it is noticed when it is
   released; a little further on, and for alignment 1 from the first byte after it, there is no memory at all. */
void *block(const char *name, size_t size, size_t alignment);

/* Takes part of a block back: it must keep its content. */
void guard(void *bytes, size_t size);

/* Blocks are released in the reverse order of their making: all since `blocks_in_use` gave `mark`. */
size_t blocks_in_use(void);
void release_blocks(size_t mark);

/* ---- Rows and layers, in conv.c ---- */

typedef enum number { INT8, FLOAT32 } number;

/* The convolutions of one kind of a table's tier, the plain ones, and a layer with random weights whose outputs are seldom
   clamped. */
const stdo_conv *conv_of(const stdo_kernels *kernels, number kind);
const stdo_conv *plain_conv(number kind);
stdo_layer natural_layer(number kind, uint32_t kernel, uint32_t in, uint32_t out, int is_last);
void pack_layer(const stdo_conv *conv, stdo_layer *layer);

#endif
