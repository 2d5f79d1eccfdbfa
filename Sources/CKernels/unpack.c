// Blocks back to f32, and widening of the 16-bit formats.
#include <string.h>

#include "layout.h"
#include "numeric.h"

static uint8_t load_code(fm_scheme scheme, const uint8_t *lines, size_t row, size_t k) {
  if (scheme == FM_Q8) return lines[k / 4 * 64 + 4 * row + k % 4];
  if (scheme == FM_Q3 || scheme == FM_Q2) {
    const size_t step = k / 4, at = 4 * row + k % 4;
    uint8_t code = lines[step / 4 * 64 + at] >> step % 4 * 2 & 3;
    if (scheme == FM_Q3) code |= (lines[128 + at] >> step & 1) << 2;
    return code;
  }
  uint8_t byte = lines[k / 8 * 64 + 4 * row + k % 4];
  return k % 8 < 4 ? byte & 15 : byte >> 4;
}

static void unpack_row(fm_scheme scheme, const uint8_t *block, size_t columns, size_t row,
                       float *out) {
  if (scheme == FM_F32) {
    for (size_t k = 0; k < columns; k++) out[k] = ((const float *)block)[16 * k + row];
    return;
  }
  if (scheme == FM_F16 || scheme == FM_BF16) {
    const uint16_t *words = (const uint16_t *)block;
    for (size_t k = 0; k < columns; k++) {
      uint16_t h = words[fm_word_index(scheme, row, k)];
      out[k] = scheme == FM_F16 ? fm_from_f16(h) : fm_from_bf16(h);
    }
    return;
  }
  size_t width = scheme == FM_Q4A ? 64 : 32, padded = fm_padded_columns(scheme, columns);
  for (size_t group = 0; group < padded / width; group++) {
    uint16_t scale, bias;
    const size_t left = columns - group * width, count = left < width ? left : width;
    const uint8_t *scales = fm_group_scales(scheme, (uint8_t *)block, group);
    const uint8_t *lines = fm_group_lines(scheme, (uint8_t *)block, padded, group);
    if (scheme == FM_MXFP4) {
      float d = fm_from_e8m0_half(scales[row]);
      for (size_t k = 0; k < count; k++)
        out[group * width + k] = d * fm_doubled_e2m1[load_code(scheme, lines, row, k)];
      continue;
    }
    memcpy(&scale, scales + 2 * row, 2);
    float s = scheme == FM_Q4A ? fm_from_bf16(scale) : fm_from_f16(scale), b = 0;
    float zero = (float)fm_code_zero(scheme);
    if (scheme == FM_Q4A) {
      memcpy(&bias, scales + 32 + 2 * row, 2);
      b = fm_from_bf16(bias);
    }
    for (size_t k = 0; k < count; k++)
      out[group * width + k] = s * ((float)load_code(scheme, lines, row, k) - zero) + b;
  }
}

void fm_unpack_block(fm_scheme scheme, const void *block, size_t columns, size_t valid_rows,
                     float *rows, size_t ld) {
  for (size_t r = 0; r < valid_rows; r++) unpack_row(scheme, block, columns, r, rows + r * ld);
}

void fm_unpack_row(const fm_matrix *w, size_t row, float *out) {
  const uint8_t *block =
      w->data + row / FM_BLOCK_ROWS * fm_block_bytes(w->scheme, w->columns);
  unpack_row(w->scheme, block, w->columns, row % FM_BLOCK_ROWS, out);
}

void fm_widen_bf16(const uint16_t *x, size_t n, float *y) {
  for (size_t i = 0; i < n; i++) y[i] = fm_from_bf16(x[i]);
}

void fm_widen_f16(const uint16_t *x, size_t n, float *y) {
  for (size_t i = 0; i < n; i++) y[i] = fm_from_f16(x[i]);
}
