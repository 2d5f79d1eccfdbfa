// CKernels: the arithmetic of FlashMoE, chosen at run time for the processor it runs on.
//
// One table of functions (`fm_kernels`) exists per instruction-set level.  Every function
// is pure: no state, no allocation, no threads.  Callers split work by *row blocks*.
//
// Determinism, the contract everything above relies on: with one table, the value written
// for (token t, row r) depends only on that token's activations and that row's weights.
// It never depends on how many tokens or blocks a call covers, so splitting work over
// threads, chunking a prompt, or batching experts cannot change a bit of the result.
//
// ## Matrix layout ("blocked")
//
// A matrix of `rows` x `columns` is stored as ceil(rows/16) row blocks, one after another.
// Rows past the end and columns past the end (up to the padded count P) are zero weights.
// A block holds, for its 16 rows r = 0..15:
//
//   scheme  P unit  content of a block, in order
//   f32     1       P lines of 16 floats: w[r][k]
//   f16     2       P half-lines of 16 halfs: w[r][k]
//   bf16    2       P/2 lines of 16 pairs: {w[r][2j], w[r][2j+1]}
//   q8      32      scales f16 [P/32][16], padded to 64 bytes; then per group of 32 columns 8
//                   lines; line i, byte 4r+c = q[r][32g + 4i + c] + 128       value = scale * q
//   q4      32      scales f16 [P/32][16], padded to 64 bytes; then per group of 32 columns 4
//                   lines; line i, byte 4r+c: low nibble = q[r][32g + 8i + c] + 8,
//                   high nibble = q[r][32g + 8i + 4 + c] + 8                  value = scale * q
//   q4a     64      per group of 64 columns {bf16 scale[16], bf16 bias[16]}, then per group 8
//                   lines, nibbles as in q4 but unsigned             value = scale * n + bias
//   mxfp4   32      scales e8m0 [P/32][16], one byte each, padded to 64 bytes; then lines as in q4
//                   with e2m1 codes: 0, 0.5, 1, 1.5, 2, 3, 4, 6, and bit 3 for the sign
//                                                     value = 2^(scale - 127) * e2m1(code)
//   q3      32      scales as in q4; then per group 2 lines of two bits and 1 line of the third:
//                   step s = 0..7 of 4 columns: line s / 4, byte 4r+c, bits 2 (s % 4) and up hold
//                   the low bits of q[r][32g + 4s + c] + 4, bit s of line 2 its high bit
//                                                                       value = scale * q
//   q2      32      the same without line 2, q + 2                      value = scale * q
//
// A line is 64 bytes: one AVX-512 register, two AVX2 registers, one row of an AMX B tile.
// Blocks are multiples of 64 bytes and must start 64-byte aligned.
#ifndef FLASHMOE_CKERNELS_H
#define FLASHMOE_CKERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FM_BLOCK_ROWS 16
#define FM_ACTIVATION_GROUP 32
// Activation rows are padded with zeros to a multiple of this many columns.
#define FM_ACTIVATION_PADDING 64

typedef enum fm_scheme {
  FM_F32 = 0, FM_F16 = 1, FM_BF16 = 2, FM_Q8 = 3, FM_Q4 = 4, FM_Q4A = 5,
  FM_MXFP4 = 6, FM_Q3 = 7, FM_Q2 = 8
} fm_scheme;

// Each level needs what the one before it needs, and more.
typedef enum fm_level {
  FM_PORTABLE = 0, FM_AVX2 = 1, FM_AVX512VNNI = 2, FM_AMX = 3
} fm_level;

typedef enum fm_cache_type { FM_CACHE_F16 = 0, FM_CACHE_F32 = 1, FM_CACHE_Q8 = 2 } fm_cache_type;

typedef struct fm_matrix {
  const uint8_t *data;  // first block, 64-byte aligned
  uint32_t rows;
  uint32_t columns;
  fm_scheme scheme;
} fm_matrix;

// Quantized activations of m tokens: symmetric int8, one f32 scale per 32 columns,
// scale = absmax/127 (0 for an all-zero group), rounding to nearest even.
typedef struct fm_activations {
  int8_t *values;   // [m][stride], stride = columns rounded up to FM_ACTIVATION_PADDING
  float *scales;    // [m][stride/32]
  int32_t *sums;    // [m][stride/32], sum of the group's int8 values
  size_t stride;
} fm_activations;

