// Rearranges rows that are in one of our schemes already into blocks, bit for bit.
#include <string.h>

#include "layout.h"
#include "numeric.h"

// GGUF Q4_0: 32 columns in 18 bytes: f16 scale, then byte j holds n[j] low and n[j + 16] high,
// value = scale * (n - 8).  Q8_0: f16 scale, 32 signed bytes.  MXFP4: as Q4_0 with e2m1 codes and
// one byte of scale.
static void pack_gguf(fm_scheme scheme, const uint8_t *rows, size_t row_stride, size_t valid_rows,
                      size_t columns, uint8_t *block) {
  const size_t scale_bytes = scheme == FM_MXFP4 ? 1 : 2;
  const size_t from_bytes = scale_bytes + (scheme == FM_Q8 ? 32 : 16);
  const size_t padded = fm_padded_columns(scheme, columns);
  memset(block, 0, fm_block_bytes(scheme, columns));
  for (size_t group = 0; group < padded / 32; group++) {
    uint8_t codes[32][16];
    memset(codes, fm_code_zero(scheme), sizeof codes);
    uint8_t *scales = fm_group_scales(scheme, block, group);
    for (size_t r = 0; r < valid_rows; r++) {
      const uint8_t *from = rows + r * row_stride + group * from_bytes;
      memcpy(scales + scale_bytes * r, from, scale_bytes);
      from += scale_bytes;
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

void fm_pack_block_mxfp4(const uint8_t *rows, size_t row_stride, size_t valid_rows,
                         size_t columns, void *block) {
  pack_gguf(FM_MXFP4, rows, row_stride, valid_rows, columns, block);
}

void fm_pack_block_affine(const uint8_t *rows, size_t row_stride, size_t valid_rows,
                          size_t columns, bool wide, void *block) {
  const size_t head = wide ? 4 : 2;
  uint8_t *to = block;
  memset(to, 0, fm_block_bytes(FM_Q4A, columns));
  for (size_t group = 0; group < columns / 64; group++) {
    uint8_t codes[64][16];
    memset(codes, 0, sizeof codes);
    uint8_t *scales = fm_group_scales(FM_Q4A, to, group);
    for (size_t r = 0; r < valid_rows; r++) {
      const uint8_t *from = rows + r * row_stride + group * (2 * head + 32);
      uint16_t words[2];
      for (size_t i = 0; i < 2; i++) {
        float value = 0;
        if (wide) memcpy(&value, from + 4 * i, 4);
        if (wide) words[i] = fm_to_bf16(value);
        else memcpy(&words[i], from + 2 * i, 2);
      }
      memcpy(scales + 2 * r, &words[0], 2);
      memcpy(scales + 2 * FM_BLOCK_ROWS + 2 * r, &words[1], 2);
      from += 2 * head;
      for (size_t k = 0; k < 64; k++) codes[k][r] = from[k / 2] >> 4 * (k % 2) & 15;
    }
    fm_store_codes(FM_Q4A, (const uint8_t (*)[16])codes,
                   fm_group_lines(FM_Q4A, to, columns, group));
  }
}
