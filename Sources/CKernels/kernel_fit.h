// Quantization of one group of columns, sixteen rows at a time, one row per lane.
// Included by each level after its vectors.  No fused operations (see levels.h).

FM_INLINE vf fit_round(vf x) {
  const vf magic = vf_set1(0x1.8p23f);
  return vf_sub(vf_add(x, magic), magic);
}

FM_INLINE vf fit_inverse(vf x) {
  vf inverse = vf_div(vf_set1(1), x);
  return vf_select_less(vf_set1(0), vf_abs(x), inverse, vf_set1(0));
}

// Scales are finite halves; what would overflow becomes the greatest half.
FM_INLINE vf fit_f16(vf x) {
  uint16_t halves[16];
  x = vf_min(vf_max(x, vf_set1(-65504.0f)), vf_set1(65504.0f));
  vf_to_f16(halves, x);
  return vf_from_f16(halves);
}

FM_INLINE vf fit_bf16(vf x) {
  float lanes[16];
  uint16_t words[16];
  vf_store(lanes, vf_min(vf_max(x, vf_set1(-0x1.fep127f)), vf_set1(0x1.fep127f)));
  for (int r = 0; r < 16; r++) words[r] = fm_to_bf16(lanes[r]);
  return vf_from_bf16(words);
}

FM_INLINE vf fit_code(vf w, vf inverse, float low, float high) {
  vf code = vf_min(vf_max(vf_mul(w, inverse), vf_set1(low)), vf_set1(high));
  return fit_round(code);
}

// x times the column's importance.
FM_INLINE vf fit_weigh(vf x, const float *importance, size_t k) {
  return importance ? vf_mul(x, vf_set1(importance[k])) : x;
}

// Exact error of the symmetric codes that scale d gives.
FM_INLINE vf fit_error(const float (*w)[16], size_t count, const float *importance, vf d, float low,
                       float high) {
  vf inverse = fit_inverse(d), error = vf_set1(0);
  for (size_t k = 0; k < count; k++) {
    vf v = vf_load(w[k]);
    vf e = vf_sub(v, vf_mul(fit_code(v, inverse, low, high), d));
    error = vf_add(error, fit_weigh(vf_mul(e, e), importance, k));
  }
  return error;
}

// The scale of least squares for the codes that 1 / `inverse` gives, and the gain in *score:
// the error is then sum(w^2) - score.
FM_INLINE vf fit_least_squares(const float (*w)[16], size_t count, const float *importance,
                               vf inverse, float low, float high, vf *score) {
  vf wq = vf_set1(0), qq = vf_set1(0);
  for (size_t k = 0; k < count; k++) {
    vf v = vf_load(w[k]);
    vf q = fit_code(v, inverse, low, high);
    wq = vf_add(wq, fit_weigh(vf_mul(v, q), importance, k));
    qq = vf_add(qq, fit_weigh(vf_mul(q, q), importance, k));
  }
  vf d = vf_mul(wq, fit_inverse(qq));
  *score = vf_mul(wq, d);
  return d;
}

FM_INLINE void fit_symmetric(const float (*w)[16], size_t count, bool search,
                             const float *importance, float low, float high, const float *grid,
                             size_t grid_count, fm_fit *fit) {
  // The value of greatest magnitude, with its sign: it takes the end of the range that has the
  // extra level.
  vf magnitude = vf_set1(0), extreme = vf_set1(0);
  for (size_t k = 0; k < count; k++) {
    vf v = vf_load(w[k]), a = vf_abs(v);
    extreme = vf_select_less(magnitude, a, v, extreme);
    magnitude = vf_max(a, magnitude);
  }
  // q8 is symmetric in practice (-127...127) and takes the magnitude itself.
  const bool is_even = low == -127;
  vf d = fit_f16(is_even ? vf_div(magnitude, vf_set1(127)) : vf_mul(extreme, vf_set1(1.0f / low)));
  vf error = fit_error(w, count, importance, d, low, high);
  if (search) {
    vf start = d, score;
    if (grid_count > 0) {
      vf best = vf_set1(-1), per_extreme = fit_inverse(extreme);
      for (size_t c = 0; c < grid_count; c++) {
        vf refit = fit_least_squares(w, count, importance, vf_mul(per_extreme, vf_set1(grid[c])),
                                     low, high, &score);
        start = vf_select_less(best, score, refit, start);
        best = vf_max(score, best);
      }
    }
    for (int round = 0; round < 3; round++) {
      vf rounded = fit_f16(start);
      vf e = fit_error(w, count, importance, rounded, low, high);
      d = vf_select_less(e, error, rounded, d);
      error = vf_min(e, error);
      start = fit_least_squares(w, count, importance, fit_inverse(rounded), low, high, &score);
    }
  }
  vf_to_f16(fit->scale, d);
  vf inverse = fit_inverse(d), greatest = vf_set1(0);
  error = vf_set1(0);
  for (size_t k = 0; k < count; k++) {
    vf v = vf_load(w[k]), code = fit_code(v, inverse, low, high);
    vf e = vf_sub(v, vf_mul(code, d));
    error = vf_add(error, vf_mul(e, e));
    greatest = vf_max(vf_abs(e), greatest);
    vf_store_u8(fit->codes[k], vf_sub(code, vf_set1(is_even ? -128 : low)));
  }
  vf_store(fit->error, error);
  vf_store(fit->greatest, greatest);
}

