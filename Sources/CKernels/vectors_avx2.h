// Sixteen lanes in two AVX2 registers.  vectors_portable.h says what each function means.
#include <immintrin.h>
#include <string.h>

#define FM_INLINE static inline __attribute__((always_inline))

typedef struct vf { __m256 l, h; } vf;
typedef struct vi { __m256i l, h; } vi;
typedef vi vdot;

#define FM_BOTH(op) (vf){op(a.l, b.l), op(a.h, b.h)}

FM_INLINE vf vf_set1(float x) { return (vf){_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
FM_INLINE vf vf_load(const float *p) { return (vf){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
FM_INLINE void vf_store(float *p, vf x) {
  _mm256_storeu_ps(p, x.l);
  _mm256_storeu_ps(p + 8, x.h);
}
FM_INLINE vf vf_load_n(const float *p, size_t n, float fill) {
  float lanes[16];
  for (size_t i = 0; i < 16; i++) lanes[i] = i < n ? p[i] : fill;
  return vf_load(lanes);
}
FM_INLINE void vf_store_n(float *p, vf x, size_t n) {
  float lanes[16];
  vf_store(lanes, x);
  memcpy(p, lanes, n * sizeof(float));
}
FM_INLINE vf vf_add(vf a, vf b) { return FM_BOTH(_mm256_add_ps); }
FM_INLINE vf vf_sub(vf a, vf b) { return FM_BOTH(_mm256_sub_ps); }
FM_INLINE vf vf_mul(vf a, vf b) { return FM_BOTH(_mm256_mul_ps); }
FM_INLINE vf vf_div(vf a, vf b) { return FM_BOTH(_mm256_div_ps); }
FM_INLINE vf vf_max(vf a, vf b) { return FM_BOTH(_mm256_max_ps); }
FM_INLINE vf vf_min(vf a, vf b) { return FM_BOTH(_mm256_min_ps); }
FM_INLINE vf vf_fma(vf a, vf b, vf c) {
  return (vf){_mm256_fmadd_ps(a.l, b.l, c.l), _mm256_fmadd_ps(a.h, b.h, c.h)};
}
FM_INLINE vf vf_abs(vf a) {
  __m256 sign = _mm256_set1_ps(-0.0f);
  return (vf){_mm256_andnot_ps(sign, a.l), _mm256_andnot_ps(sign, a.h)};
}
FM_INLINE vf vf_select_less(vf a, vf b, vf x, vf y) {
  return (vf){_mm256_blendv_ps(y.l, x.l, _mm256_cmp_ps(a.l, b.l, _CMP_LT_OQ)),
              _mm256_blendv_ps(y.h, x.h, _mm256_cmp_ps(a.h, b.h, _CMP_LT_OQ))};
}
// Two multiplications, so that results in the subnormal range round once and 2^128 overflows.
FM_INLINE __m256 scale2_half(__m256 p, __m256 n) {
  __m256i e = _mm256_cvtps_epi32(n);
  __m256i e1 = _mm256_srai_epi32(e, 1), e2 = _mm256_sub_epi32(e, e1);
  __m256i bias = _mm256_set1_epi32(127);
  __m256 f1 = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(e1, bias), 23));
  __m256 f2 = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(e2, bias), 23));
  return _mm256_mul_ps(_mm256_mul_ps(p, f1), f2);
}
FM_INLINE vf vf_scale2(vf p, vf n) { return (vf){scale2_half(p.l, n.l), scale2_half(p.h, n.h)}; }
FM_INLINE float vf_sum(vf a) {
  __m256 eight = _mm256_add_ps(a.l, a.h);
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
FM_INLINE float vf_greatest(vf a) {
  __m256 eight = _mm256_max_ps(a.l, a.h);
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
FM_INLINE void vf_sum4(vf a, vf b, vf c, vf d, float *sums) {
  __m256 a8 = _mm256_add_ps(a.l, a.h), b8 = _mm256_add_ps(b.l, b.h);
  __m256 c8 = _mm256_add_ps(c.l, c.h), d8 = _mm256_add_ps(d.l, d.h);
  __m256 ab = _mm256_add_ps(_mm256_unpacklo_ps(a8, b8), _mm256_unpackhi_ps(a8, b8));
  __m256 cd = _mm256_add_ps(_mm256_unpacklo_ps(c8, d8), _mm256_unpackhi_ps(c8, d8));
  __m256 all = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
  _mm_storeu_ps(sums, _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1)));
}

