// Attention of one query position over a key/value cache.  Included by each level after
// kernel_rows.h.
//
// Online softmax over fixed blocks of 64 positions, ascending.  Per block and head: scores by
// one chain over head_dim and a fixed addition of lanes, a new maximum, weights, then one chain
// per output element over the block's positions.  Tiles of heads only share loads.

#define FM_POSITIONS 64
#define FM_HEADS 8

typedef struct attention_state {
  float scores[FM_HEADS][FM_POSITIONS];  // then weights
  float maximum[FM_HEADS];
  float total[FM_HEADS];
} attention_state;

FM_INLINE vf load_cache(fm_cache_type type, const void *base, size_t at, size_t count) {
  if (type == FM_CACHE_F32) return load_run((const float *)base + at, count, 0);
  const uint16_t *p = (const uint16_t *)base + at;
  return count == 16 ? vf_from_f16(p) : vf_from_f16_n(p, count);
}

// Scores of `heads` heads for four positions.  Rows past the last repeat it; the caller masks.
FM_INLINE void score_tile(fm_cache_type type, const int heads, const float *q, size_t ldq,
                          const fm_attention_span *span, size_t position, size_t last,
                          float (*scores)[FM_POSITIONS], size_t column) {
  vf acc[FM_ATTENTION_HEADS][4];
  size_t row[4];
#pragma clang loop unroll(full)
  for (int p = 0; p < 4; p++) {
    size_t at = position + (size_t)p;
    row[p] = (at < last ? at : last) * span->head_dim;
#pragma clang loop unroll(full)
    for (int h = 0; h < heads; h++) acc[h][p] = vf_set1(0);
  }
  FM_RUNS(span->head_dim) {
    vf keys[4];
#pragma clang loop unroll(full)
    for (int p = 0; p < 4; p++) keys[p] = load_cache(type, span->keys, row[p] + i, count);
#pragma clang loop unroll(full)
    for (int h = 0; h < heads; h++) {
      vf query = load_run(q + (size_t)h * ldq + i, count, 0);
#pragma clang loop unroll(full)
      for (int p = 0; p < 4; p++) acc[h][p] = vf_fma(query, keys[p], acc[h][p]);
    }
  }
#pragma clang loop unroll(full)
  for (int h = 0; h < heads; h++)
    vf_sum4(acc[h][0], acc[h][1], acc[h][2], acc[h][3], &scores[h][column]);
}

// Turns one head's block of scores into weights; returns the factor for what came before.
static float weigh_block(attention_state *state, size_t head, float scale, size_t count) {
  float *scores = state->scores[head];
  for (size_t p = 0; p < count; p++) scores[p] = scores[p] * scale;
  for (size_t p = count; p < FM_POSITIONS; p++) scores[p] = -__builtin_inff();
  vf greatest = vf_load(scores);
  for (size_t p = 16; p < FM_POSITIONS; p += 16) greatest = vf_max(greatest, vf_load(scores + p));
  float before = state->maximum[head];
  float block = vf_greatest(greatest);
  float maximum = block > before ? block : before;
  float factors[16];
  vf_store(factors, vf_exp(vf_set1(before - maximum)));
  vf sum = vf_set1(0);
  for (size_t p = 0; p < FM_POSITIONS; p += 16) {
    vf e = vf_exp(vf_sub(vf_load(scores + p), vf_set1(maximum)));
    vf_store(scores + p, e);
    sum = vf_add(sum, e);
  }
  state->maximum[head] = maximum;
  state->total[head] = state->total[head] * factors[0] + vf_sum(sum);
  return factors[0];
}

// out = out * factor + weights * values, for `heads` heads and `runs` runs of sixteen elements.
FM_INLINE void value_tile(fm_cache_type type, const int heads, const int runs, size_t width,
                          const float (*weights)[FM_POSITIONS], const float *factors,
                          const fm_attention_span *span, size_t begin, size_t count, size_t at,
                          float *out, size_t ldo) {
  vf acc[FM_ATTENTION_HEADS][FM_ATTENTION_RUNS];
#pragma clang loop unroll(full)
  for (int h = 0; h < heads; h++)
#pragma clang loop unroll(full)
    for (int r = 0; r < runs; r++)
      acc[h][r] = vf_mul(load_run(out + (size_t)h * ldo + at + 16 * (size_t)r, width, 0),
                         vf_set1(factors[h]));
  for (size_t p = 0; p < count; p++) {
    size_t row = (begin + p) * span->head_dim + at;
    vf values[FM_ATTENTION_RUNS];
#pragma clang loop unroll(full)
    for (int r = 0; r < runs; r++)
      values[r] = load_cache(type, span->values, row + 16 * (size_t)r, width);
#pragma clang loop unroll(full)
    for (int h = 0; h < heads; h++) {
      vf weight = vf_set1(weights[h][p]);
#pragma clang loop unroll(full)
      for (int r = 0; r < runs; r++) acc[h][r] = vf_fma(weight, values[r], acc[h][r]);
    }
  }
#pragma clang loop unroll(full)
  for (int h = 0; h < heads; h++)
#pragma clang loop unroll(full)
    for (int r = 0; r < runs; r++)
      store_run(out + (size_t)h * ldo + at + 16 * (size_t)r, acc[h][r], width);
}

