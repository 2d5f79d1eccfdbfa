// Matrix times f32 activations.  Included by each level after its vectors.
//
// Every (token, row) is one chain acc = fma(weight, x[k], acc) over ascending k, whatever tile
// it falls into: tiles decide only which chains run side by side.

typedef struct f32_call {
  const fm_matrix *w;
  size_t block_bytes;
  const float *x;
  size_t ldx;
  float *y;
  size_t ldy;
} f32_call;

// Steps the chains of a tile by one column.
#define FM_STEP(weights, column)                                               \
  _Pragma("clang loop unroll(full)") for (int t = 0; t < tokens; t++) {        \
    vf a = vf_set1(xs[t][column]);                                             \
    _Pragma("clang loop unroll(full)") for (int b = 0; b < blocks; b++)        \
      acc[b][t] = vf_fma(weights[b], a, acc[b][t]);                            \
  }

// One token waits for memory: each of its blocks is a stream, asked for as far ahead as its share
// of what a core keeps in flight.
#define FM_AHEAD(tokens, at) \
  if ((tokens) == 1) __builtin_prefetch((const uint8_t *)(at) + FM_PREFETCH_BYTES / FM_MAX_BLOCKS)

FM_INLINE void f32_tile_plain(fm_scheme scheme, const int blocks, const int tokens,
                              const uint8_t *base, size_t bytes, size_t columns,
                              const float *const *xs, vf (*acc)[FM_TILE_TOKENS]) {
  for (size_t k = 0; k < columns; k++) {
    vf w[FM_MAX_BLOCKS];
#pragma clang loop unroll(full)
    for (int b = 0; b < blocks; b++) {
      const uint8_t *at = base + (size_t)b * bytes + (scheme == FM_F32 ? 64 : 32) * k;
      FM_AHEAD(tokens, at);
      w[b] = scheme == FM_F32 ? vf_load((const float *)at) : vf_from_f16((const uint16_t *)at);
    }
    FM_STEP(w, k)
  }
}

FM_INLINE void f32_tile_bf16(const int blocks, const int tokens, const uint8_t *base, size_t bytes,
                             size_t columns, const float *const *xs, vf (*acc)[FM_TILE_TOKENS]) {
  for (size_t k = 0; k < columns; k += 2) {
    vi pairs[FM_MAX_BLOCKS];
    vf w[FM_MAX_BLOCKS];
#pragma clang loop unroll(full)
    for (int b = 0; b < blocks; b++) {
      const uint8_t *at = base + (size_t)b * bytes + 32 * k;
      FM_AHEAD(tokens, at);
      pairs[b] = vi_load(at);
      w[b] = vf_even_bf16(pairs[b]);
    }
    FM_STEP(w, k)
    if (k + 1 == columns) break;
#pragma clang loop unroll(full)
    for (int b = 0; b < blocks; b++) w[b] = vf_odd_bf16(pairs[b]);
    FM_STEP(w, k + 1)
  }
}

// q3, q2: the codes of a step of four columns, one a byte.
FM_INLINE vi few_bits(fm_scheme scheme, const uint8_t *group, const int step) {
  vi low = vi_bits(vi_load(group + step / 4 * FM_LINE_BYTES), step % 4 * 2, 0x03);
  if (scheme == FM_Q2) return low;
  vi high = vi_load(group + FM_Q2_GROUP_BYTES);
  return vi_or(low, step < 2 ? vi_bits_up(high, 2 - step, 0x04) : vi_bits(high, step - 2, 0x04));
}

