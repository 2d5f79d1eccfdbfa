// What one core can do at best: bare loops of the widest instructions, no memory but registers.
//
// These loops share nothing with the kernels that are measured against them.
#ifndef FLASHMOE_CPEAKS_H
#define FLASHMOE_CPEAKS_H

#include <stddef.h>
#include <stdint.h>

// Which instructions the integer loop uses on this processor: "amx-int8", "avx512-vnni",
// "avx2", or "none".
const char *peaks_integer_name(void);
// Runs 8-bit multiply-adds for about `rounds` x 1024 instructions; returns the operations done (a
// multiply and an add are two), or 0 where there is no loop for this processor.
double peaks_integer(uint64_t rounds);
// The best loop without a matrix engine: what decode, whose rows are single, can use.
double peaks_integer_vector(uint64_t rounds);

// "avx512f", "avx2-fma", or "none".
const char *peaks_float_name(void);
double peaks_float(uint64_t rounds);

// Reads memory with the widest loads; returns the exclusive or of its words, so that the reads
// cannot be left out.  `bytes` is rounded down to 512.
uint64_t peaks_read(const void *data, size_t bytes);

#endif
