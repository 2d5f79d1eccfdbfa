// Sixteen lanes of plain C.  The kernels are written once against these functions and compiled
// per level; this file is the meaning of each, vectors_avx2.h and vectors_avx512.h the fast forms.
#include <stddef.h>
#include <string.h>

#include "numeric.h"

#define FM_INLINE static inline __attribute__((always_inline))
#define FM_LANES for (int i = 0; i < 16; i++)

// vf: sixteen floats.  vi: one 64-byte line as sixteen 32-bit lanes.  vdot: sums in the making.
typedef struct vf { float v[16]; } vf;
typedef struct vi { uint32_t v[16]; } vi;
typedef struct vdot { int32_t v[16]; } vdot;

FM_INLINE vf vf_set1(float x) { vf r; FM_LANES r.v[i] = x; return r; }
FM_INLINE vf vf_load(const float *p) { vf r; memcpy(&r, p, sizeof r); return r; }
FM_INLINE void vf_store(float *p, vf x) { memcpy(p, &x, sizeof x); }
// The first n lanes from memory, the others `fill`; nothing past p[n - 1] is read.
FM_INLINE vf vf_load_n(const float *p, size_t n, float fill) {
  vf r = vf_set1(fill);
  memcpy(&r, p, n * sizeof(float));
  return r;
}
FM_INLINE void vf_store_n(float *p, vf x, size_t n) { memcpy(p, &x, n * sizeof(float)); }
FM_INLINE vf vf_add(vf a, vf b) { FM_LANES a.v[i] = a.v[i] + b.v[i]; return a; }
FM_INLINE vf vf_sub(vf a, vf b) { FM_LANES a.v[i] = a.v[i] - b.v[i]; return a; }
FM_INLINE vf vf_mul(vf a, vf b) { FM_LANES a.v[i] = a.v[i] * b.v[i]; return a; }
FM_INLINE vf vf_div(vf a, vf b) { FM_LANES a.v[i] = a.v[i] / b.v[i]; return a; }
// a * b + c; fused at the other levels, two roundings here.
FM_INLINE vf vf_fma(vf a, vf b, vf c) { FM_LANES c.v[i] = a.v[i] * b.v[i] + c.v[i]; return c; }
// The second operand where either is NaN.
FM_INLINE vf vf_max(vf a, vf b) { FM_LANES b.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i]; return b; }
FM_INLINE vf vf_min(vf a, vf b) { FM_LANES b.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i]; return b; }
FM_INLINE vf vf_abs(vf a) { FM_LANES a.v[i] = fm_float(fm_bits(a.v[i]) & 0x7fffffff); return a; }
// a < b ? x : y
FM_INLINE vf vf_select_less(vf a, vf b, vf x, vf y) {
  FM_LANES x.v[i] = a.v[i] < b.v[i] ? x.v[i] : y.v[i];
  return x;
}
// p * 2^n for whole n, in two multiplications: subnormal results round once, 2^128 overflows.
FM_INLINE vf vf_scale2(vf p, vf n) {
  FM_LANES {
    int32_t e = (int32_t)(fm_bits(n.v[i] + 0x1.8p23f) - 0x4b400000u);
    uint32_t e1 = (uint32_t)(e >> 1), e2 = (uint32_t)e - e1;
    p.v[i] = p.v[i] * fm_float((e1 + 127) << 23) * fm_float((e2 + 127) << 23);
  }
  return p;
}
FM_INLINE float vf_sum(vf a) {
  for (int step = 8; step > 0; step /= 2)
    for (int i = 0; i < step; i++) a.v[i] = a.v[i] + a.v[i + step];
  return a.v[0];
}
FM_INLINE float vf_greatest(vf a) {
  float greatest = a.v[0];
  FM_LANES greatest = a.v[i] > greatest ? a.v[i] : greatest;
  return greatest;
}
// Four sums over lanes, all four added in the same order.
FM_INLINE void vf_sum4(vf a, vf b, vf c, vf d, float *sums) {
  sums[0] = vf_sum(a);
  sums[1] = vf_sum(b);
  sums[2] = vf_sum(c);
  sums[3] = vf_sum(d);
}

