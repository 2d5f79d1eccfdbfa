// Sizes of blocks; the layout is described in CKernels.h.
#include "layout.h"

size_t fm_padded_columns(fm_scheme scheme, size_t columns) {
  switch (scheme) {
    case FM_F32: return columns;
    case FM_F16: case FM_BF16: return fm_round_up(columns, 2);
    case FM_Q8: case FM_Q4: case FM_MXFP4: case FM_Q3: case FM_Q2: return fm_round_up(columns, 32);
    case FM_Q4A: return fm_round_up(columns, 64);
  }
  return columns;
}

size_t fm_block_bytes(fm_scheme scheme, size_t columns) {
  size_t padded = fm_padded_columns(scheme, columns);
  switch (scheme) {
    case FM_F32: return padded * FM_LINE_BYTES;
    case FM_F16: case FM_BF16: return padded / 2 * FM_LINE_BYTES;
    case FM_Q8: case FM_Q4: case FM_MXFP4: case FM_Q3: case FM_Q2:
      return fm_scales_bytes(scheme, padded) + padded / 32 * fm_group_bytes(scheme);
    case FM_Q4A: return padded / 64 * FM_Q4A_GROUP_BYTES;
  }
  return 0;
}

size_t fm_cache_block_bytes(fm_cache_type type, size_t head_dim) {
  size_t elements = fm_round_up(head_dim, 16) * FM_CACHE_POSITIONS;
  switch (type) {
    case FM_CACHE_F16: return elements * sizeof(uint16_t);
    case FM_CACHE_F32: return elements * sizeof(float);
    case FM_CACHE_Q8:
      return elements + fm_cache_groups(head_dim) * FM_CACHE_POSITIONS * sizeof(uint16_t);
  }
  return 0;
}

size_t fm_attention_workspace_bytes(size_t head_dim) {
  // Outputs and sixteen sums a line, maxima with a vector to spare, queries.
  size_t line = fm_round_up(head_dim, 16) + 16 + 1;
  size_t queries = (FM_WORK_LINES + 16) * head_dim;
  return fm_round_up((FM_WORK_LINES * line + 16 + queries) * sizeof(float), FM_LINE_BYTES);
}

size_t fm_latent_padded(size_t latent) { return fm_round_up(latent, FM_CACHE_GROUP); }

size_t fm_latent_width(size_t latent, size_t rope) {
  return fm_latent_padded(latent) + fm_round_up(rope, FM_CACHE_GROUP);
}

size_t fm_latent_workspace_bytes(size_t lines) {
  return fm_round_up(17 * lines * sizeof(float), FM_LINE_BYTES);
}
