// Reading memory as fast as one core can: what streaming weights is measured against.
#include <string.h>

#include "CKernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx512f"))) static uint64_t read_avx512(const uint8_t *data, size_t bytes) {
  __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
  for (size_t at = 0; at + 256 <= bytes; at += 256) {
    a = _mm512_xor_si512(a, _mm512_loadu_si512(data + at));
    b = _mm512_xor_si512(b, _mm512_loadu_si512(data + at + 64));
    c = _mm512_xor_si512(c, _mm512_loadu_si512(data + at + 128));
    d = _mm512_xor_si512(d, _mm512_loadu_si512(data + at + 192));
  }
  uint64_t lanes[8], result = 0;
  _mm512_storeu_si512(lanes, _mm512_xor_si512(_mm512_xor_si512(a, b), _mm512_xor_si512(c, d)));
  for (int lane = 0; lane < 8; lane++) result ^= lanes[lane];
  return result;
}

__attribute__((target("avx2"))) static uint64_t read_avx2(const uint8_t *data, size_t bytes) {
  __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
  for (size_t at = 0; at + 128 <= bytes; at += 128) {
    a = _mm256_xor_si256(a, _mm256_loadu_si256((const __m256i *)(data + at)));
    b = _mm256_xor_si256(b, _mm256_loadu_si256((const __m256i *)(data + at + 32)));
    c = _mm256_xor_si256(c, _mm256_loadu_si256((const __m256i *)(data + at + 64)));
    d = _mm256_xor_si256(d, _mm256_loadu_si256((const __m256i *)(data + at + 96)));
  }
  uint64_t lanes[4], result = 0;
  _mm256_storeu_si256(
      (__m256i *)lanes, _mm256_xor_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(c, d)));
  for (int lane = 0; lane < 4; lane++) result ^= lanes[lane];
  return result;
}
#endif

static uint64_t read_portable(const uint8_t *data, size_t bytes) {
  uint64_t sums[4] = {0, 0, 0, 0};
  for (size_t at = 0; at + 32 <= bytes; at += 32) {
    uint64_t words[4];
    memcpy(words, data + at, sizeof words);
    for (int lane = 0; lane < 4; lane++) sums[lane] ^= words[lane];
  }
  return sums[0] ^ sums[1] ^ sums[2] ^ sums[3];
}

uint64_t fm_probe_read_at(fm_level level, const void *data, size_t bytes) {
  // Every level covers the same whole 256-byte lines, so every level gives the same answer.
  bytes &= ~(size_t)255;
#if defined(__x86_64__)
  if ((int)level <= (int)fm_best_level()) {
    if (level >= FM_AVX512VNNI) return read_avx512(data, bytes);
    if (level == FM_AVX2) return read_avx2(data, bytes);
  }
#endif
  (void)level;
  return read_portable(data, bytes);
}
