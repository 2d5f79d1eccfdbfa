// Attention of a run of queries over one key/value head's cache.  Included by each level after
// kernel_cache.h.
//
// Online softmax over blocks of 64 positions, aligned to position 0, ascending.  A *line* is one
// head of one row.  For each line and block: sixteen scores at a time, each one chain over the
// head's dimensions; a new maximum; weights; then one chain per output element over the block's
// positions.  Tiles of lines share loads and never a sum, and a position a line does not see is
// never an operand, so a line's bits depend on its query and what it sees alone.
#include "CKernels.h"

#define FM_POSITIONS 64
#define FM_CACHE_BLOCKS (FM_POSITIONS / FM_CACHE_POSITIONS)
#define FM_LINES FM_ATTENTION_LINES
#define FM_SCALE_GROUPS (FM_MAX_HEAD_DIM / FM_CACHE_GROUP)

// Vectors of positions or of dimensions beside `lines` lines: as many sums as registers hold.
#define FM_BESIDE(lines) \
  (FM_ATTENTION_SUMS / (lines) > 4 ? 4 : FM_ATTENTION_SUMS / (lines) < 1 ? 1 : FM_ATTENTION_SUMS / (lines))

typedef float score_row[FM_POSITIONS];

// The lines in work, cut from the caller's workspace.
typedef struct attention_lines {
  size_t lines, dims, padded, stride;
  float *queries;  // [dims][stride], scaled
  float *out;      // [lines][padded]
  float *totals;   // [lines][16], sixteen partial sums
  float *maximum;  // [lines], sixteen more may be read
} attention_lines;

// One block of positions: those from `first` to `count` are seen.
typedef struct attention_block {
  const uint8_t *keys, *values;
  size_t bytes;   // of sixteen positions
  size_t groups;  // of dimensions that share a scale
  size_t first, count;
  score_row scales[FM_SCALE_GROUPS];  // of values, 8-bit caches only
} attention_block;

// Scores of `lines` lines for 16 * vectors positions.
FM_INLINE void score_tile(fm_cache_type type, const int lines, const int vectors,
                          const attention_lines *work, size_t line, const attention_block *block,
                          int vector, score_row *scores) {
  vf acc[8][4];
#pragma clang loop unroll(full)
  for (int l = 0; l < lines; l++)
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) acc[l][v] = vf_set1(0);
  const uint8_t *keys = block->keys + (size_t)vector * block->bytes;
  const float *query = work->queries + line;
  for (size_t g = 0, d = 0; d < work->dims; g++) {
    vf scale[4];
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++)
      scale[v] = cache_key_scale(type, keys + (size_t)v * block->bytes, g);
    size_t end = d + FM_CACHE_GROUP < work->dims ? d + FM_CACHE_GROUP : work->dims;
    for (; d < end; d++, query += work->stride) {
      vf key[4];
#pragma clang loop unroll(full)
      for (int v = 0; v < vectors; v++)
        key[v] = cache_load(type, keys + (size_t)v * block->bytes, block->groups,
                            d * FM_CACHE_POSITIONS, scale[v]);
#pragma clang loop unroll(full)
      for (int l = 0; l < lines; l++) {
        vf q = vf_set1(query[l]);
#pragma clang loop unroll(full)
        for (int v = 0; v < vectors; v++) acc[l][v] = vf_fma(q, key[v], acc[l][v]);
      }
    }
  }
#pragma clang loop unroll(full)
  for (int l = 0; l < lines; l++)
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) vf_store(&scores[l][16 * (vector + v)], acc[l][v]);
}

