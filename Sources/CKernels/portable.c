// The level every processor has: plain C on sixteen lanes.
#include "layout.h"
#include "levels.h"
#include "numeric.h"
#include "tiles.h"

#define FM_NAME "portable"
#define FM_LEVEL FM_PORTABLE
#define FM_TABLE_MATMUL_I8 matmul_i8
#define FM_TABLE fm_portable_functions

#define FM_MAX_BLOCKS 1
#define FM_TILE_BLOCKS 1
#define FM_TILE_TOKENS 2
#define FM_I8_BLOCKS 1
#define FM_I8_TOKENS 2
#define FM_I8_FEW 2
#define FM_I8_FEW_LIMIT 16
#define FM_ATTENTION_LINES 2
#define FM_ATTENTION_SUMS 2
#define FM_LATENT_LINES 1
#define FM_DELTA_PANELS 1

// One rounding per operation whatever the compiler would fuse: results must not depend on how
// an expression was compiled in two places.
#pragma STDC FP_CONTRACT OFF

#include "vectors_portable.h"

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
#include "kernel_table.h"