FM_INLINE vf vf_from_f16(const uint16_t *p) {
  return (vf){_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)),
              _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 8)))};
}
FM_INLINE vf vf_from_f16_n(const uint16_t *p, size_t n) {
  uint16_t lanes[16] = {0};
  memcpy(lanes, p, n * sizeof(uint16_t));
  return vf_from_f16(lanes);
}
FM_INLINE void vf_to_f16(uint16_t *p, vf x) {
  _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(x.l, _MM_FROUND_TO_NEAREST_INT));
  _mm_storeu_si128((__m128i *)(p + 8), _mm256_cvtps_ph(x.h, _MM_FROUND_TO_NEAREST_INT));
}
FM_INLINE __m256 bf16_half(const uint16_t *p) {
  __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
FM_INLINE vf vf_from_bf16(const uint16_t *p) { return (vf){bf16_half(p), bf16_half(p + 8)}; }
FM_INLINE __m256 e8m0_half(const uint8_t *p) {
  __m256i e = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
  __m256i bits = _mm256_max_epi32(_mm256_slli_epi32(e, 23), _mm256_set1_epi32(0x00400000));
  return _mm256_mul_ps(_mm256_castsi256_ps(bits), _mm256_set1_ps(0.5f));
}
FM_INLINE vf vf_from_e8m0_half(const uint8_t *p) { return (vf){e8m0_half(p), e8m0_half(p + 8)}; }
FM_INLINE __m256 i8_half(const int8_t *p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
FM_INLINE vf vf_from_i8(const int8_t *p) { return (vf){i8_half(p), i8_half(p + 8)}; }

FM_INLINE vi vi_load(const void *p) {
  return (vi){_mm256_load_si256((const __m256i *)p), _mm256_load_si256((const __m256i *)p + 1)};
}
FM_INLINE vf vf_even_bf16(vi pairs) {
  return (vf){_mm256_castsi256_ps(_mm256_slli_epi32(pairs.l, 16)),
              _mm256_castsi256_ps(_mm256_slli_epi32(pairs.h, 16))};
}
FM_INLINE vf vf_odd_bf16(vi pairs) {
  __m256i mask = _mm256_set1_epi32((int)0xffff0000);
  return (vf){_mm256_castsi256_ps(_mm256_and_si256(pairs.l, mask)),
              _mm256_castsi256_ps(_mm256_and_si256(pairs.h, mask))};
}
FM_INLINE __m256i nibble_half(__m256i line, int shift) {
  return _mm256_and_si256(_mm256_srli_epi32(line, shift), _mm256_set1_epi32(15));
}
FM_INLINE vf vf_nibble(vi line, int shift) {
  return (vf){_mm256_cvtepi32_ps(nibble_half(line.l, shift)),
              _mm256_cvtepi32_ps(nibble_half(line.h, shift))};
}
FM_INLINE vf vf_nibble_minus_8(vi line, int shift) {
  __m256i eight = _mm256_set1_epi32(8);
  return (vf){_mm256_cvtepi32_ps(_mm256_sub_epi32(nibble_half(line.l, shift), eight)),
              _mm256_cvtepi32_ps(_mm256_sub_epi32(nibble_half(line.h, shift), eight))};
}
// Eight magnitudes are a table of one register; the sign is the nibble's bit 3.
FM_INLINE __m256 fp4_half(__m256i line, int shift) {
  __m256i code = _mm256_srli_epi32(line, shift);
  __m256 magnitude = _mm256_permutevar8x32_ps(_mm256_loadu_ps(fm_doubled_e2m1), code);
  __m256i sign = _mm256_slli_epi32(_mm256_srli_epi32(code, 3), 31);
  return _mm256_or_ps(magnitude, _mm256_castsi256_ps(sign));
}
FM_INLINE vf vf_fp4(vi line, int shift) {
  return (vf){fp4_half(line.l, shift), fp4_half(line.h, shift)};
}
FM_INLINE vi vi_flip_bytes(vi line) {
  __m256i flip = _mm256_set1_epi8((char)0x80);
  return (vi){_mm256_xor_si256(line.l, flip), _mm256_xor_si256(line.h, flip)};
}
FM_INLINE vf vf_signed_byte(vi line, int byte) {
  int up = 24 - 8 * byte;
  return (vf){_mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_slli_epi32(line.l, up), 24)),
              _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_slli_epi32(line.h, up), 24))};
}

