// Functions of one row of activations.  Included by each level after its vectors.

// e^x within about one unit in the last place: x = n ln 2 + r, a polynomial in r, 2^n.
// Below -104 the result is 0, above 88.72 infinity; NaN stays NaN.
FM_INLINE vf vf_exp(vf x) {
  const vf magic = vf_set1(0x1.8p23f);
  x = vf_max(vf_set1(-104.0f), x);
  x = vf_min(vf_set1(89.0f), x);
  vf n = vf_sub(vf_fma(x, vf_set1(1.44269504f), magic), magic);
  vf r = vf_fma(n, vf_set1(-0.693359375f), x);
  r = vf_fma(n, vf_set1(2.12194440e-4f), r);
  vf p = vf_set1(1.9875691500e-4f);
  p = vf_fma(p, r, vf_set1(1.3981999507e-3f));
  p = vf_fma(p, r, vf_set1(8.3334519073e-3f));
  p = vf_fma(p, r, vf_set1(4.1665795894e-2f));
  p = vf_fma(p, r, vf_set1(1.6666665459e-1f));
  p = vf_fma(p, r, vf_set1(5.0000001201e-1f));
  p = vf_add(vf_fma(p, vf_mul(r, r), r), vf_set1(1.0f));
  return vf_scale2(p, n);
}

// Calls `body` for each run of sixteen elements, `count` of them valid.
#define FM_RUNS(n) for (size_t i = 0, count; count = (n) - i < 16 ? (n) - i : 16, i < (n); i += 16)

FM_INLINE vf load_run(const float *p, size_t count, float fill) {
  return count == 16 ? vf_load(p) : vf_load_n(p, count, fill);
}
FM_INLINE void store_run(float *p, vf x, size_t count) {
  if (count == 16) vf_store(p, x);
  else vf_store_n(p, x, count);
}

static void quantize(const float *x, size_t ldx, size_t columns, size_t row_begin, size_t row_end,
                     const fm_activations *a) {
  for (size_t row = row_begin; row < row_end; row++) {
    const float *from = x + row * ldx;
    int8_t *values = a->values + row * a->stride;
    for (size_t g = 0; g < a->stride / 32; g++) {
      size_t left = columns > 32 * g ? columns - 32 * g : 0;
      vf low = load_run(from + 32 * g, left < 16 ? left : 16, 0);
      vf high = load_run(from + 32 * g + 16, left < 16 ? 0 : left < 32 ? left - 16 : 16, 0);
      float greatest = vf_greatest(vf_max(vf_abs(low), vf_abs(high)));
      // 0 for finite values, NaN otherwise: a broken activation must not turn into a number.
      float broken = vf_sum(vf_mul(vf_add(vf_mul(low, vf_set1(0)), vf_mul(high, vf_set1(0))),
                                   vf_set1(0)));
      // Magnitudes whose reciprocal would overflow count as zero.
      bool zero = greatest < 0x1p-120f;
      vf inverse = vf_set1(zero ? 0 : 127.0f / greatest);
      a->sums[row * (a->stride / 32) + g] =
          store_group_i8(values + 32 * g, vf_mul(low, inverse), vf_mul(high, inverse));
      a->scales[row * (a->stride / 32) + g] = (zero ? 0 : greatest / 127.0f) + broken;
    }
  }
}

static void rms_norm(const float *x, const float *weight, size_t n, float epsilon, float *y) {
  vf sums[4] = {vf_set1(0), vf_set1(0), vf_set1(0), vf_set1(0)};
  size_t k = 0;
  for (; k + 64 <= n; k += 64)
    for (size_t j = 0; j < 4; j++) {
      vf v = vf_load(x + k + 16 * j);
      sums[j] = vf_fma(v, v, sums[j]);
    }
  FM_RUNS(n - k) {
    vf v = load_run(x + k + i, count, 0);
    sums[0] = vf_fma(v, v, sums[0]);
  }
  float sum = vf_sum(vf_add(vf_add(sums[0], sums[1]), vf_add(sums[2], sums[3])));
  vf scale = vf_set1(1.0f / __builtin_sqrtf(sum / (float)n + epsilon));
  FM_RUNS(n) {
    vf v = vf_mul(load_run(x + i, count, 0), scale);
    store_run(y + i, vf_mul(v, load_run(weight + i, count, 0)), count);
  }
}

