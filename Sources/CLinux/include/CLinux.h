// CLinux: system calls that Swift's Glibc overlay does not import.
#ifndef FLASHMOE_CLINUX_H
#define FLASHMOE_CLINUX_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

// Sleeps while *word == expected (private futex).  Spurious wake-ups are possible.
void fm_futex_wait(const uint32_t *word, uint32_t expected);
// Wakes up to `count` sleepers of word.
void fm_futex_wake(const uint32_t *word, int count);

// A hint to the core that this is a spin loop.
static inline void fm_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// open(2) with O_CLOEXEC added; Swift does not import the variadic form.
int fm_open(const char *path, int flags, unsigned mode);
// Processors the calling process may run on, at least 1.
int fm_processor_count(void);
// The processors `task` may run on (0: the calling thread), 64 a word; 0 or an errno.
int fm_get_affinity(int task, uint64_t *mask, size_t words);
// Threads started with these attributes run on these processors only; 0 or an errno.
int fm_attributes_set_affinity(pthread_attr_t *attributes, const uint64_t *mask, size_t words);
// Names the calling thread for debuggers and top.
void fm_name_thread(const char *name);
// The value of O_DIRECT on this architecture.
int fm_o_direct(void);

#endif
