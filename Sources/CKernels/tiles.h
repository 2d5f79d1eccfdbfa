// AMX tile registers: eight of them, up to 16 rows of 64 bytes each.
#ifndef FM_TILES_H
#define FM_TILES_H

#include <stddef.h>
#include <stdint.h>

// Columns that are unpacked at a time, in groups of 32: signed lines (16 KiB) and scales stay in
// the first-level cache together with the activations of one tile.
#define FM_TILE_PIECE 32
// Fewer tokens do not pay for unpacking and go to vector instructions.
#define FM_TILE_LEAST_TOKENS 32

// What ldtilecfg reads: 64 bytes.
typedef struct fm_tile_config {
  uint8_t palette;
  uint8_t start_row;
  uint8_t reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
} fm_tile_config;

_Static_assert(sizeof(fm_tile_config) == 64, "the processor defines this layout");

// Sums in tiles 0–3, 16 rows of 16 int32; activations in 4 and 5, one group of 32 bytes a token;
// weights in 6 and 7, eight lines.
static inline fm_tile_config fm_group_tiles(size_t tokens) {
  fm_tile_config config = {.palette = 1};
  for (int tile = 0; tile < 8; tile++) {
    config.rows[tile] = (uint8_t)(tile < 6 ? tokens : 8);
    config.row_bytes[tile] = tile == 4 || tile == 5 ? 32 : 64;
  }
  return config;
}

#endif