FM_INLINE vf vf_from_f16(const uint16_t *p) { vf r; FM_LANES r.v[i] = fm_from_f16(p[i]); return r; }
FM_INLINE vf vf_from_f16_n(const uint16_t *p, size_t n) {
  uint16_t lanes[16] = {0};
  memcpy(lanes, p, n * sizeof(uint16_t));
  return vf_from_f16(lanes);
}
FM_INLINE void vf_to_f16(uint16_t *p, vf x) { FM_LANES p[i] = fm_to_f16(x.v[i]); }
FM_INLINE vf vf_from_bf16(const uint16_t *p) {
  vf r;
  FM_LANES r.v[i] = fm_from_bf16(p[i]);
  return r;
}
// e8m0 exponents, halved: 2^(p[i] - 128), the scale of doubled e2m1 codes.
FM_INLINE vf vf_from_e8m0_half(const uint8_t *p) {
  vf r;
  FM_LANES r.v[i] = fm_from_e8m0_half(p[i]);
  return r;
}
FM_INLINE vf vf_from_i8(const int8_t *p) { vf r; FM_LANES r.v[i] = (float)p[i]; return r; }

FM_INLINE vi vi_load(const void *p) { vi r; memcpy(&r, p, sizeof r); return r; }
FM_INLINE vf vf_even_bf16(vi pairs) {
  vf r;
  FM_LANES r.v[i] = fm_float(pairs.v[i] << 16);
  return r;
}
FM_INLINE vf vf_odd_bf16(vi pairs) {
  vf r;
  FM_LANES r.v[i] = fm_float(pairs.v[i] & 0xffff0000);
  return r;
}
// The nibble at bit `shift` of each lane.
FM_INLINE vf vf_nibble(vi line, int shift) {
  vf r;
  FM_LANES r.v[i] = (float)(int32_t)(line.v[i] >> shift & 15);
  return r;
}
FM_INLINE vf vf_nibble_minus_8(vi line, int shift) {
  vf r;
  FM_LANES r.v[i] = (float)((int32_t)(line.v[i] >> shift & 15) - 8);
  return r;
}
// The doubled e2m1 value of the nibble at bit `shift`.
FM_INLINE vf vf_fp4(vi line, int shift) {
  vf r;
  FM_LANES r.v[i] = fm_doubled_e2m1[line.v[i] >> shift & 15];
  return r;
}
// Bytes stored as q + 128 become q.
FM_INLINE vi vi_flip_bytes(vi line) { FM_LANES line.v[i] ^= 0x80808080; return line; }
FM_INLINE vf vf_signed_byte(vi line, int byte) {
  vf r;
  FM_LANES r.v[i] = (float)(int8_t)(line.v[i] >> 8 * byte);
  return r;
}