// One key/value head's cache: blocks of 16 positions, one after another, keys and values apart.
// With D = head_dim rounded up to 16 and p = 0..15 the position within the block:
//
//   f16, f32  keys [D][16]: k[d][p]; values [16][D]: v[p][d]
//   q8        f16 scales [ceil(head_dim/32)][16 positions], then int8 codes as above; a scale is
//             that of 32 neighbouring dimensions of one position       value = scale * code
//
// A load of sixteen keys of one dimension, or of sixteen dimensions of one value, is contiguous.
#define FM_CACHE_POSITIONS 16
#define FM_CACHE_GROUP 32
#define FM_MAX_HEAD_DIM 512

typedef struct fm_attention_cache {
  void *keys;
  void *values;
  fm_cache_type type;
  size_t head_dim;  // at most FM_MAX_HEAD_DIM
  // Positions of a ring, a multiple of 64: position p lies where p mod positions does.  0: no ring.
  size_t positions;
} fm_attention_cache;

// Rows of queries at consecutive positions: row r sees positions up to position + r, the last
// `window` of them where there is a window.
typedef struct fm_attention_rows {
  const float *queries;  // [rows][query_stride], the heads of a row one after another
  float *out;            // [rows][out_stride], likewise
  size_t query_stride, out_stride;
  size_t rows;
  size_t heads;     // query heads that share the cache's head
  size_t position;  // of the first row
  float scale;
  size_t window;       // 0: everything before
  const float *sinks;  // [heads] scores that take part in the softmax and carry no value, or NULL
} fm_attention_rows;

// A compressed cache: for each position a latent vector and a rotated key that all heads share.
// Both are padded with zeros to 32 numbers; a block of 16 positions lies as the values of a head of
// `fm_latent_width` dimensions do (above): v[p][d], the latent first.
#define FM_MAX_LATENT_WIDTH 2048

typedef struct fm_latent_cache {
  void *data;
  fm_cache_type type;
  size_t latent, rope;  // dimensions, unpadded
} fm_latent_cache;

// Lines of absorbed queries, a row's heads one after another; row r sees positions
// 0 ... position + r.
typedef struct fm_latent_rows {
  const float *queries;  // [rows][heads][width], zero where the cache is padded
  float *out;            // [rows][heads][padded latent]
  size_t rows, heads;
  size_t position;  // of the first row
  float scale;
} fm_latent_rows;

// Rows of one value head at consecutive positions, for the gated delta rule.
typedef struct fm_delta_rows {
  const float *queries, *keys, *values;  // [rows][stride]; key_dim, key_dim, value_dim numbers
  const float *decays, *rates;           // [rows][gate_stride]
  float *out;                            // [rows][out_stride]
  size_t stride, gate_stride, out_stride;
  size_t rows, key_dim, value_dim;
} fm_delta_rows;

// A causal convolution of each channel with its own weights, then silu, in place.
#define FM_MAX_TAPS 16
typedef struct fm_convolution {
  const float *weights;  // [channels][taps], the present row last
  float *state;          // [taps - 1][channels]: the inputs before the first row; left as those
                         // before the row after the last
  float *values;         // [rows][stride]
  size_t stride, rows, channels;
  size_t taps;  // 1 ... FM_MAX_TAPS
} fm_convolution;

