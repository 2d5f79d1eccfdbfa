#include "CPeaks.h"

#include <string.h>

// Instructions of a round, in so many independent chains that none waits for another.
enum { ROUND = 1024 };

static uint64_t fold(const void *sums, size_t bytes) {
  uint64_t word, all = 0;
  for (size_t at = 0; at < bytes; at += sizeof word) {
    memcpy(&word, (const uint8_t *)sums + at, sizeof word);
    all ^= word;
  }
  return all;
}

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

static int has_avx512(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vnni");
}
static int has_avx2(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

// AMX must be asked for once a process; the kernel refuses where the processor has none.  The
// answer is kept: in a virtual machine cpuid takes longer than a round of the loop.
static int has_amx(void) {
  static int known;  // 0: not asked, 1: no, 2: yes
  if (!known) {
    unsigned a, b, c, d;
    known = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 24 & 1) && (d >> 25 & 1) &&
                    syscall(SYS_arch_prctl, 0x1023, 18) == 0
                ? 2
                : 1;
  }
  return known == 2;
}

// Chains are named variables: an array would live in memory.  The barrier keeps the compiler from
// folding chains that start alike.
#define KEEP(vector) __asm__ volatile("" : "+v"(vector))
#define EIGHT(of) of(0) of(1) of(2) of(3) of(4) of(5) of(6) of(7)
#define SIXTEEN(of) EIGHT(of) of(8) of(9) of(10) of(11) of(12) of(13) of(14) of(15)