static void fit_q8(const float (*w)[FM_BLOCK_ROWS], size_t count, bool search,
                     const float *importance, fm_fit *fit) {
  fit_symmetric(w, count, search, importance, -127, 127, NULL, 0, fit);
}

static void fit_q4(const float (*w)[FM_BLOCK_ROWS], size_t count, bool search,
                     const float *importance, fm_fit *fit) {
  // Which level the extreme value lands on.  Negative: at or beyond the -8 end; positive: the
  // other sign of the scale.  Levels past the range clip the extreme to serve the others.
  static const float grid[] = {-8, -6.5f, -7, -7.5f, -8.5f, -9, -9.5f, -10, -11,
                               6.5f, 7, 7.5f, 8, 8.5f, 9};
  fit_symmetric(w, count, search, importance, -8, 7, grid, sizeof grid / sizeof *grid, fit);
}

static void fit_q3(const float (*w)[FM_BLOCK_ROWS], size_t count, bool search,
                     const float *importance, fm_fit *fit) {
  static const float grid[] = {-4, -3.25f, -3.5f, -3.75f, -4.25f, -4.5f, -4.75f, -5, -5.5f, -6,
                               2.75f, 3, 3.25f, 3.5f, 4, 4.5f};
  fit_symmetric(w, count, search, importance, -4, 3, grid, sizeof grid / sizeof *grid, fit);
}

static void fit_q2(const float (*w)[FM_BLOCK_ROWS], size_t count, bool search,
                     const float *importance, fm_fit *fit) {
  static const float grid[] = {-2, -1.4f, -1.6f, -1.8f, -2.2f, -2.5f, -2.75f, -3, -3.5f, -4,
                               0.9f, 1.1f, 1.3f, 1.5f, 1.75f, 2, 2.5f};
  fit_symmetric(w, count, search, importance, -2, 1, grid, sizeof grid / sizeof *grid, fit);
}

typedef struct affine_sums { vf one, n, nn, w, wn; } affine_sums;

FM_INLINE affine_sums affine_moments(const float (*w)[16], size_t count, const float *importance,
                                     vf scale, vf bias) {
  vf inverse = fit_inverse(scale);
  affine_sums s = {vf_set1(0), vf_set1(0), vf_set1(0), vf_set1(0), vf_set1(0)};
  for (size_t k = 0; k < count; k++) {
    vf v = vf_load(w[k]);
    vf n = fit_code(vf_sub(v, bias), inverse, 0, 15);
    s.one = vf_add(s.one, fit_weigh(vf_set1(1), importance, k));
    s.n = vf_add(s.n, fit_weigh(n, importance, k));
    s.nn = vf_add(s.nn, fit_weigh(vf_mul(n, n), importance, k));
    s.w = vf_add(s.w, fit_weigh(v, importance, k));
    s.wn = vf_add(s.wn, fit_weigh(vf_mul(v, n), importance, k));
  }
  return s;
}

