/* The CRC-32 of zlib, by each way that a CPU may have for it. All of them take and give the CRC with its bits inverted,
   as it stands between two bytes; stdo_crc32 takes and gives it as zlib does. */
#ifndef STDO_CRC32_H
#define STDO_CRC32_H

#include <stddef.h>
#include <stdint.h>

typedef uint32_t stdo_crc32_way(uint32_t crc, const uint8_t *data, size_t size);

stdo_crc32_way stdo_crc32_c;
stdo_crc32_way stdo_crc32_pclmul; /* x86 */
stdo_crc32_way stdo_crc32_armv8;  /* ARM */

/* The fastest that this CPU runs. Asking for it takes some microseconds in a virtual machine that traps CPUID. */
stdo_crc32_way *stdo_crc32_fastest(void);

#endif
