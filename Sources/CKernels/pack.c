// Packing f32 rows into blocks.
#include <string.h>

#include "layout.h"
#include "levels.h"
#include "numeric.h"

static fm_pack_error pack_words(fm_scheme scheme, const float *rows, size_t ld, size_t valid_rows,
                                size_t columns, uint16_t *words) {
  fm_pack_error error = {0, 0};
  for (size_t r = 0; r < valid_rows; r++)
    for (size_t k = 0; k < columns; k++) {
      float w = rows[r * ld + k];
      uint16_t h = scheme == FM_F16 ? fm_to_f16(w) : fm_to_bf16(w);
      double e = (double)w - (double)(scheme == FM_F16 ? fm_from_f16(h) : fm_from_bf16(h));
      words[fm_word_index(scheme, r, k)] = h;
      error.squares += e * e;
      float magnitude = (float)(e < 0 ? -e : e);
      if (magnitude > error.greatest) error.greatest = magnitude;
    }
  return error;
}

static fm_fit_function fit_function(const fm_level_functions *functions, fm_scheme scheme) {
  switch (scheme) {
    case FM_Q8: return functions->fit_q8;
    case FM_Q4: return functions->fit_q4;
    case FM_MXFP4: return functions->fit_mxfp4;
    case FM_Q3: return functions->fit_q3;
    case FM_Q2: return functions->fit_q2;
    default: return functions->fit_q4a;
  }
}

static void store_scales(fm_scheme scheme, const fm_fit *fit, uint8_t *scales) {
  if (scheme == FM_MXFP4) {
    for (size_t r = 0; r < FM_BLOCK_ROWS; r++) scales[r] = (uint8_t)fit->scale[r];
    return;
  }
  memcpy(scales, fit->scale, sizeof fit->scale);
  if (scheme == FM_Q4A) memcpy(scales + sizeof fit->scale, fit->bias, sizeof fit->bias);
}

static fm_pack_error pack_groups(const fm_level_functions *functions, fm_scheme scheme,
                                 const float *rows, size_t ld, size_t valid_rows, size_t columns,
                                 bool search, const float *importance, uint8_t *block) {
  fm_fit_function function = fit_function(functions, scheme);
  size_t width = scheme == FM_Q4A ? 64 : 32;
  size_t padded = fm_padded_columns(scheme, columns);
  fm_pack_error error = {0, 0};
  for (size_t group = 0; group < padded / width; group++) {
    size_t left = columns - group * width;
    size_t count = left < width ? left : width;
    _Alignas(64) float w[64][16];
    if (valid_rows < 16) memset(w, 0, sizeof w);
    for (size_t r = 0; r < valid_rows; r++)
      for (size_t k = 0; k < count; k++) w[k][r] = rows[r * ld + group * width + k];
    fm_fit fit;
    // Padding decodes to zero; in q4a it only ever meets zero activations.
    if (count < width)
      memset(fit.codes, fm_code_zero(scheme), sizeof fit.codes);
    function((const float (*)[16])w, count, search, importance ? importance + group * width : NULL,
             &fit);
    store_scales(scheme, &fit, fm_group_scales(scheme, block, group));
    fm_store_codes(scheme, (const uint8_t (*)[16])fit.codes,
                fm_group_lines(scheme, block, padded, group));
    for (size_t r = 0; r < valid_rows; r++) {
      error.squares += (double)fit.error[r];
      if (fit.greatest[r] > error.greatest) error.greatest = fit.greatest[r];
    }
  }
  return error;
}

static fm_pack_error pack_block(fm_level level, fm_scheme scheme, const float *rows, size_t ld,
                                size_t valid_rows, size_t columns, bool search,
                                const float *importance, void *block) {
  const fm_level_functions *functions = fm_functions_at(level);
  if (!functions) return (fm_pack_error){-1, 0};
  memset(block, 0, fm_block_bytes(scheme, columns));
  switch (scheme) {
    case FM_F32:
      for (size_t r = 0; r < valid_rows; r++)
        for (size_t k = 0; k < columns; k++) ((float *)block)[16 * k + r] = rows[r * ld + k];
      return (fm_pack_error){0, 0};
    case FM_F16: case FM_BF16:
      return pack_words(scheme, rows, ld, valid_rows, columns, block);
    case FM_Q8: case FM_Q4: case FM_Q4A: case FM_MXFP4: case FM_Q3: case FM_Q2:
      return pack_groups(functions, scheme, rows, ld, valid_rows, columns, search, importance,
                         block);
  }
  return (fm_pack_error){0, 0};
}

fm_pack_error fm_pack_block_at(fm_level level, fm_scheme scheme, const float *rows, size_t ld,
                               size_t valid_rows, size_t columns, bool search, void *block) {
  return pack_block(level, scheme, rows, ld, valid_rows, columns, search, NULL, block);
}

fm_pack_error fm_pack_block(fm_scheme scheme, const float *rows, size_t ld, size_t valid_rows,
                            size_t columns, bool search, void *block) {
  return pack_block(fm_best_level(), scheme, rows, ld, valid_rows, columns, search, NULL, block);
}

fm_pack_error fm_pack_block_weighted(fm_level level, fm_scheme scheme, const float *rows, size_t ld,
                                     size_t valid_rows, size_t columns, const float *importance,
                                     void *block) {
  return pack_block(level, scheme, rows, ld, valid_rows, columns, true, importance, block);
}
