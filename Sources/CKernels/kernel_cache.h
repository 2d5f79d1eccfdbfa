// How keys and values lie in a cache: reading sixteen numbers, and storing one position.
// CKernels.h gives the layout.  Included by each level after kernel_rows.h.

// Scales of sixteen positions for group `g` of dimensions.
FM_INLINE vf cache_key_scale(fm_cache_type type, const uint8_t *block, size_t g) {
  if (type != FM_CACHE_Q8) return vf_set1(1);
  return vf_from_f16((const uint16_t *)block + g * FM_CACHE_POSITIONS);
}
FM_INLINE vf cache_value_scale(fm_cache_type type, const float *scales, size_t position) {
  return vf_set1(type == FM_CACHE_Q8 ? scales[position] : 1);
}
// Sixteen numbers from element `at` of a block.
FM_INLINE vf cache_load(fm_cache_type type, const uint8_t *block, size_t groups, size_t at,
                        vf scale) {
  if (type == FM_CACHE_F32) return vf_load((const float *)block + at);
  if (type == FM_CACHE_F16) return vf_from_f16((const uint16_t *)block + at);
  const uint8_t *codes = block + groups * FM_CACHE_POSITIONS * sizeof(uint16_t);
  return vf_mul(vf_from_i8((const int8_t *)codes + at), scale);
}

// Eight bits of up to 32 numbers: absmax / 127 rounded to a half, then codes to nearest.
// A NaN or an overflow makes the scale NaN or infinite, never a plausible number.
FM_INLINE uint16_t cache_codes(const float *x, size_t count, int8_t *codes) {
  size_t first = count < 16 ? count : 16;
  vf low = load_run(x, first, 0), high = load_run(x + first, count - first, 0);
  float greatest = vf_greatest(vf_max(vf_abs(low), vf_abs(high)));
  vf zero = vf_set1(0);
  float broken = vf_sum(vf_mul(vf_add(vf_mul(low, zero), vf_mul(high, zero)), zero));
  uint16_t half = fm_to_f16(greatest / 127.0f + broken);
  float scale = fm_from_f16(half);
  vf inverse = vf_set1(scale > 0 ? 1.0f / scale : 0);
  vf least = vf_set1(-127), most = vf_set1(127);
  vf_store_i8(codes, vf_min(vf_max(vf_mul(low, inverse), least), most));
  vf_store_i8(codes + 16, vf_min(vf_max(vf_mul(high, inverse), least), most));
  return half;
}

// Sixteen numbers of one position into a block of keys or of values.
FM_INLINE void cache_store_run(bool keys, size_t bytes, const void *run, uint8_t *block,
                               size_t lane, size_t at, size_t padded) {
  const uint8_t *from = (const uint8_t *)run;
  if (!keys) {
    memcpy(block + (lane * padded + at) * bytes, from, 16 * bytes);
    return;
  }
  for (size_t i = 0; i < 16; i++)
    memcpy(block + ((at + i) * FM_CACHE_POSITIONS + lane) * bytes, from + i * bytes, bytes);
}

FM_INLINE void cache_store_half(bool keys, fm_cache_type type, size_t dims, const float *x,
                                uint8_t *block, size_t lane) {
  size_t padded = (dims + 15) / 16 * 16;
  if (type == FM_CACHE_Q8) {
    uint16_t *scales = (uint16_t *)block;
    uint8_t *codes = block + fm_cache_groups(dims) * FM_CACHE_POSITIONS * sizeof(uint16_t);
    for (size_t at = 0; at < padded; at += FM_CACHE_GROUP) {
      int8_t group[FM_CACHE_GROUP];
      size_t count = dims - at < FM_CACHE_GROUP ? dims - at : FM_CACHE_GROUP;
      scales[at / FM_CACHE_GROUP * FM_CACHE_POSITIONS + lane] = cache_codes(x + at, count, group);
      cache_store_run(keys, 1, group, codes, lane, at, padded);
      if (at + 16 < padded) cache_store_run(keys, 1, group + 16, codes, lane, at + 16, padded);
    }
    return;
  }
  FM_RUNS(dims) {
    vf run = load_run(x + i, count, 0);
    uint16_t halves[16];
    float floats[16];
    if (type == FM_CACHE_F16) {
      vf_to_f16(halves, run);
      cache_store_run(keys, sizeof(uint16_t), halves, block, lane, i, padded);
    } else {
      vf_store(floats, run);
      cache_store_run(keys, sizeof(float), floats, block, lane, i, padded);
    }
  }
}

static void cache_store(const fm_attention_cache *cache, size_t position, const float *key,
                        const float *value) {
  if (cache->positions) position %= cache->positions;
  size_t start = position / FM_CACHE_POSITIONS * fm_cache_block_bytes(cache->type, cache->head_dim);
  size_t lane = position % FM_CACHE_POSITIONS;
  uint8_t *keys = (uint8_t *)cache->keys + start, *values = (uint8_t *)cache->values + start;
  cache_store_half(true, cache->type, cache->head_dim, key, keys, lane);
  cache_store_half(false, cache->type, cache->head_dim, value, values, lane);
}
