// Rows of other programs' formats as f32: GGML's blocks and affine groups.
//
// Every value is made by the operations, in the order and in the precision that GGML's reference has,
// so the floats are the same bits.  Contraction into fused operations would change them.
#include <string.h>

#include "CKernels.h"
#include "numeric.h"

#pragma STDC FP_CONTRACT OFF

typedef struct row_block {
  uint16_t columns, bytes;
} row_block;

static const row_block blocks[] = {
    [FM_ROW_Q4_0] = {32, 18},         [FM_ROW_Q4_1] = {32, 20},    [FM_ROW_Q5_0] = {32, 22},
    [FM_ROW_Q5_1] = {32, 24},         [FM_ROW_Q8_0] = {32, 34},    [FM_ROW_Q2_K] = {256, 84},
    [FM_ROW_Q3_K] = {256, 110},       [FM_ROW_Q4_K] = {256, 144},  [FM_ROW_Q5_K] = {256, 176},
    [FM_ROW_Q6_K] = {256, 210},       [FM_ROW_IQ4_NL] = {32, 18},  [FM_ROW_IQ4_XS] = {256, 136},
    [FM_ROW_MXFP4] = {32, 17},        [FM_ROW_AFFINE_BF16] = {64, 36},
    [FM_ROW_AFFINE_F32] = {64, 40},
};

size_t fm_row_block_columns(fm_row_format format) { return blocks[format].columns; }
size_t fm_row_block_bytes(fm_row_format format) { return blocks[format].bytes; }

static float half_at(const uint8_t *p) {
  uint16_t h;
  memcpy(&h, p, 2);
  return fm_from_f16(h);
}

static float bf16_at(const uint8_t *p) {
  uint16_t h;
  memcpy(&h, p, 2);
  return fm_from_bf16(h);
}

// IQ4's levels, spaced as normal weights are.
static const int8_t iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};

// Nibble k of 32: low nibbles first, then high ones.
static uint8_t split_nibble(const uint8_t *quants, size_t k) {
  return k < 16 ? quants[k] & 15 : quants[k - 16] >> 4;
}

static void unpack_32(fm_row_format format, const uint8_t *p, float *out) {
  const float d = half_at(p);
  uint32_t high;
  switch (format) {
    case FM_ROW_Q4_0:
      for (size_t k = 0; k < 32; k++) out[k] = d * (float)(split_nibble(p + 2, k) - 8);
      return;
    case FM_ROW_Q4_1: {
      const float m = half_at(p + 2);
      for (size_t k = 0; k < 32; k++) out[k] = d * (float)split_nibble(p + 4, k) + m;
      return;
    }
    case FM_ROW_Q5_0:
      memcpy(&high, p + 2, 4);
      for (size_t k = 0; k < 32; k++)
        out[k] = d * (float)((int)(split_nibble(p + 6, k) | (high >> k & 1) << 4) - 16);
      return;
    case FM_ROW_Q5_1: {
      const float m = half_at(p + 2);
      memcpy(&high, p + 4, 4);
      for (size_t k = 0; k < 32; k++)
        out[k] = d * (float)(split_nibble(p + 8, k) | (high >> k & 1) << 4) + m;
      return;
    }
    case FM_ROW_Q8_0:
      for (size_t k = 0; k < 32; k++) out[k] = d * (float)(int8_t)p[2 + k];
      return;
    case FM_ROW_IQ4_NL:
      for (size_t k = 0; k < 32; k++) out[k] = d * (float)iq4_levels[split_nibble(p + 2, k)];
      return;
    default: {
      const float scale = fm_from_e8m0_half(p[0]);
      for (size_t k = 0; k < 32; k++) out[k] = scale * fm_doubled_e2m1[split_nibble(p + 1, k)];
    }
  }
}

// Q2_K: 16 groups of 16 with 4-bit scales and minima; two bits of four columns, 32 apart, a byte.
static void unpack_q2_k(const uint8_t *p, float *out) {
  const float d = half_at(p + 80), minimum = half_at(p + 82);
  for (size_t k = 0; k < 256; k++) {
    const uint8_t scale = p[k / 16];
    const uint8_t q = p[16 + k / 128 * 32 + k % 32] >> (k / 32 % 4 * 2) & 3;
    out[k] = d * (float)(scale & 15) * (float)q - minimum * (float)(scale >> 4);
  }
}

