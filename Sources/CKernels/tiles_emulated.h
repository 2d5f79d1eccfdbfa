// Tile instructions for kernel_tiles.h, written out in C: tests compare the kernel's bits with
// them on processors without tiles.  What the processor refuses stops the program here, too.
#define FM_TILES(name) emulated_##name
#define FM_TILE_FUNCTION static
#define FM_TILE_STATE emulated_tiles *tiles
#define FM_TILE_PASS tiles
#define FM_TILE_DECLARE emulated_tiles storage, *tiles = &storage
#define FM_TILE_CONFIGURE(config) emulated_configure(tiles, config)
#define FM_TILE_ZERO(tile) emulated_zero(tiles, tile)
#define FM_TILE_LOAD(tile, from, stride) emulated_load(tiles, tile, from, stride)
#define FM_TILE_DOT(sums, left, right) emulated_dot(tiles, sums, left, right)
#define FM_TILE_STORE(tile, to, stride) emulated_store(tiles, tile, to, stride)
#define FM_TILE_RELEASE() ((void)tiles)

typedef struct emulated_tiles {
  fm_tile_config config;
  uint8_t bytes[8][16][64];
} emulated_tiles;

static void emulated_configure(emulated_tiles *tiles, const fm_tile_config *config) {
  if (config->palette != 1) __builtin_trap();
  for (int tile = 0; tile < 8; tile++)
    if (config->rows[tile] == 0 || config->rows[tile] > 16 || config->row_bytes[tile] == 0 ||
        config->row_bytes[tile] > 64)
      __builtin_trap();
  tiles->config = *config;
  memset(tiles->bytes, 0, sizeof tiles->bytes);
}

static void emulated_zero(emulated_tiles *tiles, int tile) {
  memset(tiles->bytes[tile], 0, sizeof tiles->bytes[tile]);
}

// Bytes outside the configured shape become zero.
static void emulated_load(emulated_tiles *tiles, int tile, const void *from, size_t stride) {
  emulated_zero(tiles, tile);
  for (size_t row = 0; row < tiles->config.rows[tile]; row++)
    memcpy(tiles->bytes[tile][row], (const uint8_t *)from + row * stride,
           tiles->config.row_bytes[tile]);
}

static void emulated_store(const emulated_tiles *tiles, int tile, void *to, size_t stride) {
  for (size_t row = 0; row < tiles->config.rows[tile]; row++)
    memcpy((uint8_t *)to + row * stride, tiles->bytes[tile][row], tiles->config.row_bytes[tile]);
}

// sums[m][n] += Σ left[m][4k + i] · right[k][4n + i], all bytes signed.
static void emulated_dot(emulated_tiles *tiles, int sums, int left, int right) {
  const fm_tile_config *config = &tiles->config;
  if (config->rows[sums] != config->rows[left] ||
      config->row_bytes[sums] != config->row_bytes[right] ||
      config->row_bytes[left] != 4 * config->rows[right])
    __builtin_trap();
  for (int m = 0; m < config->rows[sums]; m++)
    for (int n = 0; n < config->row_bytes[sums] / 4; n++) {
      int32_t sum;
      memcpy(&sum, &tiles->bytes[sums][m][4 * n], 4);
      for (int k = 0; k < config->rows[right]; k++)
        for (int i = 0; i < 4; i++)
          sum += (int8_t)tiles->bytes[left][m][4 * k + i] *
                 (int8_t)tiles->bytes[right][k][4 * n + i];
      memcpy(&tiles->bytes[sums][m][4 * n], &sum, 4);
    }
}
