// Rearranges GGUF rows into blocks, bit for bit.
#include <string.h>

#include "layout.h"

// GGUF Q4_0: 32 columns in 18 bytes: f16 scale, then byte j holds n[j] low and n[j + 16] high,
// value = scale * (n - 8).  Q8_0: f16 scale, 32 signed bytes.
static void pack_gguf(fm_scheme scheme, const uint8_t *rows, size_t row_stride, size_t valid_rows,
                      size_t columns, uint8_t *block) {
  size_t from_bytes = scheme == FM_Q4 ? 18 : 34, padded = fm_padded_columns(scheme, columns);
  memset(block, 0, fm_block_bytes(scheme, columns));
  for (size_t group = 0; group < padded / 32; group++) {
    uint8_t codes[32][16];
    memset(codes, scheme == FM_Q4 ? 8 : 128, sizeof codes);
    uint8_t *scales = fm_group_scales(scheme, block, group);
    for (size_t r = 0; r < valid_rows; r++) {
      const uint8_t *from = rows + r * row_stride + group * from_bytes;
      memcpy(scales + 2 * r, from, 2);
      from += 2;
      for (size_t k = 0; k < 32; k++)
        codes[k][r] = scheme == FM_Q8 ? from[k] ^ 0x80
                      : k < 16        ? from[k] & 15
                                      : from[k - 16] >> 4;
    }
    fm_store_codes(scheme, (const uint8_t (*)[16])codes,
                   fm_group_lines(scheme, block, padded, group));
  }
}

void fm_pack_block_q4_0(const uint8_t *rows, size_t row_stride, size_t valid_rows,
                        size_t columns, void *block) {
  pack_gguf(FM_Q4, rows, row_stride, valid_rows, columns, block);
}

void fm_pack_block_q8_0(const uint8_t *rows, size_t row_stride, size_t valid_rows,
                        size_t columns, void *block) {
  pack_gguf(FM_Q8, rows, row_stride, valid_rows, columns, block);
}