FM_INLINE void value_block(fm_cache_type type, const int heads,
                           const float (*weights)[FM_POSITIONS], const float *factors,
                           const fm_attention_span *span, size_t begin, size_t count, float *out,
                           size_t ldo) {
  size_t at = 0;
  for (; at + 16 * FM_ATTENTION_RUNS <= span->head_dim; at += 16 * FM_ATTENTION_RUNS)
    value_tile(type, heads, FM_ATTENTION_RUNS, 16, weights, factors, span, begin, count, at, out,
               ldo);
  for (; at + 16 <= span->head_dim; at += 16)
    value_tile(type, heads, 1, 16, weights, factors, span, begin, count, at, out, ldo);
  if (at < span->head_dim)
    value_tile(type, heads, 1, span->head_dim - at, weights, factors, span, begin, count, at, out,
               ldo);
}

// Up to FM_HEADS heads; `type` is a constant in each caller.
FM_INLINE void attention_heads(fm_cache_type type, const float *q, size_t heads, size_t ldq,
                               const fm_attention_span *span, float *out, size_t ldo) {
  attention_state state;
  for (size_t h = 0; h < heads; h++) {
    state.maximum[h] = -__builtin_inff();
    state.total[h] = 0;
    memset(out + h * ldo, 0, span->head_dim * sizeof(float));
  }
  for (size_t begin = 0; begin < span->positions; begin += FM_POSITIONS) {
    size_t left = span->positions - begin;
    size_t count = left < FM_POSITIONS ? left : FM_POSITIONS;
    size_t last = begin + count - 1;
    for (size_t p = 0; p < count; p += 4) {
      size_t h = 0;
      for (; h + FM_ATTENTION_HEADS <= heads; h += FM_ATTENTION_HEADS)
        score_tile(type, FM_ATTENTION_HEADS, q + h * ldq, ldq, span, begin + p, last,
                   &state.scores[h], p);
      for (; h < heads; h++)
        score_tile(type, 1, q + h * ldq, ldq, span, begin + p, last, &state.scores[h], p);
    }
    float factors[FM_HEADS];
    for (size_t h = 0; h < heads; h++) factors[h] = weigh_block(&state, h, span->scale, count);
    const float (*weights)[FM_POSITIONS] = (const float (*)[FM_POSITIONS])state.scores;
    size_t h = 0;
    for (; h + FM_ATTENTION_HEADS <= heads; h += FM_ATTENTION_HEADS)
      value_block(type, FM_ATTENTION_HEADS, weights + h, factors + h, span, begin, count,
                  out + h * ldo, ldo);
    for (; h < heads; h++)
      value_block(type, 1, weights + h, factors + h, span, begin, count, out + h * ldo, ldo);
  }
  for (size_t h = 0; h < heads && span->positions > 0; h++) {
    vf inverse = vf_set1(1.0f / state.total[h]);
    FM_RUNS(span->head_dim) {
      float *o = out + h * ldo + i;
      store_run(o, vf_mul(load_run(o, count, 0), inverse), count);
    }
  }
}

static __attribute__((noinline)) void attention_f16(const float *q, size_t heads, size_t ldq,
                                                    const fm_attention_span *span, float *out,
                                                    size_t ldo) {
  attention_heads(FM_CACHE_F16, q, heads, ldq, span, out, ldo);
}

static __attribute__((noinline)) void attention_f32(const float *q, size_t heads, size_t ldq,
                                                    const fm_attention_span *span, float *out,
                                                    size_t ldo) {
  attention_heads(FM_CACHE_F32, q, heads, ldq, span, out, ldo);
}

static void attention(const float *q, size_t heads, size_t ldq, const fm_attention_span *span,
                      float *out, size_t ldo) {
  for (size_t h = 0; h < heads; h += FM_HEADS) {
    size_t some = heads - h < FM_HEADS ? heads - h : FM_HEADS;
    if (span->type == FM_CACHE_F16) attention_f16(q + h * ldq, some, ldq, span, out + h * ldo, ldo);
    else attention_f32(q + h * ldq, some, ldq, span, out + h * ldo, ldo);
  }
}