typedef struct fm_kernels {
  const char *name;
  fm_level level;

  // y[t*ldy + r] = sum_k w[r][k] * x[t*ldx + k] for rows of blocks [block_begin, block_end),
  // f32 activations, k ascending in f32 (fused multiply-add where the level has it).
  void (*matmul_f32)(const fm_matrix *w, size_t block_begin, size_t block_end,
                     const float *x, size_t ldx, size_t m, float *y, size_t ldy);

  // The same with int8 activations; all schemes but floats.  Integer dot products per group of
  // 32 columns are exact; groups are added in ascending order in f32.
  void (*matmul_i8)(const fm_matrix *w, size_t block_begin, size_t block_end,
                    const fm_activations *a, size_t m, float *y, size_t ldy);

  // Quantizes rows [row_begin, row_end) of x ([..][ldx], `columns` used) into `a`.
  void (*quantize)(const float *x, size_t ldx, size_t columns, size_t row_begin, size_t row_end,
                   const fm_activations *a);

  // y = x / sqrt(mean(x^2) + epsilon) * weight, n elements; y may be x.
  void (*rms_norm)(const float *x, const float *weight, size_t n, float epsilon, float *y);

  // y = (x - mean) / sqrt(variance + epsilon) * weight + bias, n elements; y may be x.
  void (*layer_norm)(const float *x, const float *weight, const float *bias, size_t n,
                     float epsilon, float *y);

  // Rotates halves in place: (x[i], x[i+n/2]) by cosine[i], sine[i], i < n/2.
  void (*rope)(float *x, const float *cosine, const float *sine, size_t n);
  // Rotates neighbours in place: (x[2i], x[2i+1]) by cosine[i], sine[i], i < n/2.
  void (*rope_pairs)(float *x, const float *cosine, const float *sine, size_t n);

  // x = softmax(x) over n elements.
  void (*softmax)(float *x, size_t n);

  // x = 1 / (1 + e^-x) over n elements.
  void (*sigmoid)(float *x, size_t n);

  // gate_up rows hold alternating blocks of 16 gate and 16 up values ("blocked pairs");
  // h[t*ldh + i] = silu(gate_i) * up_i for i < inner; h[inner ..< ldh] is left alone.
  void (*swiglu)(const float *gate_up, size_t ld, size_t m, size_t inner, float *h, size_t ldh);

  // The same rows, gate = min(gate + gate_bias, limit), up = clamp(up + up_bias, -limit, limit):
  // h = gate * sigmoid(alpha * gate) * (up + 1).
  void (*swiglu_clamped)(const float *gate_up, size_t ld, size_t m, size_t inner,
                         const float *gate_bias, const float *up_bias, float alpha, float limit,
                         float *h, size_t ldh);

  // out = softmax(scale * q.K) V for each row and head.  Positions are taken in ascending order in
  // blocks aligned to position 0, and what a row does not see is never an operand, so the result
  // does not depend on how many rows or heads a call covers.  `workspace` holds
  // fm_attention_workspace_bytes(head_dim) bytes for one thread, aligned to 64.
  void (*attention)(const fm_attention_cache *cache, const fm_attention_rows *rows,
                    void *workspace);

  // Stores one position's key and value, head_dim elements each.
  void (*cache_store)(const fm_attention_cache *cache, size_t position, const float *key,
                      const float *value);

  // out = softmax(scale * q.K) L over the latent part L of a compressed cache, as attention does.
  // `workspace` holds fm_latent_workspace_bytes(rows * heads) bytes, aligned to 64.
  void (*latent_attention)(const fm_latent_cache *cache, const fm_latent_rows *rows,
                           void *workspace);
  // Stores one position: width numbers, zero where the cache is padded.
  void (*latent_store)(const fm_latent_cache *cache, size_t position, const float *row);

  // For each row, with S the head's state [key_dim][value_dim]:
  //   S = decay * S;  S += key x (rate * (value - S^T key));  out = S^T query
  // The state lies in panels of 16 value dimensions, [panel][key_dim][16]; only panels
  // [panel_begin, panel_end) are touched.  The result does not depend on the panels or the rows a
  // call covers.
  void (*delta_rule)(float *state, const fm_delta_rows *rows, size_t panel_begin,
                     size_t panel_end);
  // Channels [begin, end); begin must be a multiple of 16.
  void (*convolve)(const fm_convolution *convolution, size_t begin, size_t end);
  // x = x / sqrt(sum(x^2) + epsilon) * scale
  void (*l2_norm)(float *x, size_t n, float epsilon, float scale);
  // x *= silu(gate); x *= sigmoid(gate)
  void (*gate_silu)(float *x, const float *gate, size_t n);
  void (*gate_sigmoid)(float *x, const float *gate, size_t n);

  // y[i] += a * x[i]
  void (*multiply_add)(float a, const float *x, size_t n, float *y);
  // y[i] = x[i] as IEEE half, rounded to nearest even.
  void (*to_f16)(const float *x, size_t n, uint16_t *y);
} fm_kernels;

// The best level this processor and operating system support.
fm_level fm_best_level(void);
// The table of a level, or NULL where the processor lacks it.
const fm_kernels *fm_kernels_at(fm_level level);

// ## Layout, portable (packing and tests; not for hot loops)

size_t fm_padded_columns(fm_scheme scheme, size_t columns);
size_t fm_block_bytes(fm_scheme scheme, size_t columns);

// Bytes of 16 positions of one head's keys, and of its values.
size_t fm_cache_block_bytes(fm_cache_type type, size_t head_dim);
size_t fm_attention_workspace_bytes(size_t head_dim);
// A latent vector's padded length, and that of a position of a compressed cache.
size_t fm_latent_padded(size_t latent);
size_t fm_latent_width(size_t latent, size_t rope);
size_t fm_latent_workspace_bytes(size_t lines);