// Turns scores into weights, and leaves in `factors` what earlier sums are multiplied with.
FM_INLINE void weigh_tile(const int lines, attention_lines *work, size_t line, size_t first,
                          size_t count, score_row *scores, float *factors) {
  float greatest[16] = {0}, after[16];
#pragma clang loop unroll(full)
  for (int l = 0; l < lines; l++) {
    for (size_t p = 0; p < first; p++) scores[l][p] = -__builtin_inff();
    for (size_t p = count / 16 * 16; p < FM_POSITIONS; p += 16) {
      size_t seen = count > p ? count - p : 0;
      vf_store(&scores[l][p], vf_load_n(&scores[l][p], seen, -__builtin_inff()));
    }
    vf a = vf_max(vf_load(&scores[l][0]), vf_load(&scores[l][16]));
    vf b = vf_max(vf_load(&scores[l][32]), vf_load(&scores[l][48]));
    greatest[l] = vf_greatest(vf_max(a, b));
  }
  vf before = vf_load(work->maximum + line);
  vf maximum = vf_max(vf_load(greatest), before);
  vf_store(after, maximum);
  vf_store_n(work->maximum + line, maximum, (size_t)lines);
  vf_store(factors, vf_exp(vf_sub(before, maximum)));
#pragma clang loop unroll(full)
  for (int l = 0; l < lines; l++) {
    vf shift = vf_set1(after[l]);
    vf sums[FM_CACHE_BLOCKS];
#pragma clang loop unroll(full)
    for (int v = 0; v < FM_CACHE_BLOCKS; v++) {
      sums[v] = vf_exp(vf_sub(vf_load(&scores[l][16 * v]), shift));
      vf_store(&scores[l][16 * v], sums[v]);
    }
    vf sum = vf_add(vf_add(sums[0], sums[1]), vf_add(sums[2], sums[3]));
    float *total = work->totals + 16 * (line + (size_t)l);
    vf_store(total, vf_fma(vf_load(total), vf_set1(factors[l]), sum));
  }
}

// out = out * factor + weights * values, for `lines` lines and 16 * runs dimensions.
FM_INLINE void value_tile(fm_cache_type type, const int lines, const int runs,
                          const attention_lines *work, size_t line, const attention_block *block,
                          size_t at, const score_row *weights, const float *factors) {
  vf acc[8][4];
  float *out = work->out + line * work->padded + at;
#pragma clang loop unroll(full)
  for (int l = 0; l < lines; l++)
#pragma clang loop unroll(full)
    for (int r = 0; r < runs; r++)
      acc[l][r] = vf_mul(vf_load(out + (size_t)l * work->padded + 16 * (size_t)r),
                         vf_set1(factors[l]));
  size_t p = block->first;
  const uint8_t *values = block->values + p / FM_CACHE_POSITIONS * block->bytes;
  for (; p < block->count; values += block->bytes) {
    size_t lane = p % FM_CACHE_POSITIONS, end = p - lane + FM_CACHE_POSITIONS;
    if (end > block->count) end = block->count;
    for (size_t element = at + lane * work->padded; p < end; p++, element += work->padded) {
      vf value[4];
#pragma clang loop unroll(full)
      for (int r = 0; r < runs; r++) {
        vf scale = cache_value_scale(type, block->scales[(at + 16 * (size_t)r) / FM_CACHE_GROUP], p);
        value[r] = cache_load(type, values, block->groups, element + 16 * (size_t)r, scale);
      }
#pragma clang loop unroll(full)
      for (int l = 0; l < lines; l++) {
        vf weight = vf_set1(weights[l][p]);
#pragma clang loop unroll(full)
        for (int r = 0; r < runs; r++) acc[l][r] = vf_fma(weight, value[r], acc[l][r]);
      }
    }
  }
#pragma clang loop unroll(full)
  for (int l = 0; l < lines; l++)
#pragma clang loop unroll(full)
    for (int r = 0; r < runs; r++)
      vf_store(out + (size_t)l * work->padded + 16 * (size_t)r, acc[l][r]);
}

