// Sixteen lanes in one AVX-512 register.  vectors_portable.h says what each function means.
#include <immintrin.h>
#include <string.h>

#define FM_INLINE static inline __attribute__((always_inline))

typedef __m512 vf;
typedef __m512i vi;
typedef __m512i vdot;

FM_INLINE vf vf_set1(float x) { return _mm512_set1_ps(x); }
FM_INLINE vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
FM_INLINE void vf_store(float *p, vf x) { _mm512_storeu_ps(p, x); }
FM_INLINE __mmask16 first_lanes(size_t n) { return (__mmask16)((1u << n) - 1); }
FM_INLINE vf vf_load_n(const float *p, size_t n, float fill) {
  return _mm512_mask_loadu_ps(_mm512_set1_ps(fill), first_lanes(n), p);
}
FM_INLINE void vf_store_n(float *p, vf x, size_t n) {
  _mm512_mask_storeu_ps(p, first_lanes(n), x);
}
FM_INLINE vf vf_add(vf a, vf b) { return _mm512_add_ps(a, b); }
FM_INLINE vf vf_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
FM_INLINE vf vf_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
FM_INLINE vf vf_div(vf a, vf b) { return _mm512_div_ps(a, b); }
FM_INLINE vf vf_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
FM_INLINE vf vf_max(vf a, vf b) { return _mm512_max_ps(a, b); }
FM_INLINE vf vf_min(vf a, vf b) { return _mm512_min_ps(a, b); }
FM_INLINE vf vf_abs(vf a) { return _mm512_abs_ps(a); }
FM_INLINE vf vf_select_less(vf a, vf b, vf x, vf y) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
}
FM_INLINE vf vf_scale2(vf p, vf n) { return _mm512_scalef_ps(p, n); }
FM_INLINE float vf_sum(vf a) { return _mm512_reduce_add_ps(a); }
FM_INLINE float vf_greatest(vf a) { return _mm512_reduce_max_ps(a); }
FM_INLINE void vf_sum4(vf a, vf b, vf c, vf d, float *sums) {
  vf ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  vf cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
  vf all = _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xee));
  __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
  _mm_storeu_ps(sums, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
}

FM_INLINE vf vf_from_f16(const uint16_t *p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
FM_INLINE vf vf_from_f16_n(const uint16_t *p, size_t n) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(n), p));
}
FM_INLINE void vf_to_f16(uint16_t *p, vf x) {
  _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}
FM_INLINE vf vf_from_bf16(const uint16_t *p) {
  __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
FM_INLINE vf vf_from_e8m0_half(const uint8_t *p) {
  __m512i e = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
  __m512i bits = _mm512_max_epi32(_mm512_slli_epi32(e, 23), _mm512_set1_epi32(0x00400000));
  return _mm512_mul_ps(_mm512_castsi512_ps(bits), _mm512_set1_ps(0.5f));
}
FM_INLINE vf vf_from_i8(const int8_t *p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}

FM_INLINE vi vi_load(const void *p) { return _mm512_load_si512(p); }
FM_INLINE vf vf_even_bf16(vi pairs) { return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)); }
FM_INLINE vf vf_odd_bf16(vi pairs) {
  return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32((int)0xffff0000)));
}
// vpermps looks at the low four index bits only, so a table replaces mask, convert and offset.
FM_INLINE vf vf_nibble(vi line, int shift) {
  const vf table = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  return _mm512_permutexvar_ps(_mm512_srli_epi32(line, (unsigned)shift), table);
}
FM_INLINE vf vf_nibble_minus_8(vi line, int shift) {
  const vf table = _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
  return _mm512_permutexvar_ps(_mm512_srli_epi32(line, (unsigned)shift), table);
}
FM_INLINE vf vf_fp4(vi line, int shift) {
  const vf table = _mm512_loadu_ps(fm_doubled_e2m1);
  return _mm512_permutexvar_ps(_mm512_srli_epi32(line, (unsigned)shift), table);
}
FM_INLINE vi vi_flip_bytes(vi line) {
  return _mm512_xor_si512(line, _mm512_set1_epi8((char)0x80));
}
FM_INLINE vf vf_signed_byte(vi line, int byte) {
  __m512i high = _mm512_slli_epi32(line, (unsigned)(24 - 8 * byte));
  return _mm512_cvtepi32_ps(_mm512_srai_epi32(high, 24));
}

