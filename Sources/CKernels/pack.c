// Packing f32 rows into blocks.
#include <string.h>

#include "layout.h"
#include "levels.h"
#include "numeric.h"

static double pack_words(fm_scheme scheme, const float *rows, size_t ld, size_t valid_rows,
                         size_t columns, uint16_t *words) {
  double error = 0;
  for (size_t r = 0; r < valid_rows; r++)
    for (size_t k = 0; k < columns; k++) {
      float w = rows[r * ld + k];
      uint16_t h = scheme == FM_F16 ? fm_to_f16(w) : fm_to_bf16(w);
      double e = (double)w - (double)(scheme == FM_F16 ? fm_from_f16(h) : fm_from_bf16(h));
      words[fm_word_index(scheme, r, k)] = h;
      error += e * e;
    }
  return error;
}

static double pack_groups(const fm_level_functions *functions, fm_scheme scheme, const float *rows,
                          size_t ld, size_t valid_rows, size_t columns, bool search,
                          uint8_t *block) {
  fm_fit_function function = scheme == FM_Q8   ? functions->fit_q8
                             : scheme == FM_Q4 ? functions->fit_q4
                                               : functions->fit_q4a;
  size_t width = scheme == FM_Q4A ? 64 : 32;
  size_t padded = fm_padded_columns(scheme, columns);
  double error = 0;
  for (size_t group = 0; group < padded / width; group++) {
    size_t left = columns - group * width;
    size_t count = left < width ? left : width;
    _Alignas(64) float w[64][16];
    if (valid_rows < 16) memset(w, 0, sizeof w);
    for (size_t r = 0; r < valid_rows; r++)
      for (size_t k = 0; k < count; k++) w[k][r] = rows[r * ld + group * width + k];
    fm_fit fit;
    // Padding decodes to zero in q8 and q4; in q4a it only ever meets zero activations.
    if (count < width)
      memset(fit.codes, scheme == FM_Q8 ? 128 : scheme == FM_Q4 ? 8 : 0, sizeof fit.codes);
    function((const float (*)[16])w, count, search, &fit);
    uint8_t *scales = fm_group_scales(scheme, block, group);
    memcpy(scales, fit.scale, sizeof fit.scale);
    if (scheme == FM_Q4A) memcpy(scales + sizeof fit.scale, fit.bias, sizeof fit.bias);
    fm_store_codes(scheme, (const uint8_t (*)[16])fit.codes,
                fm_group_lines(scheme, block, padded, group));
    for (size_t r = 0; r < valid_rows; r++) error += (double)fit.error[r];
  }
  return error;
}

double fm_pack_block_at(fm_level level, fm_scheme scheme, const float *rows, size_t ld,
                        size_t valid_rows, size_t columns, bool search, void *block) {
  const fm_level_functions *functions = fm_functions_at(level);
  if (!functions) return -1;
  memset(block, 0, fm_block_bytes(scheme, columns));
  switch (scheme) {
    case FM_F32:
      for (size_t r = 0; r < valid_rows; r++)
        for (size_t k = 0; k < columns; k++) ((float *)block)[16 * k + r] = rows[r * ld + k];
      return 0;
    case FM_F16: case FM_BF16:
      return pack_words(scheme, rows, ld, valid_rows, columns, block);
    case FM_Q8: case FM_Q4: case FM_Q4A:
      return pack_groups(functions, scheme, rows, ld, valid_rows, columns, search, block);
  }
  return 0;
}

double fm_pack_block(fm_scheme scheme, const float *rows, size_t ld, size_t valid_rows,
                     size_t columns, bool search, void *block) {
  return fm_pack_block_at(fm_best_level(), scheme, rows, ld, valid_rows, columns, search, block);
}
