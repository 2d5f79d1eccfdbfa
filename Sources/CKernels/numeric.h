// Scalar conversions between f32 and the two 16-bit formats, in plain integer arithmetic.
#ifndef FM_NUMERIC_H
#define FM_NUMERIC_H

#include <stdint.h>
#include <string.h>

static inline uint32_t fm_bits(float x) {
  uint32_t u;
  memcpy(&u, &x, 4);
  return u;
}

static inline float fm_float(uint32_t u) {
  float x;
  memcpy(&x, &u, 4);
  return x;
}

// Multiplying by 2^112 rebiases the exponent and normalises subnormals in one exact step.
static inline float fm_from_f16(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000) << 16;
  uint32_t magnitude = (uint32_t)(h & 0x7fff) << 13;
  uint32_t u = fm_bits(fm_float(magnitude) * 0x1p112f);
  if (magnitude >= 0x0f800000) u = magnitude | 0x7f800000;  // infinity and NaN
  return fm_float(u | sign);
}

// Round to nearest even; overflow becomes infinity, NaN stays NaN.
static inline uint16_t fm_to_f16(float x) {
  uint32_t u = fm_bits(x);
  uint32_t sign = (u >> 16) & 0x8000;
  u &= 0x7fffffff;
  uint32_t h;
  if (u >= 0x47800000) {
    h = u > 0x7f800000 ? 0x7e00 | ((u >> 13) & 0x3ff) : 0x7c00;
  } else if (u < 0x38800000) {
    // Subnormal: adding 0.5 makes the adder align and round the 10 bits for us.
    h = fm_bits(fm_float(u) + 0.5f) - 0x3f000000;
  } else {
    h = (u + 0xfff + ((u >> 13) & 1) - 0x38000000) >> 13;
  }
  return (uint16_t)(h | sign);
}

static inline float fm_from_bf16(uint16_t h) { return fm_float((uint32_t)h << 16); }

// 2^(e - 128): the scale of an MX block, halved to go with doubled codes.  Subnormal for e = 0 and 1;
// 255, which stands for NaN and is never stored, becomes 2^127 as in GGML.
static inline float fm_from_e8m0_half(uint8_t e) {
  return fm_float(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}

// Twice the values of e2m1's sixteen codes, which are whole numbers; minus zero is zero, as in GGML.
static const float fm_doubled_e2m1[16] = {0,     1,  2,  3,  4,  6,  8,  12,
                                          0, -1, -2, -3, -4, -6, -8, -12};

static inline uint16_t fm_to_bf16(float x) {
  uint32_t u = fm_bits(x);
  if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)((u >> 16) | 0x40);
  return (uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}

#endif