FM_INLINE vi vi_low_nibbles(vi line) {
  __m256i mask = _mm256_set1_epi8(0x0f);
  return (vi){_mm256_and_si256(line.l, mask), _mm256_and_si256(line.h, mask)};
}
FM_INLINE vi vi_high_nibbles(vi line) {
  return vi_low_nibbles((vi){_mm256_srli_epi16(line.l, 4), _mm256_srli_epi16(line.h, 4)});
}
FM_INLINE vi vi_minus(vi codes, uint8_t zero) {
  __m256i less = _mm256_set1_epi8((char)zero);
  return (vi){_mm256_sub_epi8(codes.l, less), _mm256_sub_epi8(codes.h, less)};
}
FM_INLINE vi vi_bits(vi line, int shift, uint8_t mask) {
  __m256i bits = _mm256_set1_epi8((char)mask);
  return (vi){_mm256_and_si256(_mm256_srli_epi16(line.l, shift), bits),
              _mm256_and_si256(_mm256_srli_epi16(line.h, shift), bits)};
}
FM_INLINE vi vi_bits_up(vi line, int shift, uint8_t mask) {
  __m256i bits = _mm256_set1_epi8((char)mask);
  return (vi){_mm256_and_si256(_mm256_slli_epi16(line.l, shift), bits),
              _mm256_and_si256(_mm256_slli_epi16(line.h, shift), bits)};
}
FM_INLINE vi vi_or(vi a, vi b) {
  return (vi){_mm256_or_si256(a.l, b.l), _mm256_or_si256(a.h, b.h)};
}
FM_INLINE vi vi_fp4_signed(vi nibbles) {
  const __m256i table =
      _mm256_setr_epi8(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12,
                       0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);
  return (vi){_mm256_shuffle_epi8(table, nibbles.l), _mm256_shuffle_epi8(table, nibbles.h)};
}
FM_INLINE vi vi_fp4(vi nibbles) { return vi_fp4_signed(nibbles); }
FM_INLINE vf vf_from_i32(const int32_t *p) {
  return (vf){_mm256_cvtepi32_ps(_mm256_loadu_si256((const __m256i *)p)),
              _mm256_cvtepi32_ps(_mm256_loadu_si256((const __m256i *)(p + 8)))};
}
// 16-bit partial sums: a group adds eight pairs of at most 2 * 15 * 128 = 3840, 30720 in all.
FM_INLINE vdot vdot_start(int32_t init) {
  (void)init;
  return (vdot){_mm256_setzero_si256(), _mm256_setzero_si256()};
}
FM_INLINE vdot vdot_nibbles(vdot sum, vi weights, int32_t four) {
  __m256i a = _mm256_set1_epi32(four);
  return (vdot){_mm256_add_epi16(sum.l, _mm256_maddubs_epi16(weights.l, a)),
                _mm256_add_epi16(sum.h, _mm256_maddubs_epi16(weights.h, a))};
}
FM_INLINE vf vdot_nibbles_end(vdot sum, int32_t init) {
  __m256i ones = _mm256_set1_epi16(1), start = _mm256_set1_epi32(init);
  return (vf){
      _mm256_cvtepi32_ps(_mm256_add_epi32(_mm256_madd_epi16(sum.l, ones), start)),
      _mm256_cvtepi32_ps(_mm256_add_epi32(_mm256_madd_epi16(sum.h, ones), start))};
}
// |w| as unsigned times a with w's sign: pairs reach 2 * 128 * 127 = 32512, which 16 bits hold
// because quantized activations never are -128.
FM_INLINE vi vi_bytes(vi line) { return vi_flip_bytes(line); }
FM_INLINE vdot vdot_bytes_start(int32_t activation_sum) {
  (void)activation_sum;
  return (vdot){_mm256_setzero_si256(), _mm256_setzero_si256()};
}
FM_INLINE __m256i dot_bytes_half(__m256i sum, __m256i w, __m256i a) {
  __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(a, w));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
