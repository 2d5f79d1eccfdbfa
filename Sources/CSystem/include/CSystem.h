// CSystem: system calls that Swift's Glibc overlay does not import.
#ifndef FLASHMOE_CSYSTEM_H
#define FLASHMOE_CSYSTEM_H

#include <stdint.h>

// Sleeps while *word == expected (private futex).  Spurious wake-ups are possible.
void fm_futex_wait(const uint32_t *word, uint32_t expected);
// Wakes up to `count` sleepers of word.
void fm_futex_wake(const uint32_t *word, int count);

// open(2) with O_DIRECT | O_CLOEXEC | flags; Swift cannot call the variadic open everywhere.
int fm_open(const char *path, int flags, unsigned mode);
// The value of O_DIRECT on this architecture.
int fm_o_direct(void);

#endif
