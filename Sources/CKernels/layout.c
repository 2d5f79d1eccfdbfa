// Sizes of blocks; the layout is described in CKernels.h.
#include "layout.h"

size_t fm_padded_columns(fm_scheme scheme, size_t columns) {
  switch (scheme) {
    case FM_F32: return columns;
    case FM_F16: case FM_BF16: return fm_round_up(columns, 2);
    case FM_Q8: case FM_Q4: return fm_round_up(columns, 32);
    case FM_Q4A: return fm_round_up(columns, 64);
  }
  return columns;
}

size_t fm_block_bytes(fm_scheme scheme, size_t columns) {
  size_t padded = fm_padded_columns(scheme, columns);
  switch (scheme) {
    case FM_F32: return padded * FM_LINE_BYTES;
    case FM_F16: case FM_BF16: return padded / 2 * FM_LINE_BYTES;
    case FM_Q8: return fm_scales_bytes(padded) + padded / 32 * FM_Q8_GROUP_BYTES;
    case FM_Q4: return fm_scales_bytes(padded) + padded / 32 * FM_Q4_GROUP_BYTES;
    case FM_Q4A: return padded / 64 * FM_Q4A_GROUP_BYTES;
  }
  return 0;
}
