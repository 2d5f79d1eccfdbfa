// Tile instructions for kernel_tiles.h: the processor's.  Tile numbers are part of the instruction,
// hence macros; tiles live in the thread, so there is no state to hand on.
#define FM_TILES(name) amx_##name
#define FM_TILE_FUNCTION FM_INLINE
#define FM_TILE_STATE const int no_state
#define FM_TILE_PASS no_state
#define FM_TILE_DECLARE const int no_state = 0
#define FM_TILE_CONFIGURE(config) _tile_loadconfig(config)
#define FM_TILE_ZERO(tile) ((void)no_state, _tile_zero(tile))
#define FM_TILE_LOAD(tile, from, stride) _tile_loadd(tile, from, stride)
#define FM_TILE_DOT(sums, left, right) _tile_dpbssd(sums, left, right)
#define FM_TILE_STORE(tile, to, stride) _tile_stored(tile, to, stride)
#define FM_TILE_RELEASE() _tile_release()