static void layer_norm(const float *x, const float *weight, const float *bias, size_t n,
                       float epsilon, float *y) {
  vf sum = vf_set1(0), squares = vf_set1(0);
  FM_RUNS(n) sum = vf_add(sum, load_run(x + i, count, 0));
  float mean = vf_sum(sum) / (float)n;
  vf shift = vf_set1(mean);
  FM_RUNS(n) {
    vf v = vf_sub(load_run(x + i, count, mean), shift);
    squares = vf_fma(v, v, squares);
  }
  vf scale = vf_set1(1.0f / __builtin_sqrtf(vf_sum(squares) / (float)n + epsilon));
  FM_RUNS(n) {
    vf v = vf_mul(vf_sub(load_run(x + i, count, 0), shift), scale);
    store_run(y + i, vf_fma(v, load_run(weight + i, count, 0), load_run(bias + i, count, 0)),
              count);
  }
}

static void rope(float *x, const float *cosine, const float *sine, size_t n) {
  size_t half = n / 2;
  FM_RUNS(half) {
    vf a = load_run(x + i, count, 0), b = load_run(x + half + i, count, 0);
    vf c = load_run(cosine + i, count, 0), s = load_run(sine + i, count, 0);
    store_run(x + i, vf_sub(vf_mul(a, c), vf_mul(b, s)), count);
    store_run(x + half + i, vf_fma(a, s, vf_mul(b, c)), count);
  }
}

static void rope_pairs(float *x, const float *cosine, const float *sine, size_t n) {
  for (size_t i = 0; i < n / 2; i++) {
    float a = x[2 * i], b = x[2 * i + 1];
    x[2 * i] = a * cosine[i] - b * sine[i];
    x[2 * i + 1] = a * sine[i] + b * cosine[i];
  }
}

static void softmax(float *x, size_t n) {
  if (n == 0) return;
  vf greatest = vf_set1(-__builtin_inff());
  FM_RUNS(n) greatest = vf_max(greatest, load_run(x + i, count, -__builtin_inff()));
  vf shift = vf_set1(vf_greatest(greatest));
  vf sum = vf_set1(0);
  FM_RUNS(n) {
    vf e = vf_exp(vf_sub(load_run(x + i, count, -__builtin_inff()), shift));
    sum = vf_add(sum, e);
    store_run(x + i, e, count);
  }
  vf scale = vf_set1(1.0f / vf_sum(sum));
  FM_RUNS(n) store_run(x + i, vf_mul(load_run(x + i, count, 0), scale), count);
}

FM_INLINE vf vf_sigmoid(vf x) {
  return vf_div(vf_set1(1), vf_add(vf_set1(1), vf_exp(vf_sub(vf_set1(0), x))));
}

static void sigmoid(float *x, size_t n) {
  FM_RUNS(n) store_run(x + i, vf_sigmoid(load_run(x + i, count, 0)), count);
}

static void swiglu(const float *gate_up, size_t ld, size_t m, size_t inner, float *h,
                   size_t ldh) {
  for (size_t t = 0; t < m; t++)
    FM_RUNS(inner) {
      const float *pair = gate_up + t * ld + 2 * i;
      vf gate = load_run(pair, count, 0), up = load_run(pair + 16, count, 0);
      vf denominator = vf_add(vf_set1(1), vf_exp(vf_sub(vf_set1(0), gate)));
      store_run(h + t * ldh + i, vf_mul(vf_div(gate, denominator), up), count);
    }
}

static void swiglu_clamped(const float *gate_up, size_t ld, size_t m, size_t inner,
                           const float *gate_bias, const float *up_bias, float alpha, float limit,
                           float *h, size_t ldh) {
  // The bound first: the second operand is what comes out where one of them is NaN.
  vf most = vf_set1(limit), least = vf_set1(-limit);
  for (size_t t = 0; t < m; t++)
    FM_RUNS(inner) {
      const float *pair = gate_up + t * ld + 2 * i;
      vf gate = vf_add(load_run(pair, count, 0), load_run(gate_bias + i, count, 0));
      vf up = vf_add(load_run(pair + 16, count, 0), load_run(up_bias + i, count, 0));
      gate = vf_min(most, gate);
      up = vf_max(least, vf_min(most, up));
      vf open = vf_mul(gate, vf_sigmoid(vf_mul(vf_set1(alpha), gate)));
      store_run(h + t * ldh + i, vf_mul(open, vf_add(up, vf_set1(1))), count);
    }
}

static void multiply_add(float a, const float *x, size_t n, float *y) {
  vf factor = vf_set1(a);
  FM_RUNS(n) store_run(y + i, vf_fma(factor, load_run(x + i, count, 0), load_run(y + i, count, 0)),
                       count);
}

static void to_f16(const float *x, size_t n, uint16_t *y) {
  FM_RUNS(n) {
    if (count == 16) {
      vf_to_f16(y + i, vf_load(x + i));
    } else {
      uint16_t lanes[16];
      vf_to_f16(lanes, vf_load_n(x + i, count, 0));
      memcpy(y + i, lanes, count * sizeof(uint16_t));
    }
  }
}
