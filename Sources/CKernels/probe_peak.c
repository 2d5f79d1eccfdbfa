// Arithmetic on registers alone: what the kernels are measured against.
#include <stdbool.h>

#include "CKernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "tiles.h"

// Enough independent chains to hide the latency of two units.
#define CHAINS 16
#define FOR_CHAINS _Pragma("clang loop unroll(full)") for (int i = 0; i < CHAINS; i++)
// The compiler may not know the value, so it can neither compute it before nor leave it out.
#define HIDE(x) __asm__ volatile("" : "+v"(x))
#define HIDE_AVX2(x) __asm__ volatile("" : "+x"(x))

__attribute__((target("avx512f,avx512vnni"))) static uint64_t int8_avx512(uint64_t rounds) {
  __m512i sums[CHAINS], a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(-5);
  FOR_CHAINS sums[i] = _mm512_setzero_si512();
  HIDE(a);
  HIDE(b);
  for (uint64_t round = 0; round < rounds; round++) {
    FOR_CHAINS sums[i] = _mm512_dpbusd_epi32(sums[i], a, b);
    HIDE(a);
  }
  FOR_CHAINS HIDE(sums[i]);
  return rounds * CHAINS * 64 * 2;
}

__attribute__((target("avx512f"))) static uint64_t f32_avx512(uint64_t rounds) {
  __m512 sums[CHAINS], a = _mm512_set1_ps(1), b = _mm512_set1_ps(1);
  FOR_CHAINS sums[i] = _mm512_setzero_ps();
  HIDE(a);
  HIDE(b);
  for (uint64_t round = 0; round < rounds; round++) {
    FOR_CHAINS sums[i] = _mm512_fmadd_ps(a, b, sums[i]);
    HIDE(a);
  }
  FOR_CHAINS HIDE(sums[i]);
  return rounds * CHAINS * 16 * 2;
}

// Sixteen registers hold twelve chains, two operands and a product.
#define FOR_CHAINS_AVX2 _Pragma("clang loop unroll(full)") for (int i = 0; i < 12; i++)

__attribute__((target("avx2"))) static uint64_t int8_avx2(uint64_t rounds) {
  __m256i sums[12], a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(-5);
  FOR_CHAINS_AVX2 sums[i] = _mm256_setzero_si256();
  HIDE_AVX2(b);
  for (uint64_t round = 0; round < rounds; round++)
    FOR_CHAINS_AVX2 {
      HIDE_AVX2(a);
      sums[i] = _mm256_add_epi16(sums[i], _mm256_maddubs_epi16(a, b));
    }
  FOR_CHAINS_AVX2 HIDE_AVX2(sums[i]);
  return rounds * 12 * 32 * 2;
}

__attribute__((target("avx2,fma"))) static uint64_t f32_avx2(uint64_t rounds) {
  __m256 sums[12], a = _mm256_set1_ps(1), b = _mm256_set1_ps(1);
  FOR_CHAINS_AVX2 sums[i] = _mm256_setzero_ps();
  HIDE_AVX2(a);
  HIDE_AVX2(b);
  for (uint64_t round = 0; round < rounds; round++) {
    FOR_CHAINS_AVX2 sums[i] = _mm256_fmadd_ps(a, b, sums[i]);
    HIDE_AVX2(a);
  }
  FOR_CHAINS_AVX2 HIDE_AVX2(sums[i]);
  return rounds * 12 * 8 * 2;
}

// Four accumulators, two tiles of each operand: the shape of every tiled product.
__attribute__((target("amx-tile,amx-int8"))) static uint64_t int8_amx(uint64_t rounds) {
  fm_tile_config config = {.palette = 1};
  for (int tile = 0; tile < 8; tile++) {
    config.rows[tile] = 16;
    config.row_bytes[tile] = 64;
  }
  _tile_loadconfig(&config);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
  for (uint64_t round = 0; round < rounds; round++) {
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    _tile_dpbssd(2, 5, 6);
    _tile_dpbssd(3, 5, 7);
  }
  _tile_release();
  return rounds * 4 * 16 * 16 * 64 * 2;
}
#endif

uint64_t fm_probe_peak_int8_at(fm_level level, uint64_t rounds) {
#if defined(__x86_64__)
  if ((int)level <= (int)fm_best_level()) {
    if (level == FM_AMX) return int8_amx(rounds);
    if (level == FM_AVX512VNNI) return int8_avx512(rounds);
    if (level == FM_AVX2) return int8_avx2(rounds);
  }
#endif
  (void)level;
  (void)rounds;
  return 0;
}

uint64_t fm_probe_peak_f32_at(fm_level level, uint64_t rounds) {
#if defined(__x86_64__)
  if ((int)level <= (int)fm_best_level()) {
    if (level == FM_AMX || level == FM_AVX512VNNI) return f32_avx512(rounds);
    if (level == FM_AVX2) return f32_avx2(rounds);
  }
#endif
  (void)level;
  (void)rounds;
  return 0;
}