FM_INLINE vf affine_error(const float (*w)[16], size_t count, const float *importance, vf scale,
                          vf bias) {
  vf inverse = fit_inverse(scale), error = vf_set1(0);
  for (size_t k = 0; k < count; k++) {
    vf v = vf_load(w[k]);
    vf n = fit_code(vf_sub(v, bias), inverse, 0, 15);
    vf e = vf_sub(v, vf_add(vf_mul(n, scale), bias));
    error = vf_add(error, fit_weigh(vf_mul(e, e), importance, k));
  }
  return error;
}

typedef struct affine_best { vf scale, bias, error; } affine_best;

FM_INLINE void affine_try(const float (*w)[16], size_t count, const float *importance, vf scale,
                          vf bias, affine_best *best) {
  vf error = affine_error(w, count, importance, scale, bias);
  best->scale = vf_select_less(error, best->error, scale, best->scale);
  best->bias = vf_select_less(error, best->error, bias, best->bias);
  best->error = vf_min(error, best->error);
}

static void fit_q4a(const float (*w)[FM_BLOCK_ROWS], size_t count, bool search,
                     const float *importance, fm_fit *fit) {
  vf least = vf_load(w[0]), greatest = least;
  for (size_t k = 1; k < count; k++) {
    least = vf_min(vf_load(w[k]), least);
    greatest = vf_max(vf_load(w[k]), greatest);
  }
  vf range = vf_sub(greatest, least);
  affine_best best = {fit_bf16(vf_div(range, vf_set1(15))), fit_bf16(least), vf_set1(0)};
  best.error = affine_error(w, count, importance, best.scale, best.bias);
  if (search) {
    // Ranges drawn in at either end, each fitted by least squares given its codes.
    static const float insets[] = {0, 0.04f, 0.09f};
    vf start_scale = best.scale, start_bias = best.bias, least_error = best.error;
    for (int a = 0; a < 3; a++)
      for (int b = 0; b < 3; b++) {
        vf bias = vf_add(least, vf_mul(range, vf_set1(insets[a])));
        vf scale = vf_mul(range, vf_set1((1 - insets[a] - insets[b]) / 15));
        vf error = affine_error(w, count, importance, scale, bias);
        start_scale = vf_select_less(error, least_error, scale, start_scale);
        start_bias = vf_select_less(error, least_error, bias, start_bias);
        least_error = vf_min(error, least_error);
      }
    for (int round = 0; round < 4; round++) {
      affine_sums s = affine_moments(w, count, importance, start_scale, start_bias);
      vf spread = vf_sub(vf_mul(s.one, s.nn), vf_mul(s.n, s.n));
      vf scale = vf_mul(vf_sub(vf_mul(s.one, s.wn), vf_mul(s.n, s.w)), fit_inverse(spread));
      vf bias = vf_div(vf_sub(s.w, vf_mul(scale, s.n)), s.one);
      // Rounding one parameter moves the best value of the other: try both orders.
      vf rounded_scale = fit_bf16(scale);
      vf rounded_bias = fit_bf16(vf_div(vf_sub(s.w, vf_mul(rounded_scale, s.n)), s.one));
      affine_try(w, count, importance, rounded_scale, rounded_bias, &best);
      rounded_bias = fit_bf16(bias);
      rounded_scale =
          fit_bf16(vf_mul(vf_sub(s.wn, vf_mul(rounded_bias, s.n)), fit_inverse(s.nn)));
      affine_try(w, count, importance, rounded_scale, rounded_bias, &best);
      start_scale = scale;
      start_bias = bias;
    }
  }
  float scales[16], biases[16];
  vf_store(scales, best.scale);
  vf_store(biases, best.bias);
  for (int r = 0; r < 16; r++) {
    fit->scale[r] = fm_to_bf16(scales[r]);
    fit->bias[r] = fm_to_bf16(biases[r]);
  }
  vf inverse = fit_inverse(best.scale), worst = vf_set1(0), error = vf_set1(0);
  for (size_t k = 0; k < count; k++) {
    vf v = vf_load(w[k]), n = fit_code(vf_sub(v, best.bias), inverse, 0, 15);
    vf e = vf_sub(v, vf_add(vf_mul(n, best.scale), best.bias));
    error = vf_add(error, vf_mul(e, e));
    worst = vf_max(vf_abs(e), worst);
    vf_store_u8(fit->codes[k], n);
  }
  vf_store(fit->error, error);
  vf_store(fit->greatest, worst);
}
