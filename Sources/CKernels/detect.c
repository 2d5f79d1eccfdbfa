// Which levels this processor and operating system support.
#include <stdatomic.h>

#include "levels.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

// Register state the operating system saves (XCR0): 1 SSE, 2 AVX, 5–7 AVX-512, 17–18 tiles.
static uint64_t saved_state(void) {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t)high << 32 | low;
}

// Tiles are 8 KiB of state a thread, so Linux lets a process use them only after it has asked.
static bool may_use_tiles(void) {
#if defined(__linux__)
  const long request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XTILEDATA
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
  return false;
#endif
}

static fm_level detect(void) {
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return FM_PORTABLE;
  const uint32_t need1 = 1u << 27 | 1u << 28 | 1u << 12 | 1u << 29;  // OSXSAVE, AVX, FMA, F16C
  if ((c & need1) != need1) return FM_PORTABLE;
  uint64_t state = saved_state();
  if ((state & 0x6) != 0x6) return FM_PORTABLE;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return FM_PORTABLE;
  if (!(b & 1u << 5)) return FM_PORTABLE;
  const uint32_t need7 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;  // F, DQ, BW, VL
  bool wide = (b & need7) == need7 && (c & 1u << 11) && (state & 0xe6) == 0xe6;
  if (!wide) return FM_AVX2;
  const uint32_t need_tiles = 1u << 24 | 1u << 25;  // AMX-TILE, AMX-INT8
  bool tiles = (d & need_tiles) == need_tiles && (state & 0x60000) == 0x60000;
  return tiles && may_use_tiles() ? FM_AMX : FM_AVX512VNNI;
}
#else
static fm_level detect(void) { return FM_PORTABLE; }
#endif

fm_level fm_best_level(void) {
  // cpuid traps in virtual machines, so it is asked once; a race only asks it twice.
  static _Atomic int known = -1;
  int level = atomic_load_explicit(&known, memory_order_relaxed);
  if (level < 0) {
    level = (int)detect();
    atomic_store_explicit(&known, level, memory_order_relaxed);
  }
  return (fm_level)level;
}

const fm_level_functions *fm_functions_at(fm_level level) {
  if ((int)level < 0 || (int)level > (int)fm_best_level()) return NULL;
  switch (level) {
    case FM_PORTABLE: return &fm_portable_functions;
#if defined(__x86_64__)
    case FM_AVX2: return &fm_avx2_functions;
    case FM_AVX512VNNI: return &fm_avx512_functions;
    case FM_AMX: return &fm_amx_functions;
#endif
    default: return NULL;
  }
}

const fm_kernels *fm_kernels_at(fm_level level) {
  const fm_level_functions *functions = fm_functions_at(level);
  return functions ? &functions->kernels : NULL;
}

bool fm_emulate_tiles_at(fm_level level, const fm_matrix *w, size_t block_begin, size_t block_end,
                         const fm_activations *a, size_t m, float *y, size_t ldy) {
  const fm_level_functions *functions = fm_functions_at(level);
  if (!functions) return false;
  functions->emulated_tiles(w, block_begin, block_end, a, m, y, ldy);
  return true;
}
