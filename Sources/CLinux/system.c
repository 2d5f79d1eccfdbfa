#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

void fm_futex_wait(const uint32_t *word, uint32_t expected) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, (void *)0, (void *)0, 0);
}

void fm_futex_wake(const uint32_t *word, int count) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, (void *)0, (void *)0, 0);
}

int fm_open(const char *path, int flags, unsigned mode) {
  return open(path, flags | O_CLOEXEC, mode);
}

int fm_o_direct(void) { return O_DIRECT; }

void fm_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

// The process's first thread is asked, because others may be pinned.
int fm_processor_count(void) {
  uint64_t mask[128] = {0};
  if (fm_get_affinity(getpid(), mask, 128) != 0) return 1;
  int count = 0;
  for (int word = 0; word < 128; word++) count += __builtin_popcountll(mask[word]);
  return count > 0 ? count : 1;
}

// cpu_set_t is an array of unsigned long, 64 bits wide here, of any length.
_Static_assert(sizeof(unsigned long) == sizeof(uint64_t), "affinity masks are 64-bit words");

int fm_get_affinity(int task, uint64_t *mask, size_t words) {
  return sched_getaffinity(task, words * sizeof *mask, (cpu_set_t *)mask) == 0 ? 0 : errno;
}

int fm_attributes_set_affinity(pthread_attr_t *attributes, const uint64_t *mask, size_t words) {
  return pthread_attr_setaffinity_np(attributes, words * sizeof *mask, (const cpu_set_t *)mask);
}
