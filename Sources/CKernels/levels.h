// What one instruction-set level offers: the public table and the fitting of quantized groups.
#ifndef FM_LEVELS_H
#define FM_LEVELS_H

#include "CKernels.h"

// Sixteen rows' quantization of one group of columns.
typedef struct fm_fit {
  uint16_t scale[FM_BLOCK_ROWS];  // f16 (q8, q4, q3, q2), bf16 (q4a) or e8m0 in the low byte (mxfp4)
  uint16_t bias[FM_BLOCK_ROWS];   // bf16, q4a only
  float error[FM_BLOCK_ROWS];     // sum of squared errors of the row
  float greatest[FM_BLOCK_ROWS];  // greatest magnitude of an error of the row
  uint8_t codes[64][FM_BLOCK_ROWS];  // as stored: q + 128, 8, 4 or 2, n, or e2m1
} fm_fit;

// Fits `count` columns w[k][r] of sixteen rows.  Written without fused operations and with
// IEEE operations only, so every level finds the same codes and packing is reproducible.
// `importance`, one factor a column or NULL, weighs the squared errors that the search minimises;
// the errors it reports are unweighted.
typedef void (*fm_fit_function)(const float (*w)[FM_BLOCK_ROWS], size_t count, bool search,
                                const float *importance, fm_fit *fit);

typedef void (*fm_i8_function)(const fm_matrix *w, size_t block_begin, size_t block_end,
                               const fm_activations *a, size_t m, float *y, size_t ldy);

typedef struct fm_level_functions {
  fm_kernels kernels;
  fm_fit_function fit_q8, fit_q4, fit_q4a, fit_mxfp4, fit_q3, fit_q2;
  fm_i8_function emulated_tiles;
} fm_level_functions;

extern const fm_level_functions fm_portable_functions;
#if defined(__x86_64__)
extern const fm_level_functions fm_avx2_functions;
extern const fm_level_functions fm_avx512_functions;
extern const fm_level_functions fm_amx_functions;
#endif

const fm_level_functions *fm_functions_at(fm_level level);

#endif