// What packing changed.
typedef struct fm_pack_error {
  double squares;  // sum of squared errors
  float greatest;  // greatest magnitude of an error
} fm_pack_error;

// Packs up to 16 rows of f32 (rows[r*ld + k]) into one block.  `search` looks for the scale
// with the least squared error instead of taking the absolute maximum.
// Returns the errors over the valid rows and columns.
fm_pack_error fm_pack_block(fm_scheme scheme, const float *rows, size_t ld, size_t valid_rows,
                     size_t columns, bool search, void *block);
// The same with one level's instructions; every level gives the same bytes.  Returns a sum of -1
// and writes nothing where the processor lacks the level.
fm_pack_error fm_pack_block_at(fm_level level, fm_scheme scheme, const float *rows, size_t ld,
                        size_t valid_rows, size_t columns, bool search, void *block);
// The same with a search for the least sum of squared errors times `importance`, one positive factor
// a column, such as the mean square of the activations that meet it.  The errors returned are
// unweighted.
fm_pack_error fm_pack_block_weighted(fm_level level, fm_scheme scheme, const float *rows, size_t ld,
                                     size_t valid_rows, size_t columns, const float *importance,
                                     void *block);
// Unpacks one block to f32, rows[r*ld + k], r < valid_rows, k < columns.
void fm_unpack_block(fm_scheme scheme, const void *block, size_t columns, size_t valid_rows,
                     float *rows, size_t ld);
// One row of a blocked matrix as f32: what an embedding look-up needs.
void fm_unpack_row(const fm_matrix *w, size_t row, float *out);

// Rearranges GGUF Q4_0 / Q8_0 / MXFP4 rows (row_stride bytes apart) into a q4 / q8 / mxfp4 block,
// bit for bit.
void fm_pack_block_q4_0(const uint8_t *rows, size_t row_stride, size_t valid_rows,
                        size_t columns, void *block);
void fm_pack_block_q8_0(const uint8_t *rows, size_t row_stride, size_t valid_rows,
                        size_t columns, void *block);
void fm_pack_block_mxfp4(const uint8_t *rows, size_t row_stride, size_t valid_rows,
                         size_t columns, void *block);
// The same for affine rows and q4a: per 64 columns scale and bias, then 32 bytes of which byte j
// holds column 2j low and 2j + 1 high.  Scale and bias are bf16, or f32 (`wide`), then rounded.
void fm_pack_block_affine(const uint8_t *rows, size_t row_stride, size_t valid_rows,
                          size_t columns, bool wide, void *block);

// Formats of rows that are unpacked before they are packed: GGML's blocks by its names, and affine
// rows as above.  MXFP4: scale byte, then 16 bytes, byte j holding column j low and j + 16 high.
typedef enum fm_row_format {
  FM_ROW_Q4_0, FM_ROW_Q4_1, FM_ROW_Q5_0, FM_ROW_Q5_1, FM_ROW_Q8_0, FM_ROW_Q2_K, FM_ROW_Q3_K,
  FM_ROW_Q4_K, FM_ROW_Q5_K, FM_ROW_Q6_K, FM_ROW_IQ4_NL, FM_ROW_IQ4_XS, FM_ROW_MXFP4,
  FM_ROW_AFFINE_BF16, FM_ROW_AFFINE_F32
} fm_row_format;

// Columns and bytes of one block of a format.
size_t fm_row_block_columns(fm_row_format format);
size_t fm_row_block_bytes(fm_row_format format);
// One row of whole blocks as f32.  Each value is computed in f32 in the order that GGML's reference
// has, so the bits are the same.
void fm_unpack_format(fm_row_format format, const uint8_t *row, size_t columns, float *out);

// Widening conversions of n little-endian elements.
void fm_widen_bf16(const uint16_t *x, size_t n, float *y);
void fm_widen_f16(const uint16_t *x, size_t n, float *y);

// ## Probe

// Reads `bytes` (rounded down to 256) of memory with the level's widest loads and returns the
// exclusive or of their 64-bit words, so that the reads cannot be left out.
uint64_t fm_probe_read_at(fm_level level, const void *data, size_t bytes);

// ## Tests

// matmul_i8 of the AMX level with its tile instructions written out in C, everything else with the
// instructions of `level`: the bits must be those of the level's own matmul_i8.  Returns false and
// writes nothing where the processor lacks the level.
bool fm_emulate_tiles_at(fm_level level, const fm_matrix *w, size_t block_begin, size_t block_end,
                         const fm_activations *a, size_t m, float *y, size_t ldy);

#endif