// All quantized schemes: one group of columns; xs point at the group's first column, padded to its end.
FM_INLINE void f32_group(fm_scheme scheme, const int blocks, const int tokens, const uint8_t *base,
                         size_t bytes, size_t scales_bytes, size_t group,
                         const float *const *xs, vf (*acc)[FM_TILE_TOKENS]) {
  const int per_line = scheme == FM_Q8 ? 4 : 8;
  const int lines = scheme == FM_Q8 || scheme == FM_Q4A ? 8 : 4;
  const size_t group_bytes = scheme == FM_Q4A ? FM_Q4A_GROUP_BYTES : fm_group_bytes(scheme);
  const uint8_t *data[FM_MAX_BLOCKS];
  vf scale[FM_MAX_BLOCKS], bias[FM_MAX_BLOCKS];
#pragma clang loop unroll(full)
  for (int b = 0; b < blocks; b++) {
    const uint8_t *block = base + (size_t)b * bytes;
    if (scheme == FM_Q4A) {
      data[b] = block + group * group_bytes;
      scale[b] = vf_from_bf16((const uint16_t *)data[b]);
      bias[b] = vf_from_bf16((const uint16_t *)data[b] + 16);
      data[b] += FM_LINE_BYTES;
    } else {
      data[b] = block + scales_bytes + group * group_bytes;
      scale[b] = scheme == FM_MXFP4 ? vf_from_e8m0_half(block + 16 * group)
                                    : vf_from_f16((const uint16_t *)block + 16 * group);
      bias[b] = vf_set1(0);
    }
  }
  if (scheme == FM_Q3 || scheme == FM_Q2) {
#pragma clang loop unroll(full)
    for (int step = 0; step < 8; step++) {
      vi codes[FM_MAX_BLOCKS];
      vf w[FM_MAX_BLOCKS];
#pragma clang loop unroll(full)
      for (int b = 0; b < blocks; b++) {
        if (step % 4 == 0) FM_AHEAD(tokens, data[b] + step / 4 * FM_LINE_BYTES);
        codes[b] = few_bits(scheme, data[b], step);
      }
#pragma clang loop unroll(full)
      for (int c = 0; c < 4; c++) {
#pragma clang loop unroll(full)
        for (int b = 0; b < blocks; b++)
          w[b] = vf_mul(vf_sub(vf_nibble(codes[b], 8 * c), vf_set1(scheme == FM_Q3 ? 4 : 2)),
                        scale[b]);
        FM_STEP(w, 4 * step + c)
      }
    }
    return;
  }
  for (int line = 0; line < lines; line++) {
    vi packed[FM_MAX_BLOCKS];
    vf w[FM_MAX_BLOCKS];
#pragma clang loop unroll(full)
    for (int b = 0; b < blocks; b++) {
      FM_AHEAD(tokens, data[b] + line * FM_LINE_BYTES);
      packed[b] = vi_load(data[b] + line * FM_LINE_BYTES);
      if (scheme == FM_Q8) packed[b] = vi_flip_bytes(packed[b]);
    }
#pragma clang loop unroll(full)
    for (int j = 0; j < per_line; j++) {
#pragma clang loop unroll(full)
      for (int b = 0; b < blocks; b++) {
        int shift = 8 * (j & 3) + 4 * (j >> 2);
        // Every product here is exact in f32; q4a rounds once, in the addition of the bias.
        if (scheme == FM_Q8) w[b] = vf_mul(vf_signed_byte(packed[b], j), scale[b]);
        if (scheme == FM_Q4) w[b] = vf_mul(vf_nibble_minus_8(packed[b], shift), scale[b]);
        if (scheme == FM_MXFP4) w[b] = vf_mul(vf_fp4(packed[b], shift), scale[b]);
        if (scheme == FM_Q4A) w[b] = vf_fma(vf_nibble(packed[b], shift), scale[b], bias[b]);
      }
      FM_STEP(w, line * per_line + j)
    }
  }
}

FM_INLINE void f32_tile_groups(fm_scheme scheme, const int blocks, const int tokens,
                               const uint8_t *base, size_t bytes, size_t columns,
                               const float *const *x, vf (*acc)[FM_TILE_TOKENS]) {
  const size_t width = scheme == FM_Q4A ? 64 : 32;
  const size_t scales_bytes = fm_scales_bytes(scheme, fm_padded_columns(scheme, columns));
  const float *xs[FM_TILE_TOKENS];
  for (int t = 0; t < tokens; t++) xs[t] = x[t];
  size_t group = 0;
  for (; (group + 1) * width <= columns; group++) {
    f32_group(scheme, blocks, tokens, base, bytes, scales_bytes, group, xs, acc);
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) xs[t] += width;
  }
  size_t left = columns - group * width;
  if (left == 0) return;
  float tail[FM_TILE_TOKENS][64] = {{0}};
  for (int t = 0; t < tokens; t++) {
    memcpy(tail[t], xs[t], left * sizeof(float));
    xs[t] = tail[t];
  }
  f32_group(scheme, blocks, tokens, base, bytes, scales_bytes, group, xs, acc);
}

FM_INLINE void f32_tile(fm_scheme scheme, const int blocks, const int tokens, const f32_call *call,
                        size_t block, size_t token) {
  const uint8_t *base = call->w->data + block * call->block_bytes;
  size_t columns = call->w->columns, bytes = call->block_bytes;
  const float *xs[FM_TILE_TOKENS];
  vf acc[FM_MAX_BLOCKS][FM_TILE_TOKENS];
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; t++) {
    xs[t] = call->x + (token + (size_t)t) * call->ldx;
#pragma clang loop unroll(full)
    for (int b = 0; b < blocks; b++) acc[b][t] = vf_set1(0);
  }
  if (scheme == FM_F32 || scheme == FM_F16)
    f32_tile_plain(scheme, blocks, tokens, base, bytes, columns, xs, acc);
  else if (scheme == FM_BF16)
    f32_tile_bf16(blocks, tokens, base, bytes, columns, xs, acc);
  else
    f32_tile_groups(scheme, blocks, tokens, base, bytes, columns, xs, acc);
