// The AVX-512 level with VNNI: one register per line, integer dot products in one instruction.
#include "layout.h"
#include "levels.h"
#include "numeric.h"
#include "tiles.h"

#if defined(__x86_64__)

#define FM_NAME "avx512-vnni"
#define FM_LEVEL FM_AVX512VNNI
#define FM_TABLE_MATMUL_I8 matmul_i8
#define FM_TABLE fm_avx512_functions

// Thirty-two registers.  An int8 tile holds two accumulators per chain, integer and f32.
#define FM_MAX_BLOCKS 4
#define FM_TILE_BLOCKS 2
#define FM_TILE_TOKENS 8
#define FM_I8_BLOCKS 2
#define FM_I8_TOKENS 4
#define FM_I8_FEW 8
#define FM_I8_FEW_LIMIT 16
#define FM_ATTENTION_LINES 8
#define FM_ATTENTION_SUMS 16
#define FM_LATENT_LINES 4
#define FM_DELTA_PANELS 4

#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push( \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))), \
    apply_to = function)

#include "vectors_avx512.h"

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

// The AMX level: tiles for products of many tokens, everything else as above.
#undef FM_TILES
#undef FM_TILE_FUNCTION
#undef FM_TILE_STATE
#undef FM_TILE_PASS
#undef FM_TILE_DECLARE
#undef FM_TILE_CONFIGURE
#undef FM_TILE_ZERO
#undef FM_TILE_LOAD
#undef FM_TILE_DOT
#undef FM_TILE_STORE
#undef FM_TILE_RELEASE

#pragma clang attribute push(                                                                    \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,"         \
                          "amx-tile,amx-int8"))),                                                \
    apply_to = function)

#include "tiles_amx.h"
#include "kernel_tiles.h"

#pragma clang attribute pop

#undef FM_NAME
#undef FM_LEVEL
#undef FM_TABLE
#undef FM_TABLE_MATMUL_I8
#define FM_NAME "amx"
#define FM_LEVEL FM_AMX
#define FM_TABLE_MATMUL_I8 amx_matmul_i8
#define FM_TABLE fm_amx_functions

#include "kernel_table.h"

#endif
