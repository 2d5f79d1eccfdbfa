// Attention over a compressed cache: one latent vector and one rotated key a position, shared by
// all heads.  Included by each level after kernel_attention.h.
//
// Positions lie one after another, so the latent part serves as key and as value.  Scores are sums
// over lanes, four positions added up together; everything else is as in kernel_attention.h:
// blocks of 64 positions aligned to position 0, ascending, and no position that a line does not
// see is an operand of what it gets.
#include "CKernels.h"

typedef struct latent_block {
  const uint8_t *data;
  size_t bytes;   // of sixteen positions
  size_t groups;  // of dimensions that share a scale
  size_t width, latent;  // padded
  size_t count;
  score_row scales[FM_MAX_LATENT_WIDTH / FM_CACHE_GROUP];  // 8 bits only
} latent_block;

FM_INLINE vf latent_load(fm_cache_type type, const latent_block *block, size_t position, size_t at) {
  const uint8_t *data = block->data + position / FM_CACHE_POSITIONS * block->bytes;
  vf scale = vf_set1(type == FM_CACHE_Q8 ? block->scales[at / FM_CACHE_GROUP][position] : 1);
  return cache_load(type, data, block->groups, position % FM_CACHE_POSITIONS * block->width + at,
                    scale);
}

// Scores of `lines` lines for four positions.
FM_INLINE void latent_scores(fm_cache_type type, const int lines, const latent_block *block,
                             const float *queries, float scale, size_t position,
                             score_row *scores) {
  vf acc[FM_LATENT_LINES][4];
#pragma clang loop unroll(full)
  for (int l = 0; l < lines; l++)
#pragma clang loop unroll(full)
    for (int p = 0; p < 4; p++) acc[l][p] = vf_set1(0);
  for (size_t at = 0; at < block->width; at += 16) {
    vf key[4];
#pragma clang loop unroll(full)
    for (int p = 0; p < 4; p++) key[p] = latent_load(type, block, position + (size_t)p, at);
#pragma clang loop unroll(full)
    for (int l = 0; l < lines; l++) {
      vf q = vf_load(queries + (size_t)l * block->width + at);
#pragma clang loop unroll(full)
      for (int p = 0; p < 4; p++) acc[l][p] = vf_fma(q, key[p], acc[l][p]);
    }
  }
#pragma clang loop unroll(full)
  for (int l = 0; l < lines; l++) {
    float sums[4];
    vf_sum4(acc[l][0], acc[l][1], acc[l][2], acc[l][3], sums);
#pragma clang loop unroll(full)
    for (int p = 0; p < 4; p++) scores[l][position + (size_t)p] = sums[p] * scale;
  }
}

// out = out * factor + weights * latents, for `lines` lines and 16 * runs dimensions.
FM_INLINE void latent_values(fm_cache_type type, const int lines, const int runs,
                             const latent_block *block, float *out, size_t at,
                             const score_row *weights, const float *factors) {
  vf acc[FM_LATENT_LINES][4];
#pragma clang loop unroll(full)
  for (int l = 0; l < lines; l++)
#pragma clang loop unroll(full)
    for (int r = 0; r < runs; r++)
      acc[l][r] = vf_mul(vf_load(out + (size_t)l * block->latent + at + 16 * (size_t)r),
                         vf_set1(factors[l]));
  for (size_t p = 0; p < block->count; p++) {
    vf value[4];
#pragma clang loop unroll(full)
    for (int r = 0; r < runs; r++) value[r] = latent_load(type, block, p, at + 16 * (size_t)r);
#pragma clang loop unroll(full)
    for (int l = 0; l < lines; l++) {
      vf weight = vf_set1(weights[l][p]);
#pragma clang loop unroll(full)
      for (int r = 0; r < runs; r++) acc[l][r] = vf_fma(weight, value[r], acc[l][r]);
    }
  }
#pragma clang loop unroll(full)
  for (int l = 0; l < lines; l++)
#pragma clang loop unroll(full)
    for (int r = 0; r < runs; r++)
      vf_store(out + (size_t)l * block->latent + at + 16 * (size_t)r, acc[l][r]);
}

// Scores become weights; the sums of before are scaled to the new maximum.
FM_INLINE void latent_weigh(const int lines, size_t count, score_row *scores, float *maximum,
                            float *totals, float *factors) {
#pragma clang loop unroll(full)
  for (int l = 0; l < lines; l++) {
    vf run[FM_CACHE_BLOCKS];
    vf greatest = vf_set1(maximum[l]);
#pragma clang loop unroll(full)
    for (int v = 0; v < FM_CACHE_BLOCKS; v++) {
      size_t first = 16 * (size_t)v;
      size_t seen = count > first ? count - first : 0;
      run[v] = load_run(&scores[l][first], seen < 16 ? seen : 16, -__builtin_inff());
      greatest = vf_max(run[v], greatest);
    }
    float after = vf_greatest(greatest);
    float lanes[16];
    vf_store(lanes, vf_exp(vf_set1(maximum[l] - after)));
    factors[l] = lanes[0];
    maximum[l] = after;
#pragma clang loop unroll(full)
    for (int v = 0; v < FM_CACHE_BLOCKS; v++) {
      run[v] = vf_exp(vf_sub(run[v], vf_set1(after)));
      vf_store(&scores[l][16 * v], run[v]);
    }
    vf sum = vf_add(vf_add(run[0], run[1]), vf_add(run[2], run[3]));
    vf_store(totals + 16 * l, vf_fma(vf_load(totals + 16 * l), vf_set1(factors[l]), sum));
  }
}