FM_INLINE vi vi_low_nibbles(vi line) {
  return _mm512_and_si512(line, _mm512_set1_epi8(0x0f));
}
FM_INLINE vi vi_high_nibbles(vi line) {
  return _mm512_and_si512(_mm512_srli_epi16(line, 4), _mm512_set1_epi8(0x0f));
}
FM_INLINE vi vi_minus(vi codes, uint8_t zero) {
  return _mm512_sub_epi8(codes, _mm512_set1_epi8((char)zero));
}
FM_INLINE vi vi_bits(vi line, int shift, uint8_t mask) {
  return _mm512_and_si512(_mm512_srli_epi16(line, (unsigned)shift), _mm512_set1_epi8((char)mask));
}
FM_INLINE vi vi_bits_up(vi line, int shift, uint8_t mask) {
  return _mm512_and_si512(_mm512_slli_epi16(line, (unsigned)shift), _mm512_set1_epi8((char)mask));
}
FM_INLINE vi vi_or(vi a, vi b) { return _mm512_or_si512(a, b); }
FM_INLINE vi vi_fp4_signed(vi nibbles) {
  const __m128i table = _mm_setr_epi8(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);
  return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), nibbles);
}
// Unsigned for vpdpbusd: 12 more than the value.
FM_INLINE vi vi_fp4(vi nibbles) {
  const __m128i table = _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0);
  return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), nibbles);
}
FM_INLINE vf vf_from_i32(const int32_t *p) { return _mm512_cvtepi32_ps(_mm512_loadu_si512(p)); }
FM_INLINE vdot vdot_start(int32_t init) { return _mm512_set1_epi32(init); }
FM_INLINE vdot vdot_nibbles(vdot sum, vi weights, int32_t four) {
  return _mm512_dpbusd_epi32(sum, weights, _mm512_set1_epi32(four));
}
FM_INLINE vf vdot_nibbles_end(vdot sum, int32_t init) {
  (void)init;
  return _mm512_cvtepi32_ps(sum);
}
// The bytes hold q + 128; the start value takes 128 * sum away again.
FM_INLINE vi vi_bytes(vi line) { return line; }
FM_INLINE vdot vdot_bytes_start(int32_t activation_sum) {
  return _mm512_set1_epi32(-128 * activation_sum);
}
FM_INLINE vdot vdot_bytes(vdot sum, vi weights, int32_t four) {
  return _mm512_dpbusd_epi32(sum, weights, _mm512_set1_epi32(four));
}
FM_INLINE vf vdot_bytes_end(vdot sum) { return _mm512_cvtepi32_ps(sum); }
FM_INLINE vdot vdot_fp4_start(int32_t activation_sum) {
  return _mm512_set1_epi32(-12 * activation_sum);
}
FM_INLINE vdot vdot_fp4(vdot sum, vi weights, int32_t four) {
  return _mm512_dpbusd_epi32(sum, weights, _mm512_set1_epi32(four));
}
FM_INLINE vf vdot_fp4_end(vdot sum) { return _mm512_cvtepi32_ps(sum); }

FM_INLINE void vf_store_u8(uint8_t *p, vf x) {
  _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x)));
}
FM_INLINE void vf_store_i8(int8_t *p, vf x) {
  _mm_storeu_si128((__m128i *)p, _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(x)));
}
FM_INLINE int32_t store_group_i8(int8_t *p, vf a, vf b) {
  __m512i ia = _mm512_cvtps_epi32(a), ib = _mm512_cvtps_epi32(b);
  _mm_storeu_si128((__m128i *)p, _mm512_cvtsepi32_epi8(ia));
  _mm_storeu_si128((__m128i *)(p + 16), _mm512_cvtsepi32_epi8(ib));
  return _mm512_reduce_add_epi32(_mm512_add_epi32(ia, ib));
}
