// The table of a level.  Included last by each level.
const fm_level_functions FM_TABLE = {
    .kernels = {
        .name = FM_NAME,
        .level = FM_LEVEL,
        .matmul_f32 = matmul_f32,
        .matmul_i8 = FM_TABLE_MATMUL_I8,
        .quantize = quantize,
        .rms_norm = rms_norm,
        .rope = rope,
        .softmax = softmax,
        .swiglu = swiglu,
        .attention = attention,
        .cache_store = cache_store,
        .multiply_add = multiply_add,
        .to_f16 = to_f16,
    },
    .fit_q8 = fit_q8,
    .fit_q4 = fit_q4,
    .fit_q4a = fit_q4a,
    .emulated_tiles = emulated_matmul_i8,
};
