// Matrix times int8 activations of many tokens, the integer part in AMX tiles.  Included after
// kernel_matmul_i8.h, once with the instructions of tiles_amx.h and once with tiles_emulated.h.
//
// A line of a block already is a row of a B tile, so a group of 32 columns becomes eight signed
// lines and 16 tokens times 16 rows of it one instruction.  Its integer sums are exact, and the f32
// steps that follow are those of matmul_i8 in the same order: the bits are the same.
//
// A block is unpacked once, a piece of its columns at a time, for all tokens of the call.  Between
// pieces the sums wait in y.

// Tile registers: four groups of sums, and operands in turn.
#define FM_TILE_GROUPS 4

typedef struct FM_TILES(piece) {
  vi lines[8 * FM_TILE_PIECE];  // signed bytes, eight lines a group
  vf scale[FM_TILE_PIECE];
  vf bias[FM_TILE_PIECE];  // q4a
} FM_TILES(piece);

FM_INLINE void FM_TILES(unpack)(fm_scheme scheme, const uint8_t *block, size_t scales_bytes,
                                size_t first, size_t count, FM_TILES(piece) *piece) {
  for (size_t i = 0; i < count; i++) {
    const size_t group = first + i;
    const uint8_t *lines;
    if (scheme == FM_Q4A) {
      const uint8_t *at = block + group / 2 * FM_Q4A_GROUP_BYTES;
      piece->scale[i] = vf_from_bf16((const uint16_t *)at);
      piece->bias[i] = vf_from_bf16((const uint16_t *)at + 16);
      lines = at + FM_LINE_BYTES + group % 2 * FM_Q4_GROUP_BYTES;
    } else {
      piece->scale[i] = scheme == FM_MXFP4 ? vf_from_e8m0_half(block + 16 * group)
                                           : vf_from_f16((const uint16_t *)block + 16 * group);
      lines = block + scales_bytes + group * fm_group_bytes(scheme);
    }
    vi *to = piece->lines + 8 * i;
    if (scheme == FM_Q8) {
      for (int line = 0; line < 8; line++)
        to[line] = vi_flip_bytes(vi_load(lines + line * FM_LINE_BYTES));
      continue;
    }
    if (scheme == FM_Q3 || scheme == FM_Q2) {
#pragma clang loop unroll(full)
      for (int step = 0; step < 8; step++)
        to[step] = vi_minus(few_bits(scheme, lines, step), scheme == FM_Q3 ? 4 : 2);
      continue;
    }
    for (int line = 0; line < 4; line++) {
      vi packed = vi_load(lines + line * FM_LINE_BYTES);
      vi low = vi_low_nibbles(packed), high = vi_high_nibbles(packed);
      to[2 * line] = scheme == FM_Q4      ? vi_minus(low, 8)
                     : scheme == FM_MXFP4 ? vi_fp4_signed(low)
                                          : low;
      to[2 * line + 1] = scheme == FM_Q4      ? vi_minus(high, 8)
                         : scheme == FM_MXFP4 ? vi_fp4_signed(high)
                                              : high;
    }
  }
}

// Integer sums of up to four groups: sums[group][token][row].
FM_TILE_FUNCTION void FM_TILES(sum_groups)(FM_TILE_STATE, const vi *lines,
                                           const int8_t *values, size_t stride, size_t count,
                                           int32_t (*sums)[16][16]) {
#define FM_TILE_GROUP(group, left, right)                     \
  if (count > group) {                                        \
    FM_TILE_ZERO(group);                                      \
    FM_TILE_LOAD(left, values + 32 * group, stride);          \
    FM_TILE_LOAD(right, lines + 8 * group, FM_LINE_BYTES);    \
    FM_TILE_DOT(group, left, right);                          \
    FM_TILE_STORE(group, sums[group], FM_LINE_BYTES);         \
  }
  FM_TILE_GROUP(0, 4, 6)
  FM_TILE_GROUP(1, 5, 7)
  FM_TILE_GROUP(2, 4, 6)
  FM_TILE_GROUP(3, 5, 7)
#undef FM_TILE_GROUP
}

// All tokens of a tile; a whole tile keeps its accumulators in registers.
#define FM_EACH_TOKEN(whole, tokens, statement)                                    \
  do {                                                                              \
    if (whole) {                                                                    \
      _Pragma("clang loop unroll(full)") for (int t = 0; t < 16; t++) { statement } \
    } else {                                                                        \
      for (int t = 0; t < (tokens); t++) { statement }                              \
    }                                                                               \
  } while (0)

// acc[token] takes the sums of `count` groups, ascending, each by one step as in i8_group.
FM_INLINE void FM_TILES(scale)(fm_scheme scheme, const FM_TILES(piece) *piece, size_t first,
                               size_t count, const int32_t (*sums)[16][16], const float *scales,
                               const int32_t *activation_sums, size_t group_stride,
                               const bool whole, int tokens, vf *acc) {
  for (size_t i = 0; i < count; i++) {
    const vf scale = piece->scale[first + i];
    FM_EACH_TOKEN(whole, tokens, {
      const size_t at = (size_t)t * group_stride + first + i;
      acc[t] = vf_fma(vf_from_i32(sums[i][t]), vf_mul(scale, vf_set1(scales[at])), acc[t]);
      if (scheme == FM_Q4A)
        acc[t] = vf_fma(piece->bias[first + i],
                        vf_set1(scales[at] * (float)activation_sums[at]), acc[t]);
    });
  }
}