FM_INLINE vdot vdot_bytes(vdot sum, vi weights, int32_t four) {
  __m256i a = _mm256_set1_epi32(four);
  return (vdot){dot_bytes_half(sum.l, weights.l, a), dot_bytes_half(sum.h, weights.h, a)};
}
FM_INLINE vf vdot_bytes_end(vdot sum) {
  return (vf){_mm256_cvtepi32_ps(sum.l), _mm256_cvtepi32_ps(sum.h)};
}
// |w| times a with w's sign, in 16-bit sums: a group adds eight pairs of at most 2 * 12 * 127 = 3048,
// 24384 in all.  Unsigned codes would reach twice that.
FM_INLINE vdot vdot_fp4_start(int32_t activation_sum) {
  (void)activation_sum;
  return (vdot){_mm256_setzero_si256(), _mm256_setzero_si256()};
}
FM_INLINE __m256i dot_fp4_half(__m256i sum, __m256i w, __m256i a) {
  return _mm256_add_epi16(sum, _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(a, w)));
}
FM_INLINE vdot vdot_fp4(vdot sum, vi weights, int32_t four) {
  __m256i a = _mm256_set1_epi32(four);
  return (vdot){dot_fp4_half(sum.l, weights.l, a), dot_fp4_half(sum.h, weights.h, a)};
}
FM_INLINE vf vdot_fp4_end(vdot sum) { return vdot_nibbles_end(sum, 0); }

// Sixteen lanes as 16-bit integers in order; the pack works per 128-bit half.
FM_INLINE __m256i to_words(vf x) {
  __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(x.l), _mm256_cvtps_epi32(x.h));
  return _mm256_permute4x64_epi64(words, 0xd8);
}
FM_INLINE void vf_store_u8(uint8_t *p, vf x) {
  __m256i words = to_words(x);
  _mm_storeu_si128((__m128i *)p, _mm_packus_epi16(_mm256_castsi256_si128(words),
                                                  _mm256_extracti128_si256(words, 1)));
}
FM_INLINE void vf_store_i8(int8_t *p, vf x) {
  __m256i words = to_words(x);
  _mm_storeu_si128((__m128i *)p, _mm_packs_epi16(_mm256_castsi256_si128(words),
                                                 _mm256_extracti128_si256(words, 1)));
}
FM_INLINE int32_t store_group_i8(int8_t *p, vf a, vf b) {
  __m256i wa = to_words(a), wb = to_words(b);
  __m256i bytes = _mm256_permute4x64_epi64(_mm256_packs_epi16(wa, wb), 0xd8);
  _mm256_storeu_si256((__m256i *)p, bytes);
  __m256i eight = _mm256_madd_epi16(_mm256_add_epi16(wa, wb), _mm256_set1_epi16(1));
  __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}
