// The AVX2 level: two registers of eight lanes, fused multiply-add, hardware halves.
#include "layout.h"
#include "levels.h"
#include "numeric.h"
#include "tiles.h"

#if defined(__x86_64__)

#define FM_NAME "avx2"
#define FM_LEVEL FM_AVX2
#define FM_TABLE_MATMUL_I8 matmul_i8
#define FM_TABLE fm_avx2_functions

// Sixteen registers: one block by four tokens leaves room for weights and a broadcast.
#define FM_MAX_BLOCKS 4
#define FM_TILE_BLOCKS 1
#define FM_TILE_TOKENS 4
#define FM_I8_BLOCKS 1
#define FM_I8_TOKENS 2
#define FM_I8_FEW 2
#define FM_I8_FEW_LIMIT 16
#define FM_ATTENTION_LINES 4
#define FM_ATTENTION_SUMS 4
#define FM_LATENT_LINES 1
#define FM_DELTA_PANELS 1

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

#include "vectors_avx2.h"

#include "kernel_rows.h"

#include "kernel_cache.h"
#include "kernel_attention.h"
#include "kernel_latent.h"
#include "kernel_delta.h"
#include "kernel_matmul.h"
#include "kernel_matmul_i8.h"
#include "kernel_fit.h"
#include "kernel_fit_fp4.h"

#include "tiles_emulated.h"
#include "kernel_tiles.h"

#pragma clang attribute pop

#include "kernel_table.h"

#endif
