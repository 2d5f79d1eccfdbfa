// Matrix times int8 activations.  Included by each level after kernel_matmul.h.
//
// Per group of 32 columns: an exact integer dot product, then one f32 step per (token, row),
// acc = fma(dot, scale_w * scale_a, acc), groups ascending.  q4a adds bias * (scale_a * sum).

typedef struct i8_call {
  const fm_matrix *w;
  size_t block_bytes;
  const fm_activations *a;
  float *y;
  size_t ldy;
} i8_call;

// A group of 32 columns for all chains of a tile.  `data` are the blocks' lines of this group,
// `values` the tokens' activations of this group.
FM_INLINE void i8_group(fm_scheme scheme, const int blocks, const int tokens,
                        const uint8_t *const *data, const int8_t *values, size_t stride,
                        const float *scales, const int32_t *sums, size_t group_stride,
                        const vf *weight_scale, const vf *weight_bias,
                        vf (*acc)[FM_I8_FEW]) {
  vdot dot[FM_MAX_BLOCKS][FM_I8_FEW];
  int32_t init[FM_I8_FEW];
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; t++) {
    int32_t sum = sums[(size_t)t * group_stride];
    init[t] = scheme == FM_Q8 ? 0 : -fm_code_zero(scheme) * sum;
#pragma clang loop unroll(full)
    for (int b = 0; b < blocks; b++)
      dot[b][t] = scheme == FM_Q8      ? vdot_bytes_start(sum)
                  : scheme == FM_MXFP4 ? vdot_fp4_start(sum)
                                       : vdot_start(init[t]);
  }
  const int lines = scheme == FM_Q8 ? 8 : 4;
#pragma clang loop unroll(full)
  for (int line = 0; line < lines; line++) {
    vi first[FM_MAX_BLOCKS], second[FM_MAX_BLOCKS];
#pragma clang loop unroll(full)
    for (int b = 0; b < blocks; b++) {
      if (scheme == FM_Q3 || scheme == FM_Q2) {
        first[b] = few_bits(scheme, data[b], 2 * line);
        second[b] = few_bits(scheme, data[b], 2 * line + 1);
        continue;
      }
      vi packed = vi_load(data[b] + line * FM_LINE_BYTES);
      first[b] = scheme == FM_Q8 ? vi_bytes(packed) : vi_low_nibbles(packed);
      second[b] = scheme == FM_Q8 ? packed : vi_high_nibbles(packed);
      if (scheme == FM_MXFP4) {
        first[b] = vi_fp4(first[b]);
        second[b] = vi_fp4(second[b]);
      }
    }
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) {
      const int8_t *at = values + (size_t)t * stride + line * (scheme == FM_Q8 ? 4 : 8);
      int32_t four[2] = {0, 0};
      memcpy(four, at, scheme == FM_Q8 ? 4 : 8);
#pragma clang loop unroll(full)
      for (int b = 0; b < blocks; b++) {
        if (scheme == FM_Q8) {
          dot[b][t] = vdot_bytes(dot[b][t], first[b], four[0]);
        } else if (scheme == FM_MXFP4) {
          dot[b][t] = vdot_fp4(dot[b][t], first[b], four[0]);
          dot[b][t] = vdot_fp4(dot[b][t], second[b], four[1]);
        } else {
          dot[b][t] = vdot_nibbles(dot[b][t], first[b], four[0]);
          dot[b][t] = vdot_nibbles(dot[b][t], second[b], four[1]);
        }
      }
    }
  }
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; t++) {
    float scale = scales[(size_t)t * group_stride];
    vf offset = vf_set1(scale * (float)sums[(size_t)t * group_stride]);
#pragma clang loop unroll(full)
    for (int b = 0; b < blocks; b++) {
      vf whole = scheme == FM_Q8      ? vdot_bytes_end(dot[b][t])
                 : scheme == FM_MXFP4 ? vdot_fp4_end(dot[b][t])
                                      : vdot_nibbles_end(dot[b][t], init[t]);
      acc[b][t] = vf_fma(whole, vf_mul(weight_scale[b], vf_set1(scale)), acc[b][t]);
      if (scheme == FM_Q4A) acc[b][t] = vf_fma(weight_bias[b], offset, acc[b][t]);
    }
  }
}

// Asks for `count` bytes from `at` on, whole lines; addresses nobody owns do no harm.
FM_INLINE void prefetch_bytes(const uint8_t *at, const size_t count) {
#pragma clang loop unroll(full)
  for (size_t offset = 0; offset < count; offset += FM_LINE_BYTES) __builtin_prefetch(at + offset);
}