#define INTEGERS_512(chain) __m512i sum##chain = _mm512_setzero_si512();
#define INTEGER_512(chain) \
  sum##chain = _mm512_dpbusd_epi32(sum##chain, a, b); \
  KEEP(sum##chain);
__attribute__((target("avx512f,avx512vnni"))) static void integer_512(uint64_t rounds) {
  __m512i a = _mm512_set1_epi8(1), b = a;
  SIXTEEN(INTEGERS_512)
  KEEP(a);
  for (uint64_t step = 0; step < rounds * (ROUND / 16); step++) { SIXTEEN(INTEGER_512) }
}

#define FLOATS_512(chain) __m512 sum##chain = _mm512_setzero_ps();
#define FLOAT_512(chain) \
  sum##chain = _mm512_fmadd_ps(a, b, sum##chain); \
  KEEP(sum##chain);
__attribute__((target("avx512f"))) static void float_512(uint64_t rounds) {
  __m512 a = _mm512_set1_ps(0.5f), b = a;
  SIXTEEN(FLOATS_512)
  KEEP(a);
  for (uint64_t step = 0; step < rounds * (ROUND / 16); step++) { SIXTEEN(FLOAT_512) }
}

#define INTEGERS_256(chain) __m256i sum##chain = _mm256_setzero_si256();
#define INTEGER_256(chain) \
  { \
    __m256i pairs = _mm256_maddubs_epi16(a, b); \
    KEEP(pairs); \
    sum##chain = _mm256_add_epi32(sum##chain, _mm256_madd_epi16(pairs, ones)); \
    KEEP(sum##chain); \
  }
__attribute__((target("avx2"))) static void integer_256(uint64_t rounds) {
  __m256i a = _mm256_set1_epi8(1), b = a, ones = _mm256_set1_epi16(1);
  EIGHT(INTEGERS_256)
  for (uint64_t step = 0; step < rounds * (ROUND / 8); step++) { EIGHT(INTEGER_256) }
}

#define FLOATS_256(chain) __m256 sum##chain = _mm256_setzero_ps();
#define FLOAT_256(chain) \
  sum##chain = _mm256_fmadd_ps(a, b, sum##chain); \
  KEEP(sum##chain);
__attribute__((target("avx2,fma"))) static void float_256(uint64_t rounds) {
  __m256 a = _mm256_set1_ps(0.5f), b = a;
  EIGHT(FLOATS_256)
  KEEP(a);
  for (uint64_t step = 0; step < rounds * (ROUND / 8); step++) { EIGHT(FLOAT_256) }
}

// Tiles 0-3 accumulate, 4-5 are A, 6-7 are B: 16 rows of 64 bytes each.
static void integer_amx(uint64_t rounds) {
  struct {
    uint8_t palette, start, reserved[14];
    uint16_t columns[16];
    uint8_t rows[16];
  } shape = {.palette = 1};
  for (int tile = 0; tile < 8; tile++) {
    shape.columns[tile] = 64;
    shape.rows[tile] = 16;
  }
  __asm__ volatile("ldtilecfg %0" : : "m"(shape));
  __asm__ volatile(
      "tilezero %tmm0\n tilezero %tmm1\n tilezero %tmm2\n tilezero %tmm3\n"
      "tilezero %tmm4\n tilezero %tmm5\n tilezero %tmm6\n tilezero %tmm7\n");
  for (uint64_t step = 0; step < rounds * (ROUND / 4); step++) {
    __asm__ volatile(
        "tdpbusd %tmm6, %tmm4, %tmm0\n tdpbusd %tmm7, %tmm4, %tmm1\n"
        "tdpbusd %tmm6, %tmm5, %tmm2\n tdpbusd %tmm7, %tmm5, %tmm3\n");
  }
  __asm__ volatile("tilerelease");
}

#define READ_512(chain) \
  sum##chain = _mm512_xor_si512(sum##chain, _mm512_loadu_si512(data + at + 64 * chain));
__attribute__((target("avx512f"))) static uint64_t read_512(const uint8_t *data, size_t bytes) {
  EIGHT(INTEGERS_512)
  for (size_t at = 0; at < bytes; at += 512) { EIGHT(READ_512) }
  __m512i sums[8] = {sum0, sum1, sum2, sum3, sum4, sum5, sum6, sum7};
  return fold(sums, sizeof sums);
}

#define READ_256(chain) \
  sum##chain = _mm256_xor_si256( \
      sum##chain, _mm256_loadu_si256((const __m256i *)(data + at + 32 * chain)));
__attribute__((target("avx2"))) static uint64_t read_256(const uint8_t *data, size_t bytes) {
  EIGHT(INTEGERS_256)
  for (size_t at = 0; at < bytes; at += 256) { EIGHT(READ_256) }
  __m256i sums[8] = {sum0, sum1, sum2, sum3, sum4, sum5, sum6, sum7};
  return fold(sums, sizeof sums);
}

const char *peaks_integer_name(void) {
  return has_amx() ? "amx-int8" : has_avx512() ? "avx512-vnni" : has_avx2() ? "avx2" : "none";
}

double peaks_integer_vector(uint64_t rounds) {
  if (has_avx512()) return integer_512(rounds), (double)rounds * ROUND * 64 * 2;
  if (has_avx2()) return integer_256(rounds), (double)rounds * ROUND * 32 * 2;
  return 0;
}

double peaks_integer(uint64_t rounds) {
  if (!has_amx()) return peaks_integer_vector(rounds);
  integer_amx(rounds);
  return (double)rounds * ROUND * 16 * 16 * 64 * 2;
}

const char *peaks_float_name(void) {
  return __builtin_cpu_supports("avx512f") ? "avx512f" : has_avx2() ? "avx2-fma" : "none";
}

double peaks_float(uint64_t rounds) {
  if (__builtin_cpu_supports("avx512f")) return float_512(rounds), (double)rounds * ROUND * 16 * 2;
  if (has_avx2()) return float_256(rounds), (double)rounds * ROUND * 8 * 2;
  return 0;
}
#else
const char *peaks_integer_name(void) { return "none"; }
double peaks_integer(uint64_t rounds) { return (void)rounds, 0; }
double peaks_integer_vector(uint64_t rounds) { return (void)rounds, 0; }
const char *peaks_float_name(void) { return "none"; }
double peaks_float(uint64_t rounds) { return (void)rounds, 0; }
#endif

static uint64_t read_words(const uint8_t *data, size_t bytes) {
  uint64_t sums[8] = {0}, words[8];
  for (size_t at = 0; at < bytes; at += 64) {
    memcpy(words, data + at, sizeof words);
    for (int lane = 0; lane < 8; lane++) sums[lane] ^= words[lane];
  }
  return fold(sums, sizeof sums);
}

uint64_t peaks_read(const void *data, size_t bytes) {
  bytes &= ~(size_t)511;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return read_512(data, bytes);
  if (has_avx2()) return read_256(data, bytes);
#endif
  return read_words(data, bytes);
}
