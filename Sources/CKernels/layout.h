// Offsets inside a block; the layout itself is described in CKernels.h.
#ifndef FM_LAYOUT_H
#define FM_LAYOUT_H

#include "CKernels.h"

#define FM_LINE_BYTES 64
// How far ahead of its use a stream of weights is asked for: enough lines in flight to cover the
// latency of memory, few enough to be in the first-level cache still when their turn comes.
#define FM_PREFETCH_BYTES 8192

static inline size_t fm_round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

// q8, q4, mxfp4: bytes of one group's scales, 16 halves or 16 exponents.
static inline size_t fm_group_scale_bytes(fm_scheme scheme) {
  return scheme == FM_MXFP4 ? FM_BLOCK_ROWS : 2 * FM_BLOCK_ROWS;
}

// Bytes of the scales that open a block of these schemes.
static inline size_t fm_scales_bytes(fm_scheme scheme, size_t padded_columns) {
  return fm_round_up(padded_columns / 32 * fm_group_scale_bytes(scheme), FM_LINE_BYTES);
}

#define FM_Q8_GROUP_BYTES (8 * FM_LINE_BYTES)
#define FM_Q4_GROUP_BYTES (4 * FM_LINE_BYTES)
#define FM_Q3_GROUP_BYTES (3 * FM_LINE_BYTES)
#define FM_Q2_GROUP_BYTES (2 * FM_LINE_BYTES)
// q4a: one line of scales and biases, then eight lines of nibbles for 64 columns.
#define FM_Q4A_GROUP_BYTES (9 * FM_LINE_BYTES)

// Bytes of the lines of 32 columns.
static inline size_t fm_group_bytes(fm_scheme scheme) {
  switch (scheme) {
    case FM_Q8: return FM_Q8_GROUP_BYTES;
    case FM_Q3: return FM_Q3_GROUP_BYTES;
    case FM_Q2: return FM_Q2_GROUP_BYTES;
    default: return FM_Q4_GROUP_BYTES;
  }
}

// What codes are stored above their value; 0 where they are not numbers.
static inline int fm_code_zero(fm_scheme scheme) {
  switch (scheme) {
    case FM_Q8: return 128;
    case FM_Q4: return 8;
    case FM_Q3: return 4;
    case FM_Q2: return 2;
    default: return 0;
  }
}

// Rows of block `block` that exist.
static inline size_t fm_rows_in_block(const fm_matrix *w, size_t block) {
  size_t left = w->rows - block * FM_BLOCK_ROWS;
  return left < FM_BLOCK_ROWS ? left : FM_BLOCK_ROWS;
}

// Where element k of row r of a 16-bit scheme lies, in 16-bit units.
static inline size_t fm_word_index(fm_scheme scheme, size_t row, size_t k) {
  return scheme == FM_F16 ? 16 * k + row : 32 * (k / 2) + 2 * row + k % 2;
}

// Key/value caches: groups of dimensions that share a scale, in 8 bits.
static inline size_t fm_cache_groups(size_t head_dim) {
  return (head_dim + FM_CACHE_GROUP - 1) / FM_CACHE_GROUP;
}

// Attention keeps this many (row, head) pairs in work, so that a block of keys and values is
// loaded from memory once for all of them.
#define FM_WORK_LINES 64

// A quantized group's lines.
static inline uint8_t *fm_group_lines(fm_scheme scheme, uint8_t *block, size_t padded,
                                      size_t group) {
  return scheme == FM_Q4A ? block + group * FM_Q4A_GROUP_BYTES + FM_LINE_BYTES
                          : block + fm_scales_bytes(scheme, padded) + group * fm_group_bytes(scheme);
}

static inline uint8_t *fm_group_scales(fm_scheme scheme, uint8_t *block, size_t group) {
  return scheme == FM_Q4A ? block + group * FM_Q4A_GROUP_BYTES
                           : block + fm_group_scale_bytes(scheme) * group;
}

// codes[k][r] of one group into its lines.
static inline void fm_store_codes(fm_scheme scheme, const uint8_t (*codes)[16], uint8_t *lines) {
  if (scheme == FM_Q8) {
    for (size_t line = 0; line < 8; line++)
      for (size_t r = 0; r < 16; r++)
        for (size_t c = 0; c < 4; c++)
          lines[64 * line + 4 * r + c] = codes[4 * line + c][r];
    return;
  }
  if (scheme == FM_Q3 || scheme == FM_Q2) {
    for (size_t line = 0; line < 2; line++)
      for (size_t at = 0; at < 64; at++) {
        uint8_t byte = 0;
        for (size_t i = 0; i < 4; i++)
          byte |= (uint8_t)((codes[16 * line + 4 * i + at % 4][at / 4] & 3) << 2 * i);
        lines[64 * line + at] = byte;
      }
    if (scheme == FM_Q2) return;
    for (size_t at = 0; at < 64; at++) {
      uint8_t byte = 0;
      for (size_t step = 0; step < 8; step++)
        byte |= (uint8_t)((codes[4 * step + at % 4][at / 4] >> 2 & 1) << step);
      lines[128 + at] = byte;
    }
    return;
  }
  for (size_t line = 0; line < (scheme == FM_Q4A ? 8 : 4); line++)
    for (size_t r = 0; r < 16; r++)
      for (size_t c = 0; c < 4; c++)
        lines[64 * line + 4 * r + c] =
            (uint8_t)(codes[8 * line + c][r] | codes[8 * line + 4 + c][r] << 4);
}

#endif
