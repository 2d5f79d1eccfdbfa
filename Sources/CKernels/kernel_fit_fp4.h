// Quantization of a group to 4-bit floats.  Included by each level after kernel_fit.h.

// The magnitude of twice an e2m1 value nearest to x / d, 1/d being `inverse`: whole numbers up to 4,
// even ones up to 8, and 12.
FM_INLINE vf fit_fp4(vf v, vf inverse) {
  vf x = vf_min(vf_abs(vf_mul(v, inverse)), vf_set1(12));
  vf step = vf_select_less(x, vf_set1(4), vf_set1(1),
                           vf_select_less(x, vf_set1(8), vf_set1(2), vf_set1(4)));
  vf per_step = vf_select_less(x, vf_set1(4), vf_set1(1),
                               vf_select_less(x, vf_set1(8), vf_set1(0.5f), vf_set1(0.25f)));
  return vf_mul(fit_round(vf_mul(x, per_step)), step);
}

// Exponents 2 to 252: the scale's inverse and the greatest value are finite.
static void fit_mxfp4(const float (*w)[FM_BLOCK_ROWS], size_t count, bool search,
                     const float *importance, fm_fit *fit) {
  vf magnitude = vf_set1(0);
  for (size_t k = 0; k < count; k++) magnitude = vf_max(vf_abs(vf_load(w[k])), magnitude);
  float greatest[16], least_error[16];
  vf_store(greatest, magnitude);
  // The rule of the format's definition puts the greatest value between 4 and 8, where more than 6
  // is clipped; the search also tries twice and half of that scale.
  int32_t first[16], best[16];
  for (int r = 0; r < 16; r++) first[r] = best[r] = (int32_t)(fm_bits(greatest[r]) >> 23) - 2;
  vf inverse = vf_set1(0);
  for (int attempt = 0; attempt < (search ? 3 : 1); attempt++) {
    float scales[16], inverses[16], errors[16];
    for (int r = 0; r < 16; r++) {
      int32_t e = first[r] + (attempt == 1 ? 1 : attempt == 2 ? -1 : 0);
      e = e < 2 ? 2 : e > 252 ? 252 : e;
      scales[r] = fm_from_e8m0_half((uint8_t)e);
      inverses[r] = fm_float((uint32_t)(255 - e) << 23);
    }
    vf d = vf_load(scales), error = vf_set1(0);
    inverse = vf_load(inverses);
    for (size_t k = 0; k < count; k++) {
      vf v = vf_load(w[k]);
      vf e = vf_sub(vf_abs(v), vf_mul(fit_fp4(v, inverse), d));
      error = vf_add(error, fit_weigh(vf_mul(e, e), importance, k));
    }
    vf_store(errors, error);
    for (int r = 0; r < 16; r++) {
      int32_t e = first[r] + (attempt == 1 ? 1 : attempt == 2 ? -1 : 0);
      if (attempt > 0 && !(errors[r] < least_error[r])) continue;
      least_error[r] = errors[r];
      best[r] = e < 2 ? 2 : e > 252 ? 252 : e;
    }
  }
  float scales[16], inverses[16];
  for (int r = 0; r < 16; r++) {
    fit->scale[r] = (uint16_t)best[r];
    scales[r] = fm_from_e8m0_half((uint8_t)best[r]);
    inverses[r] = fm_float((uint32_t)(255 - best[r]) << 23);
  }
  vf d = vf_load(scales), worst = vf_set1(0), total = vf_set1(0);
  inverse = vf_load(inverses);
  for (size_t k = 0; k < count; k++) {
    vf v = vf_load(w[k]), q = fit_fp4(v, inverse);
    vf e = vf_sub(vf_abs(v), vf_mul(q, d));
    total = vf_add(total, vf_mul(e, e));
    worst = vf_max(vf_abs(e), worst);
    vf code = vf_select_less(vf_set1(10), q, vf_set1(7),
                             vf_select_less(vf_set1(7), q, vf_set1(6), vf_min(q, vf_set1(5))));
    vf_store_u8(fit->codes[k], vf_add(code, vf_select_less(v, vf_set1(0), vf_set1(8), vf_set1(0))));
  }
  vf_store(fit->error, total);
  vf_store(fit->greatest, worst);
}