// A piece of a block's columns for `tokens` tokens from `token` on.  While one batch of groups is
// scaled, the tiles of the next are under way.
FM_TILE_FUNCTION void FM_TILES(run)(FM_TILE_STATE, fm_scheme scheme, const bool whole,
                                    int tokens, const i8_call *call,
                                    const FM_TILES(piece) *piece, size_t first, size_t count,
                                    size_t block, size_t token) {
  const size_t stride = call->a->stride, group_stride = stride / 32;
  const int8_t *values = call->a->values + token * stride + 32 * first;
  const float *scales = call->a->scales + token * group_stride + first;
  const int32_t *activation_sums = call->a->sums + token * group_stride + first;
  const size_t rows = fm_rows_in_block(call->w, block);
  float *y = call->y + token * call->ldy + block * FM_BLOCK_ROWS;
  _Alignas(64) int32_t sums[2][FM_TILE_GROUPS][16][16];
  vf acc[16];
  FM_EACH_TOKEN(whole, tokens, {
    acc[t] = first > 0 ? vf_load_n(y + (size_t)t * call->ldy, rows, 0) : vf_set1(0);
  });
  size_t done = 0, before = 0, batch = 0;
  while (done < count) {
    const size_t some = count - done < FM_TILE_GROUPS ? count - done : FM_TILE_GROUPS;
    FM_TILES(sum_groups)(FM_TILE_PASS, piece->lines + 8 * done, values + 32 * done, stride, some,
                         sums[batch % 2]);
    if (batch > 0)
      FM_TILES(scale)(scheme, piece, before, FM_TILE_GROUPS,
                      (const int32_t (*)[16][16])sums[(batch + 1) % 2], scales, activation_sums,
                      group_stride, whole, tokens, acc);
    before = done;
    done += some;
    batch++;
  }
  FM_TILES(scale)(scheme, piece, before, done - before,
                  (const int32_t (*)[16][16])sums[(batch + 1) % 2], scales, activation_sums,
                  group_stride, whole, tokens, acc);
  FM_EACH_TOKEN(whole, tokens, { vf_store_n(y + (size_t)t * call->ldy, acc[t], rows); });
}

// Tiles of 16 tokens; the last may have fewer rows.
#define FM_MATMUL_TILES(name, scheme)                                                            \
  static __attribute__((noinline)) void name(const i8_call *call, size_t block, size_t end,      \
                                             size_t m) {                                         \
    const size_t columns = fm_padded_columns(scheme, call->w->columns);                          \
    const size_t scales_bytes = fm_scales_bytes(scheme, columns), groups = columns / 32;         \
    const size_t full = m / 16 * 16;                                                             \
    FM_TILE_DECLARE;                                                                             \
    fm_tile_config all = fm_group_tiles(16), rest = fm_group_tiles(m - full);                    \
    FM_TILES(piece) piece;                                                                       \
    for (; block < end; block++) {                                                               \
      const uint8_t *at = call->w->data + block * call->block_bytes;                             \
      for (size_t first = 0; first < groups; first += FM_TILE_PIECE) {                           \
        const size_t left = groups - first, count = left < FM_TILE_PIECE ? left : FM_TILE_PIECE; \
        FM_TILES(unpack)(scheme, at, scales_bytes, first, count, &piece);                        \
        FM_TILE_CONFIGURE(&all);                                                                 \
        for (size_t t = 0; t < full; t += 16)                                                    \
          FM_TILES(run)(FM_TILE_PASS, scheme, true, 16, call, &piece, first, count, block, t);   \
        if (full == m) continue;                                                                 \
        FM_TILE_CONFIGURE(&rest);                                                                \
        FM_TILES(run)(FM_TILE_PASS, scheme, false, (int)(m - full), call, &piece, first, count,  \
                      block, full);                                                              \
      }                                                                                          \
    }                                                                                            \
    FM_TILE_RELEASE();                                                                           \
  }

FM_MATMUL_TILES(FM_TILES(q8), FM_Q8)
FM_MATMUL_TILES(FM_TILES(q4), FM_Q4)
FM_MATMUL_TILES(FM_TILES(q4a), FM_Q4A)
FM_MATMUL_TILES(FM_TILES(mxfp4), FM_MXFP4)
FM_MATMUL_TILES(FM_TILES(q3), FM_Q3)
FM_MATMUL_TILES(FM_TILES(q2), FM_Q2)

static void FM_TILES(matmul_i8)(const fm_matrix *w, size_t block_begin, size_t block_end,
                                const fm_activations *a, size_t m, float *y, size_t ldy) {
  if (m < FM_TILE_LEAST_TOKENS) return matmul_i8(w, block_begin, block_end, a, m, y, ldy);
  i8_call call = {w, fm_block_bytes(w->scheme, w->columns), a, y, ldy};
  switch (w->scheme) {
    case FM_Q8: FM_TILES(q8)(&call, block_begin, block_end, m); break;
    case FM_Q4: FM_TILES(q4)(&call, block_begin, block_end, m); break;
    case FM_Q4A: FM_TILES(q4a)(&call, block_begin, block_end, m); break;
    case FM_MXFP4: FM_TILES(mxfp4)(&call, block_begin, block_end, m); break;
    case FM_Q3: FM_TILES(q3)(&call, block_begin, block_end, m); break;
    case FM_Q2: FM_TILES(q2)(&call, block_begin, block_end, m); break;
    default: break;
  }
}

#undef FM_MATMUL_TILES
#undef FM_EACH_TOKEN
#undef FM_TILE_GROUPS