FM_INLINE void attend_tile(fm_cache_type type, const int lines, attention_lines *work, size_t line,
                           const attention_block *block) {
  score_row scores[8];
  float factors[16];
  int vector = (int)(block->first / 16), vectors = (int)((block->count + 15) / 16);
  for (; vector + FM_BESIDE(lines) <= vectors; vector += FM_BESIDE(lines))
    score_tile(type, lines, FM_BESIDE(lines), work, line, block, vector, scores);
  for (; vector < vectors; vector++) score_tile(type, lines, 1, work, line, block, vector, scores);
  weigh_tile(lines, work, line, block->first, block->count, scores, factors);
  size_t at = 0;
  for (; at + 16 * FM_BESIDE(lines) <= work->padded; at += 16 * FM_BESIDE(lines))
    value_tile(type, lines, FM_BESIDE(lines), work, line, block, at, scores, factors);
  for (; at < work->padded; at += 16)
    value_tile(type, lines, 1, work, line, block, at, scores, factors);
}

// Lines [line, end) over positions [position + first, position + count), position a multiple of 64.
FM_INLINE void attend_block(fm_cache_type type, const fm_attention_cache *cache, size_t position,
                            size_t first, size_t count, attention_lines *work, size_t line,
                            size_t end) {
  attention_block block;
  if (cache->positions) position %= cache->positions;
  block.bytes = fm_cache_block_bytes(type, work->dims);
  block.groups = fm_cache_groups(work->dims);
  block.first = first;
  block.count = count;
  block.keys = (const uint8_t *)cache->keys + position / FM_CACHE_POSITIONS * block.bytes;
  block.values = (const uint8_t *)cache->values + position / FM_CACHE_POSITIONS * block.bytes;
  if (type == FM_CACHE_Q8)
    for (size_t p = first / 16 * 16; p < count; p += 16)
      for (size_t g = 0; g < block.groups; g++)
        vf_store(&block.scales[g][p],
                 cache_key_scale(type, block.values + p / FM_CACHE_POSITIONS * block.bytes, g));
  for (; FM_LINES >= 8 && line + 8 <= end; line += 8) attend_tile(type, 8, work, line, &block);
  for (; FM_LINES >= 4 && line + 4 <= end; line += 4) attend_tile(type, 4, work, line, &block);
  for (; FM_LINES >= 2 && line + 2 <= end; line += 2) attend_tile(type, 2, work, line, &block);
  for (; line < end; line++) attend_tile(type, 1, work, line, &block);
}

#define FM_ATTEND(name, type)                                                               \
  static __attribute__((noinline)) void name(const fm_attention_cache *cache,               \
                                             size_t position, size_t first, size_t count,   \
                                             attention_lines *work, size_t line, size_t end) { \
    attend_block(type, cache, position, first, count, work, line, end);                     \
  }
FM_ATTEND(attend_f16, FM_CACHE_F16)
FM_ATTEND(attend_f32, FM_CACHE_F32)
FM_ATTEND(attend_q8, FM_CACHE_Q8)

typedef void (*attend_function)(const fm_attention_cache *, size_t, size_t, size_t,
                                attention_lines *, size_t, size_t);

static attention_lines start_lines(const fm_attention_cache *cache, const fm_attention_rows *rows,
                                   size_t row, size_t row_count, size_t head, size_t head_count,
                                   float *workspace) {
  attention_lines work;
  work.lines = row_count * head_count;
  work.dims = cache->head_dim;
  work.padded = (cache->head_dim + 15) / 16 * 16;
  // An odd number of cache lines, so that a tile's queries do not compete for the same sets.
  work.stride = (work.lines + 15) / 16 * 16 | 16;
  work.out = workspace;
  work.totals = work.out + work.lines * work.padded;
  work.maximum = work.totals + work.lines * 16;
  work.queries = work.maximum + work.lines + 16;
  for (size_t line = 0; line < work.lines; line++) {
    const float *from = rows->queries + (row + line / head_count) * rows->query_stride
                        + (head + line % head_count) * work.dims;
    for (size_t d = 0; d < work.dims; d++)
      work.queries[d * work.stride + line] = from[d] * rows->scale;
  }
  memset(work.out, 0, work.lines * (work.padded + 16) * sizeof(float));
  for (size_t i = 0; i < work.lines + 16; i++) work.maximum[i] = -__builtin_inff();
  // A sink is a score seen before all others, with a weight and no value.
  for (size_t line = 0; rows->sinks && line < work.lines; line++) {
    work.maximum[line] = rows->sinks[head + line % head_count];
    work.totals[16 * line] = 1;
  }
  return work;
}