// All columns of a tile.  `streams` says that the weights come from memory for the first time: the
// tile then asks for what follows them at the pace it uses them, scales and lines alike.
FM_INLINE void i8_tile(fm_scheme scheme, const int blocks, const int tokens, const bool streams,
                       const i8_call *call, size_t block, size_t token) {
  const size_t columns = fm_padded_columns(scheme, call->w->columns);
  const size_t stride = call->a->stride, group_stride = stride / 32;
  const uint8_t *base = call->w->data + block * call->block_bytes;
  const int8_t *values = call->a->values + token * stride;
  const float *scales = call->a->scales + token * group_stride;
  const int32_t *sums = call->a->sums + token * group_stride;
  vf acc[FM_MAX_BLOCKS][FM_I8_FEW];
  const uint8_t *data[FM_MAX_BLOCKS];
#pragma clang loop unroll(full)
  for (int b = 0; b < blocks; b++) {
    data[b] = base + (size_t)b * call->block_bytes;
    if (scheme != FM_Q4A) data[b] += fm_scales_bytes(scheme, columns);
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) acc[b][t] = vf_set1(0);
  }
  const size_t groups = columns / (scheme == FM_Q4A ? 64 : 32);
  // One block is one stream.  More are followed by as many, which are asked for in their order.
  const uint8_t *ahead =
      base + (blocks == 1 ? FM_PREFETCH_BYTES : (size_t)blocks * call->block_bytes);
  const size_t step = (size_t)blocks * (scheme == FM_Q4A ? FM_Q4A_GROUP_BYTES
                                        : fm_group_bytes(scheme) + fm_group_scale_bytes(scheme));
  for (size_t group = 0; group < groups; group++) {
    if (streams) {
      prefetch_bytes(ahead, step);
      ahead += step;
    }
    vf scale[FM_MAX_BLOCKS], bias[FM_MAX_BLOCKS];
#pragma clang loop unroll(full)
    for (int b = 0; b < blocks; b++) {
      if (scheme == FM_Q4A) {
        scale[b] = vf_from_bf16((const uint16_t *)data[b]);
        bias[b] = vf_from_bf16((const uint16_t *)data[b] + 16);
        data[b] += FM_LINE_BYTES;
      } else {
        const uint8_t *at = base + (size_t)b * call->block_bytes;
        scale[b] = scheme == FM_MXFP4 ? vf_from_e8m0_half(at + 16 * group)
                                      : vf_from_f16((const uint16_t *)at + 16 * group);
        bias[b] = scale[b];
      }
    }
#pragma clang loop unroll(full)
    for (int half = 0; half < (scheme == FM_Q4A ? 2 : 1); half++) {
      i8_group(scheme, blocks, tokens, data, values, stride, scales, sums, group_stride, scale,
               bias, acc);
#pragma clang loop unroll(full)
      for (int b = 0; b < blocks; b++)
        data[b] += fm_group_bytes(scheme);
      values += 32;
      scales++;
      sums++;
    }
  }
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

// m tokens of a tile's blocks, in runs of falling length.  The first run streams, the others find
// the weights in the cache.
#define FM_COVER_TOKENS_I8(scheme, blocks, most, call, block, m)                                 \
  do {                                                                                           \
    size_t t = 0;                                                                                \
    FM_RUN_I8(scheme, blocks, most, call, block, m)                                              \
    for (; t + (most) <= (m); t += (most)) i8_tile(scheme, blocks, most, false, call, block, t); \
    FM_RUN_I8(scheme, blocks, 4, call, block, m)                                                 \
    FM_RUN_I8(scheme, blocks, 3, call, block, m)                                                 \
    FM_RUN_I8(scheme, blocks, 2, call, block, m)                                                 \
    FM_RUN_I8(scheme, blocks, 1, call, block, m)                                                 \
  } while (0)

#define FM_RUN_I8(scheme, blocks, run, call, block, m)                                           \
  if ((run) <= FM_I8_FEW && t + (run) <= (m)) {                                                  \
    if (t == 0) i8_tile(scheme, blocks, run, true, call, block, t);                              \
    else i8_tile(scheme, blocks, run, false, call, block, t);                                    \
    t += (run);                                                                                  \
  }

// Few tokens wait for memory, so their blocks go by one after the other, one long stream.  Many
// tokens wait for arithmetic: a tile of several blocks broadcasts each activation once for all.
#define FM_MATMUL_I8(name, scheme)                                                               \
  static __attribute__((noinline)) void name(const i8_call *call, size_t block, size_t end,      \
                                             size_t m) {                                         \
    if (FM_I8_BLOCKS > 1 && m > FM_I8_FEW_LIMIT)                                                 \
      for (; block + FM_I8_BLOCKS <= end; block += FM_I8_BLOCKS)                                 \
        FM_COVER_TOKENS_I8(scheme, FM_I8_BLOCKS, FM_I8_TOKENS, call, block, m);                  \
    for (; block < end; block++) FM_COVER_TOKENS_I8(scheme, 1, FM_I8_FEW, call, block, m);       \
  }

FM_MATMUL_I8(matmul_i8_q8, FM_Q8)
FM_MATMUL_I8(matmul_i8_q4, FM_Q4)
FM_MATMUL_I8(matmul_i8_q4a, FM_Q4A)
FM_MATMUL_I8(matmul_i8_mxfp4, FM_MXFP4)
FM_MATMUL_I8(matmul_i8_q3, FM_Q3)
FM_MATMUL_I8(matmul_i8_q2, FM_Q2)

static void matmul_i8(const fm_matrix *w, size_t block_begin, size_t block_end,
                      const fm_activations *a, size_t m, float *y, size_t ldy) {
  i8_call call = {w, fm_block_bytes(w->scheme, w->columns), a, y, ldy};
  switch (w->scheme) {
    case FM_Q8: matmul_i8_q8(&call, block_begin, block_end, m); break;
    case FM_Q4: matmul_i8_q4(&call, block_begin, block_end, m); break;
    case FM_Q4A: matmul_i8_q4a(&call, block_begin, block_end, m); break;
    case FM_MXFP4: matmul_i8_mxfp4(&call, block_begin, block_end, m); break;
    case FM_Q3: matmul_i8_q3(&call, block_begin, block_end, m); break;
    case FM_Q2: matmul_i8_q2(&call, block_begin, block_end, m); break;
    default: break;
  }
}