FM_INLINE void latent_tile(fm_cache_type type, const int lines, const latent_block *block,
                           const fm_latent_rows *rows, size_t line, float *maximum,
                           float *totals) {
  score_row scores[FM_LATENT_LINES];
  float factors[FM_LATENT_LINES];
  const float *queries = rows->queries + line * block->width;
  float *out = rows->out + line * block->latent;
  for (size_t p = 0; p < block->count; p += 4)
    latent_scores(type, lines, block, queries, rows->scale, p, scores);
  latent_weigh(lines, block->count, scores, maximum + line, totals + 16 * line, factors);
  size_t at = 0;
  for (; at + 64 <= block->latent; at += 64)
    latent_values(type, lines, 4, block, out, at, scores, factors);
  for (; at < block->latent; at += 16)
    latent_values(type, lines, 1, block, out, at, scores, factors);
}

FM_INLINE void latent_attend_block(fm_cache_type type, const fm_latent_cache *cache,
                                   const fm_latent_rows *rows, size_t position, size_t count,
                                   size_t line, size_t end, float *maximum, float *totals) {
  latent_block block;
  block.latent = fm_latent_padded(cache->latent);
  block.width = fm_latent_width(cache->latent, cache->rope);
  block.groups = block.width / FM_CACHE_GROUP;
  block.bytes = fm_cache_block_bytes(type, block.width);
  block.count = count;
  block.data = (const uint8_t *)cache->data + position / FM_CACHE_POSITIONS * block.bytes;
  if (type == FM_CACHE_Q8)
    for (size_t p = 0; p < count; p += 16)
      for (size_t g = 0; g < block.groups; g++)
        vf_store(&block.scales[g][p],
                 cache_key_scale(type, block.data + p / FM_CACHE_POSITIONS * block.bytes, g));
  for (; FM_LATENT_LINES >= 4 && line + 4 <= end; line += 4)
    latent_tile(type, 4, &block, rows, line, maximum, totals);
  for (; line < end; line++) latent_tile(type, 1, &block, rows, line, maximum, totals);
}

#define FM_ATTEND_LATENT(name, type)                                                              \
  static __attribute__((noinline)) void name(const fm_latent_cache *cache,                        \
                                             const fm_latent_rows *rows, size_t position,         \
                                             size_t count, size_t line, size_t end,               \
                                             float *maximum, float *totals) {                     \
    latent_attend_block(type, cache, rows, position, count, line, end, maximum, totals);          \
  }
FM_ATTEND_LATENT(latent_f16, FM_CACHE_F16)
FM_ATTEND_LATENT(latent_f32, FM_CACHE_F32)
FM_ATTEND_LATENT(latent_q8, FM_CACHE_Q8)

static void latent_attention(const fm_latent_cache *cache, const fm_latent_rows *rows,
                             void *workspace) {
  __typeof__(&latent_f16) attend = cache->type == FM_CACHE_F16   ? latent_f16
                                   : cache->type == FM_CACHE_F32 ? latent_f32
                                                                 : latent_q8;
  size_t lines = rows->rows * rows->heads, latent = fm_latent_padded(cache->latent);
  float *totals = (float *)workspace, *maximum = totals + 16 * lines;
  memset(totals, 0, 16 * lines * sizeof(float));
  memset(rows->out, 0, lines * latent * sizeof(float));
  for (size_t i = 0; i < lines; i++) maximum[i] = -__builtin_inff();
  size_t first = rows->position + 1;
  size_t shared = first / FM_POSITIONS * FM_POSITIONS;
  for (size_t p = 0; p < shared; p += FM_POSITIONS)
    attend(cache, rows, p, FM_POSITIONS, 0, lines, maximum, totals);
  for (size_t r = 0; r < rows->rows; r++)
    for (size_t p = shared; p < first + r; p += FM_POSITIONS) {
      size_t left = first + r - p;
      attend(cache, rows, p, left < FM_POSITIONS ? left : FM_POSITIONS, r * rows->heads,
             (r + 1) * rows->heads, maximum, totals);
    }
  for (size_t line = 0; line < lines; line++) {
    vf inverse = vf_set1(1.0f / vf_sum(vf_load(totals + 16 * line)));
    float *out = rows->out + line * latent;
    for (size_t i = 0; i < latent; i += 16) vf_store(out + i, vf_mul(vf_load(out + i), inverse));
  }
}

static void latent_store(const fm_latent_cache *cache, size_t position, const float *row) {
  size_t width = fm_latent_width(cache->latent, cache->rope);
  uint8_t *block = (uint8_t *)cache->data
                   + position / FM_CACHE_POSITIONS * fm_cache_block_bytes(cache->type, width);
  cache_store_half(false, cache->type, width, row, block, position % FM_CACHE_POSITIONS);
}
