// The gated delta rule, its convolution and its gates.  Included by each level after kernel_rows.h.
//
// A head's state is cut into panels of 16 value dimensions, [panel][key dimension][16].  A panel
// never meets another one, and each of its sums is one chain over ascending key dimensions, so
// threads may share panels and a prompt may be cut anywhere without changing a bit.
#include "CKernels.h"

// key.query of one row, the same for all panels.
FM_INLINE float delta_dot(const float *a, const float *b, size_t n) {
  vf sums[2] = {vf_set1(0), vf_set1(0)};
  size_t k = 0;
  for (; k + 32 <= n; k += 32)
    for (size_t j = 0; j < 2; j++)
      sums[j] = vf_fma(vf_load(a + k + 16 * j), vf_load(b + k + 16 * j), sums[j]);
  FM_RUNS(n - k)
    sums[0] = vf_fma(load_run(a + k + i, count, 0), load_run(b + k + i, count, 0), sums[0]);
  return vf_sum(vf_add(sums[0], sums[1]));
}

// What the state holds of this row's value, and what the row's query finds there.
FM_INLINE void delta_read(const int panels, const float *state, size_t dims, const float *key,
                          const float *query, vf *held, vf *found) {
#pragma clang loop unroll(full)
  for (int p = 0; p < panels; p++) held[p] = found[p] = vf_set1(0);
  for (size_t i = 0; i < dims; i++) {
    vf k = vf_set1(key[i]), q = vf_set1(query[i]);
#pragma clang loop unroll(full)
    for (int p = 0; p < panels; p++) {
      vf s = vf_load(state + ((size_t)p * dims + i) * 16);
      held[p] = vf_fma(k, s, held[p]);
      found[p] = vf_fma(q, s, found[p]);
    }
  }
}

// state = state * decay + key x change, and on the way what the next row reads.
FM_INLINE void delta_write(const int panels, bool last, float *state, size_t dims,
                           const float *key, float decay, const vf *change, const float *next_key,
                           const float *next_query, vf *held, vf *found) {
  vf factor = vf_set1(decay);
#pragma clang loop unroll(full)
  for (int p = 0; p < panels; p++) held[p] = found[p] = vf_set1(0);
  for (size_t i = 0; i < dims; i++) {
    vf k = vf_set1(key[i]);
    vf next_k = last ? k : vf_set1(next_key[i]), next_q = last ? k : vf_set1(next_query[i]);
#pragma clang loop unroll(full)
    for (int p = 0; p < panels; p++) {
      float *at = state + ((size_t)p * dims + i) * 16;
      vf s = vf_fma(k, change[p], vf_mul(vf_load(at), factor));
      vf_store(at, s);
      if (last) continue;
      held[p] = vf_fma(next_k, s, held[p]);
      found[p] = vf_fma(next_q, s, found[p]);
    }
  }
}

// Rows of `panels` panels whose state stays in the first-level cache from row to row: one pass
// over it a row, which writes for this row and reads for the next.
FM_INLINE void delta_panels(const int panels, float *state, const fm_delta_rows *rows,
                            size_t panel) {
  size_t dims = rows->key_dim;
  vf held[FM_DELTA_PANELS], found[FM_DELTA_PANELS], change[FM_DELTA_PANELS];
  if (rows->rows == 0) return;
  delta_read(panels, state, dims, rows->keys, rows->queries, held, found);
  for (size_t t = 0; t < rows->rows; t++) {
    const float *key = rows->keys + t * rows->stride, *query = rows->queries + t * rows->stride;
    const float *value = rows->values + t * rows->stride + 16 * panel;
    float *out = rows->out + t * rows->out_stride + 16 * panel;
    float decay = rows->decays[t * rows->gate_stride], rate = rows->rates[t * rows->gate_stride];
    vf factor = vf_set1(decay), overlap = vf_set1(delta_dot(key, query, dims));
#pragma clang loop unroll(full)
    for (int p = 0; p < panels; p++) {
      size_t left = rows->value_dim - 16 * (panel + (size_t)p);
      size_t count = left < 16 ? left : 16;
      vf wanted = load_run(value + 16 * p, count, 0);
      change[p] = vf_mul(vf_set1(rate), vf_sub(wanted, vf_mul(factor, held[p])));
      store_run(out + 16 * p, vf_fma(overlap, change[p], vf_mul(factor, found[p])), count);
    }
    if (t + 1 < rows->rows)
      delta_write(panels, false, state, dims, key, decay, change, key + rows->stride,
                  query + rows->stride, held, found);
    else
      delta_write(panels, true, state, dims, key, decay, change, key, query, held, found);
  }
}

static void delta_rule(float *state, const fm_delta_rows *rows, size_t panel_begin,
                       size_t panel_end) {
  size_t panel = panel_begin;
  for (; panel + FM_DELTA_PANELS <= panel_end; panel += FM_DELTA_PANELS)
    delta_panels(FM_DELTA_PANELS, state + panel * rows->key_dim * 16, rows, panel);
  for (; panel < panel_end; panel++)
    delta_panels(1, state + panel * rows->key_dim * 16, rows, panel);
}

FM_INLINE vf sigmoid_run(vf x) {
  return vf_div(vf_set1(1), vf_add(vf_set1(1), vf_exp(vf_sub(vf_set1(0), x))));
}
FM_INLINE vf silu_run(vf x) {
  return vf_div(x, vf_add(vf_set1(1), vf_exp(vf_sub(vf_set1(0), x))));
}

// Sixteen channels at a time; the window of the last inputs stays in registers.
static void convolve(const fm_convolution *c, size_t begin, size_t end) {
  for (size_t at = begin; at < end; at += 16) {
    size_t count = end - at < 16 ? end - at : 16;
    vf weights[FM_MAX_TAPS], window[FM_MAX_TAPS];
    for (size_t tap = 0; tap < c->taps; tap++) {
      float lanes[16] = {0};
      for (size_t i = 0; i < count; i++) lanes[i] = c->weights[(at + i) * c->taps + tap];
      weights[tap] = vf_load(lanes);
      if (tap + 1 < c->taps) window[tap] = load_run(c->state + tap * c->channels + at, count, 0);
    }
    for (size_t row = 0; row < c->rows; row++) {
      float *x = c->values + row * c->stride + at;
      window[c->taps - 1] = load_run(x, count, 0);
      vf sum = vf_set1(0);
      for (size_t tap = 0; tap < c->taps; tap++) sum = vf_fma(weights[tap], window[tap], sum);
      store_run(x, silu_run(sum), count);
      for (size_t tap = 0; tap + 1 < c->taps; tap++) window[tap] = window[tap + 1];
    }
    for (size_t tap = 0; tap + 1 < c->taps; tap++)
      store_run(c->state + tap * c->channels + at, window[tap], count);
  }
}

static void l2_norm(float *x, size_t n, float epsilon, float scale) {
  vf factor = vf_set1(scale / __builtin_sqrtf(delta_dot(x, x, n) + epsilon));
  FM_RUNS(n) store_run(x + i, vf_mul(load_run(x + i, count, 0), factor), count);
}

static void gate_silu(float *x, const float *gate, size_t n) {
  FM_RUNS(n)
    store_run(x + i, vf_mul(load_run(x + i, count, 0), silu_run(load_run(gate + i, count, 0))),
              count);
}

static void gate_sigmoid(float *x, const float *gate, size_t n) {
  FM_RUNS(n)
    store_run(x + i, vf_mul(load_run(x + i, count, 0), sigmoid_run(load_run(gate + i, count, 0))),
              count);
}