// Q3_K: a bit mask, two bits as in Q2_K, 16 scales of 6 bits, the upper two apart.
static void unpack_q3_k(const uint8_t *p, float *out) {
  const uint8_t *quants = p + 32, *scales = p + 96;
  const float d = half_at(p + 108);
  for (size_t k = 0; k < 256; k++) {
    const size_t group = k / 16;
    const int low = scales[group % 8] >> (group / 8 * 4) & 15;
    const int upper = scales[8 + group % 4] >> (group / 4 * 2) & 3;
    const int q = quants[k / 128 * 32 + k % 32] >> (k / 32 % 4 * 2) & 3;
    const int missing = (p[k % 32] >> (k / 32) & 1) == 0;
    out[k] = d * (float)((low | upper << 4) - 32) * (float)(q - 4 * missing);
  }
}

// Q4_K and Q5_K: eight groups of 32; scale and minimum of 6 bits each in 12 bytes.
static void k_scale(const uint8_t *s, size_t group, float *scale, float *minimum) {
  if (group < 4) {
    *scale = (float)(s[group] & 63);
    *minimum = (float)(s[group + 4] & 63);
  } else {
    *scale = (float)((s[group + 4] & 15) | (s[group - 4] >> 6) << 4);
    *minimum = (float)((s[group + 4] >> 4) | (s[group] >> 6) << 4);
  }
}

static void unpack_q45_k(fm_row_format format, const uint8_t *p, float *out) {
  const float d = half_at(p), minimum = half_at(p + 2);
  const uint8_t *high = p + 16, *quants = format == FM_ROW_Q5_K ? p + 48 : p + 16;
  for (size_t group = 0; group < 8; group++) {
    float scale, offset;
    k_scale(p + 4, group, &scale, &offset);
    scale = d * scale;
    offset = minimum * offset;
    for (size_t k = 0; k < 32; k++) {
      unsigned q = quants[group / 2 * 32 + k] >> (group % 2 * 4) & 15;
      if (format == FM_ROW_Q5_K) q |= (high[k] >> group & 1u) << 4;
      out[32 * group + k] = scale * (float)q - offset;
    }
  }
}

// Q6_K: 16 groups of 16 with 8-bit scales; four low bits of two columns, 64 apart, a byte, two high
// bits of four columns, 32 apart, a byte.
static void unpack_q6_k(const uint8_t *p, float *out) {
  const uint8_t *high = p + 128;
  const int8_t *scales = (const int8_t *)p + 192;
  const float d = half_at(p + 208);
  for (size_t k = 0; k < 256; k++) {
    const int low = p[k / 128 * 64 + k % 64] >> (k / 64 % 2 * 4) & 15;
    const int upper = high[k / 128 * 32 + k % 32] >> (k / 32 % 4 * 2) & 3;
    out[k] = d * (float)scales[k / 16] * (float)((low | upper << 4) - 32);
  }
}

// IQ4_XS: eight groups of 32 levels with scales of 6 bits, the upper two apart.
static void unpack_iq4_xs(const uint8_t *p, float *out) {
  const float d = half_at(p);
  uint16_t upper;
  memcpy(&upper, p + 2, 2);
  for (size_t group = 0; group < 8; group++) {
    const int low = p[4 + group / 2] >> (group % 2 * 4) & 15;
    const float scale = d * (float)((low | (upper >> 2 * group & 3) << 4) - 32);
    for (size_t k = 0; k < 32; k++)
      out[32 * group + k] = scale * (float)iq4_levels[split_nibble(p + 8 + 16 * group, k)];
  }
}

static void unpack_affine(const uint8_t *p, float scale, float bias, float *out) {
  for (size_t k = 0; k < 64; k++) out[k] = scale * (float)(p[k / 2] >> 4 * (k % 2) & 15) + bias;
}

void fm_unpack_format(fm_row_format format, const uint8_t *row, size_t columns, float *out) {
  const row_block block = blocks[format];
  for (size_t k = 0; k + block.columns <= columns; k += block.columns, row += block.bytes) {
    switch (format) {
      case FM_ROW_Q2_K: unpack_q2_k(row, out + k); break;
      case FM_ROW_Q3_K: unpack_q3_k(row, out + k); break;
      case FM_ROW_Q4_K: case FM_ROW_Q5_K: unpack_q45_k(format, row, out + k); break;
      case FM_ROW_Q6_K: unpack_q6_k(row, out + k); break;
      case FM_ROW_IQ4_XS: unpack_iq4_xs(row, out + k); break;
      case FM_ROW_AFFINE_BF16:
        unpack_affine(row + 4, bf16_at(row), bf16_at(row + 2), out + k);
        break;
      case FM_ROW_AFFINE_F32: {
        float scale, bias;
        memcpy(&scale, row, 4);
        memcpy(&bias, row + 4, 4);
        unpack_affine(row + 8, scale, bias, out + k);
        break;
      }
      default: unpack_32(format, row, out + k);
    }
  }
}