// Integer dot products of one group: start, eight times four columns (`four` holds their
// activations), end.  Nibbles are unsigned and `init` is added; bytes are q + 128 and the 128
// is taken away.  Results are exact.
FM_INLINE vi vi_low_nibbles(vi line) { FM_LANES line.v[i] &= 0x0f0f0f0f; return line; }
FM_INLINE vi vi_high_nibbles(vi line) {
  FM_LANES line.v[i] = line.v[i] >> 4 & 0x0f0f0f0f;
  return line;
}
// Bytes of at most 15 as signed bytes n - zero, zero being at most 15.
FM_INLINE vi vi_minus(vi codes, uint8_t zero) {
  FM_LANES codes.v[i] = ((codes.v[i] | 0x80808080) - 0x01010101u * zero) ^ 0x80808080;
  return codes;
}
// Every byte's bits from bit `shift` on down at bit 0, cut to `mask`; or moved up.
FM_INLINE vi vi_bits(vi line, int shift, uint8_t mask) {
  FM_LANES line.v[i] = line.v[i] >> shift & 0x01010101u * mask;
  return line;
}
FM_INLINE vi vi_bits_up(vi line, int shift, uint8_t mask) {
  FM_LANES line.v[i] = line.v[i] << shift & 0x01010101u * mask;
  return line;
}
FM_INLINE vi vi_or(vi a, vi b) { FM_LANES a.v[i] |= b.v[i]; return a; }
// Nibbles that are e2m1 codes as signed bytes of twice their value.
FM_INLINE vi vi_fp4_signed(vi nibbles) {
  uint8_t bytes[64];
  memcpy(bytes, &nibbles, 64);
  for (int i = 0; i < 64; i++) bytes[i] = (uint8_t)(int8_t)fm_doubled_e2m1[bytes[i] & 15];
  memcpy(&nibbles, bytes, 64);
  return nibbles;
}
// The same in the form that vdot_fp4 takes, here with 12 added; the start takes it away again.
FM_INLINE vi vi_fp4(vi nibbles) {
  uint8_t bytes[64];
  memcpy(bytes, &nibbles, 64);
  for (int i = 0; i < 64; i++) bytes[i] = (uint8_t)(fm_doubled_e2m1[bytes[i] & 15] + 12);
  memcpy(&nibbles, bytes, 64);
  return nibbles;
}
FM_INLINE vf vf_from_i32(const int32_t *p) { vf r; FM_LANES r.v[i] = (float)p[i]; return r; }
FM_INLINE vdot vdot_start(int32_t init) { vdot r; FM_LANES r.v[i] = init; return r; }
FM_INLINE vdot vdot_nibbles(vdot sum, vi weights, int32_t four) {
  for (int byte = 0; byte < 4; byte++) {
    int32_t a = (int8_t)((uint32_t)four >> 8 * byte);
    FM_LANES sum.v[i] += (int32_t)(weights.v[i] >> 8 * byte & 255) * a;
  }
  return sum;
}
FM_INLINE vf vdot_bytes_end(vdot sum) { vf r; FM_LANES r.v[i] = (float)sum.v[i]; return r; }
FM_INLINE vf vdot_nibbles_end(vdot sum, int32_t init) {
  (void)init;
  return vdot_bytes_end(sum);
}
FM_INLINE vi vi_bytes(vi line) { return line; }
FM_INLINE vdot vdot_bytes_start(int32_t activation_sum) {
  return vdot_start(-128 * activation_sum);
}
FM_INLINE vdot vdot_bytes(vdot sum, vi weights, int32_t four) {
  return vdot_nibbles(sum, weights, four);
}
FM_INLINE vdot vdot_fp4_start(int32_t activation_sum) { return vdot_start(-12 * activation_sum); }
FM_INLINE vdot vdot_fp4(vdot sum, vi weights, int32_t four) {
  return vdot_nibbles(sum, weights, four);
}
FM_INLINE vf vdot_fp4_end(vdot sum) { return vdot_bytes_end(sum); }

// Lanes that hold whole numbers 0...255 as bytes.
FM_INLINE void vf_store_u8(uint8_t *p, vf x) { FM_LANES p[i] = (uint8_t)(int32_t)x.v[i]; }
// Lanes of at most 127 in magnitude, rounded to nearest even.
FM_INLINE void vf_store_i8(int8_t *p, vf x) {
  FM_LANES p[i] = (int8_t)fm_bits(x.v[i] + 0x1.8p23f);
}
// Rounds 32 lanes to nearest even, stores them as int8 and returns their sum.
FM_INLINE int32_t store_group_i8(int8_t *p, vf a, vf b) {
  int32_t sum = 0;
  FM_LANES {
    // Adding 1.5 * 2^23 leaves the rounded integer in the low bits, NaN included without a trap.
    int8_t qa = (int8_t)fm_bits(a.v[i] + 0x1.8p23f), qb = (int8_t)fm_bits(b.v[i] + 0x1.8p23f);
    p[i] = qa;
    p[i + 16] = qb;
    sum += qa + qb;
  }
  return sum;
}
