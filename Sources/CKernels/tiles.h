// AMX tile registers: eight of them, up to 16 rows of 64 bytes each.
#ifndef FM_TILES_H
#define FM_TILES_H

#include <stdint.h>

// What ldtilecfg reads: 64 bytes.
typedef struct fm_tile_config {
  uint8_t palette;
  uint8_t start_row;
  uint8_t reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
} fm_tile_config;

_Static_assert(sizeof(fm_tile_config) == 64, "the processor defines this layout");

#endif
