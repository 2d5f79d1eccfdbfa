// Peaks of this machine with a number of threads, as one JSON object: memory read bandwidth and
// 8-bit operations a second, from the loops of Benchmarks/Sources/CPeaks.
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "CPeaks.h"

static const size_t share_bytes = (size_t)256 << 20, slice_bytes = (size_t)1 << 20;
static const double seconds = 0.7;
static pthread_barrier_t barrier;
static _Atomic uint64_t sink;

typedef struct {
  double read, integer, vector;
} rates;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec * 1e-9;
}

static double rate(double (*loop)(uint64_t)) {
  pthread_barrier_wait(&barrier);
  double start = now(), done = 0, elapsed;
  do {
    done += loop(64);
    elapsed = now() - start;
  } while (elapsed < seconds && done > 0);
  return done / elapsed;
}

static void *run(void *pointer) {
  rates *result = pointer;
  uint8_t *data = aligned_alloc(4096, share_bytes);
  if (!data) exit(1);
  memset(data, 1, share_bytes);
  pthread_barrier_wait(&barrier);
  double start = now(), elapsed;
  size_t bytes = 0;
  do {
    sink ^= peaks_read(data + bytes % share_bytes, slice_bytes);
    bytes += slice_bytes;
    elapsed = now() - start;
  } while (elapsed < seconds);
  result->read = (double)bytes / elapsed;
  free(data);
  result->integer = rate(peaks_integer);
  result->vector = rate(peaks_integer_vector);
  return NULL;
}

int main(int argc, char **argv) {
  int threads = argc > 1 ? atoi(argv[1]) : 1;
  if (threads < 1 || threads > 1024) return 1;
  pthread_t handles[1024];
  static rates results[1024];
  pthread_barrier_init(&barrier, NULL, (unsigned)threads);
  for (int at = 0; at < threads; at++) {
    if (pthread_create(&handles[at], NULL, run, &results[at])) return 1;
  }
  rates sum = {0};
  for (int at = 0; at < threads; at++) {
    pthread_join(handles[at], NULL);
    sum.read += results[at].read;
    sum.integer += results[at].integer;
    sum.vector += results[at].vector;
  }
  printf("{\"threads\": %d, \"memory_bytes_per_second\": %.0f, \"integer_ops_per_second\": %.0f, "
         "\"integer_instructions\": \"%s\", \"vector_ops_per_second\": %.0f}\n",
         threads, sum.read, sum.integer, peaks_integer_name(), sum.vector);
  return 0;
}