static void finish_lines(const attention_lines *work, const fm_attention_rows *rows, size_t row,
                         size_t head, size_t head_count) {
  for (size_t line = 0; line < work->lines; line++) {
    vf inverse = vf_set1(1.0f / vf_sum(vf_load(work->totals + 16 * line)));
    float *to = rows->out + (row + line / head_count) * rows->out_stride
                + (head + line % head_count) * work->dims;
    FM_RUNS(work->dims)
      store_run(to + i, vf_mul(vf_load(work->out + line * work->padded + i), inverse), count);
  }
}

// Positions [from, to) for one row's lines, block by block.
static void attend_row(attend_function attend, const fm_attention_cache *cache, size_t from,
                       size_t to, attention_lines *work, size_t line, size_t end) {
  for (size_t p = from / FM_POSITIONS * FM_POSITIONS; p < to; p += FM_POSITIONS)
    attend(cache, p, from > p ? from - p : 0, to - p < FM_POSITIONS ? to - p : FM_POSITIONS, work,
           line, end);
}

// Blocks that all rows see whole are shared by all lines; what comes before and after is each row's
// own, from the first position it sees and up to the last.
static void attend_lines(attend_function attend, const fm_attention_cache *cache,
                         const fm_attention_rows *rows, size_t row, size_t row_count, size_t head,
                         size_t head_count, float *workspace) {
  attention_lines work =
      start_lines(cache, rows, row, row_count, head, head_count, workspace);
  size_t end = rows->position + row + 1, last = end + row_count - 1;
  size_t window = rows->window ? rows->window : last;
  size_t shared = fm_round_up(last > window ? last - window : 0, FM_POSITIONS);
  size_t shared_end = end / FM_POSITIONS * FM_POSITIONS;
  if (shared_end < shared) shared_end = shared;
  for (size_t r = 0; shared && r < row_count; r++) {
    size_t from = end + r > window ? end + r - window : 0;
    attend_row(attend, cache, from, end + r < shared ? end + r : shared, &work, r * head_count,
               (r + 1) * head_count);
  }
  for (size_t p = shared; p < shared_end; p += FM_POSITIONS)
    attend(cache, p, 0, FM_POSITIONS, &work, 0, work.lines);
  for (size_t r = 0; r < row_count; r++)
    attend_row(attend, cache, shared_end, end + r, &work, r * head_count, (r + 1) * head_count);
  finish_lines(&work, rows, row, head, head_count);
}

static void attention(const fm_attention_cache *cache, const fm_attention_rows *rows,
                      void *workspace) {
  attend_function attend = cache->type == FM_CACHE_F16   ? attend_f16
                           : cache->type == FM_CACHE_F32 ? attend_f32
                                                         : attend_q8;
  size_t heads = rows->heads < FM_WORK_LINES ? rows->heads : FM_WORK_LINES;
  size_t together = FM_WORK_LINES / heads;
  for (size_t row = 0; row < rows->rows; row += together) {
    size_t row_count = rows->rows - row < together ? rows->rows - row : together;
    for (size_t head = 0; head < rows->heads; head += heads) {
      size_t left = rows->heads - head;
      attend_lines(attend, cache, rows, row, row_count, head, left < heads ? left : heads,
                   (float *)workspace);
    }
  }
}