#pragma clang loop unroll(full)
  for (int b = 0; b < blocks; b++) {
    size_t rows = fm_rows_in_block(call->w, block + (size_t)b);
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) {
      float *y = call->y + (token + (size_t)t) * call->ldy + (block + (size_t)b) * FM_BLOCK_ROWS;
      if (rows == FM_BLOCK_ROWS) vf_store(y, acc[b][t]);
      else vf_store_n(y, acc[b][t], rows);
    }
  }
}

// Covers m tokens with tiles of falling size.
#define FM_COVER_TOKENS(tile, scheme, blocks, call, block, m)                                  \
  do {                                                                                         \
    size_t t = 0;                                                                              \
    for (; t + FM_TILE_TOKENS <= (m); t += FM_TILE_TOKENS)                                     \
      tile(scheme, blocks, FM_TILE_TOKENS, call, block, t);                                    \
    if (FM_TILE_TOKENS > 4 && t + 4 <= (m)) tile(scheme, blocks, 4, call, block, t), t += 4;   \
    if (t + 2 <= (m)) tile(scheme, blocks, 2, call, block, t), t += 2;                         \
    if (t < (m)) tile(scheme, blocks, 1, call, block, t);                                      \
  } while (0)

// One function per scheme: all tiles of a range of blocks.  A single token keeps many blocks in
// flight to hide the latency of its chains; several tokens reuse each unpacked weight.
#define FM_MATMUL(name, tile, scheme, call_type)                                               \
  static __attribute__((noinline)) void name(const call_type *call, size_t block, size_t end,  \
                                             size_t m) {                                       \
    if (m == 1)                                                                                \
      for (; block + FM_MAX_BLOCKS <= end; block += FM_MAX_BLOCKS)                             \
        tile(scheme, FM_MAX_BLOCKS, 1, call, block, 0);                                        \
    if (FM_TILE_BLOCKS > 1)                                                                    \
      for (; block + FM_TILE_BLOCKS <= end; block += FM_TILE_BLOCKS)                           \
        FM_COVER_TOKENS(tile, scheme, FM_TILE_BLOCKS, call, block, m);                         \
    for (; block < end; block++) FM_COVER_TOKENS(tile, scheme, 1, call, block, m);             \
  }

FM_MATMUL(matmul_f32_f32, f32_tile, FM_F32, f32_call)
FM_MATMUL(matmul_f32_f16, f32_tile, FM_F16, f32_call)
FM_MATMUL(matmul_f32_bf16, f32_tile, FM_BF16, f32_call)
FM_MATMUL(matmul_f32_q8, f32_tile, FM_Q8, f32_call)
FM_MATMUL(matmul_f32_q4, f32_tile, FM_Q4, f32_call)
FM_MATMUL(matmul_f32_q4a, f32_tile, FM_Q4A, f32_call)
FM_MATMUL(matmul_f32_mxfp4, f32_tile, FM_MXFP4, f32_call)
FM_MATMUL(matmul_f32_q3, f32_tile, FM_Q3, f32_call)
FM_MATMUL(matmul_f32_q2, f32_tile, FM_Q2, f32_call)

static void matmul_f32(const fm_matrix *w, size_t block_begin, size_t block_end, const float *x,
                       size_t ldx, size_t m, float *y, size_t ldy) {
  f32_call call = {w, fm_block_bytes(w->scheme, w->columns), x, ldx, y, ldy};
  switch (w->scheme) {
    case FM_F32: matmul_f32_f32(&call, block_begin, block_end, m); break;
    case FM_F16: matmul_f32_f16(&call, block_begin, block_end, m); break;
    case FM_BF16: matmul_f32_bf16(&call, block_begin, block_end, m); break;
    case FM_Q8: matmul_f32_q8(&call, block_begin, block_end, m); break;
    case FM_Q4: matmul_f32_q4(&call, block_begin, block_end, m); break;
    case FM_Q4A: matmul_f32_q4a(&call, block_begin, block_end, m); break;
    case FM_MXFP4: matmul_f32_mxfp4(&call, block_begin, block_end, m); break;
    case FM_Q3: matmul_f32_q3(&call, block_begin, block_end, m); break;
    case FM_Q2: matmul_f32_q2(&call, block_begin, block_end, m); break;
  }
}
