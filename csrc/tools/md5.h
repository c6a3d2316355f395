/* MD5 (RFC 1321), for conformance only: `md5sum` of the same bytes says the same. */
#ifndef STDO_TOOLS_MD5_H
#define STDO_TOOLS_MD5_H

#include <stddef.h>
#include <stdint.h>

typedef struct md5 {
    uint32_t state[4];
    uint64_t size;              /* bytes so far */
    uint8_t block[64];          /* the last size % 64 of them */
} md5;

void md5_start(md5 *sum);
void md5_add(md5 *sum, const uint8_t *data, size_t size);

/* Writes the sum as 32 hexadecimal digits and a NUL. */
void md5_end(md5 *sum, char text[33]);

#endif
