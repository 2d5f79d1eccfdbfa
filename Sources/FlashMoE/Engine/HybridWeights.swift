import CKernels
import Glibc
import Support

/// One layer's latent attention.
struct LatentWeights {
  var shape: LatentShape
  /// nil where queries are projected at once.
  var queryDown: Matrix?
  var queryNorm: UnsafePointer<Float>?
  var query: Matrix
  var compress: Matrix
  var latentNorm: UnsafePointer<Float>
  /// For each head its part that turns a plain query into a latent one, rows padded to blocks.
  var absorb: HeadMatrices
  /// For each head its part that turns a mixed latent into a value.
  var expand: HeadMatrices
  var output: Matrix
  var queryDownBias: UnsafePointer<Float>?
  var compressBias: UnsafePointer<Float>?
  var outputBias: UnsafePointer<Float>?
}

/// What the loops need to know, without the configuration's arrays.
struct LatentShape {
  var headCount: Int
  var rank: Int
  var queryRank: Int
  var plainDimension: Int
  var rotatedDimension: Int
  var valueDimension: Int
  var epsilon: Float
  var scale: Float
  /// Which of the decoder's rotation tables.
  var rotation: Int

  var headDimension: Int { plainDimension + rotatedDimension }
  var queryRows: Int { headCount * headDimension }
  var valueRows: Int { headCount * valueDimension }
  var compressedRows: Int { rank + rotatedDimension }
}

/// Matrices of the same shape one below the other, each starting with a block of its own.
struct HeadMatrices {
  private var first: Matrix
  private var bytes: Int

  init(_ all: Matrix, rows: Int, headCount: Int) {
    bytes = fm_block_bytes(all.kernel.scheme, all.columns) * (all.blockCount / headCount)
    first = all
    first.kernel.rows = UInt32(rows)
    first.blockCount = all.blockCount / headCount
    // Few rows of short columns: exact activations cost nothing here.
    first.usesInt8 = false
  }

  @inline(__always)
  subscript(head: Int) -> Matrix {
    var matrix = first
    matrix.kernel.data += head * bytes
    return matrix
  }
}

/// One layer's gated DeltaNet.
struct DeltaWeights {
  var shape: DeltaShape
  var mixed: Matrix
  var gate: Matrix
  /// Before the sigmoid, and before the decay's softplus: one row a value head.
  var rate: Matrix
  var decay: Matrix
  /// [channels][taps]
  var convolution: UnsafePointer<Float>
  /// [value heads] minus the decay rate, and what is added before the softplus.
  var decayRates: UnsafePointer<Float>
  var decayBias: UnsafePointer<Float>
  /// [value dimension]
  var norm: UnsafePointer<Float>
  var output: Matrix
}

struct DeltaShape {
  var keyHeadCount: Int
  var valueHeadCount: Int
  var keyDimension: Int
  var valueDimension: Int
  var taps: Int
  var isTiled: Bool
  var epsilon: Float

  var keyRows: Int { keyHeadCount * keyDimension }
  var valueRows: Int { valueHeadCount * valueDimension }
  var channels: Int { 2 * keyRows + valueRows }
  /// Panels of 16 value dimensions in a head's state.
  var panels: Int { (valueDimension + 15) / 16 }

  @inline(__always)
  func keyHead(of head: Int) -> Int {
    isTiled ? head % keyHeadCount : head / (valueHeadCount / keyHeadCount)
  }
}

extension WeightResolver {
  func latent(
    _ prefix: String, _ attention: ModelConfiguration.LatentAttention, hidden: Int, rotation: Int
  ) throws(Failure) -> LatentWeights {
    let prefix = prefix + "self_attn."
    func bias(_ name: String, _ count: Int) throws(Failure) -> UnsafePointer<Float>? {
      attention.hasBias ? try vector(prefix + name + ".bias", count: count) : nil
    }
    func heads(_ name: String, rows: Int, columns: Int) throws(Failure) -> HeadMatrices {
      let padded = (rows + 15) / 16 * 16
      return HeadMatrices(
        try matrix(prefix + name + ".weight", rows: attention.headCount * padded, columns: columns),
        rows: rows, headCount: attention.headCount)
    }
    var weights = LatentWeights(
      shape: LatentShape(
        headCount: attention.headCount, rank: attention.rank,
        queryRank: attention.queryRank ?? 0, plainDimension: attention.plainDimension,
        rotatedDimension: attention.rotatedDimension, valueDimension: attention.valueDimension,
        epsilon: attention.epsilon, scale: attention.scale, rotation: rotation),
      query: try matrix(
        prefix + (attention.queryRank == nil ? "q_proj.weight" : "q_b_proj.weight"),
        rows: attention.queryRows, columns: attention.queryRank ?? hidden),
      compress: try matrix(
        prefix + "kv_a_proj_with_mqa.weight", rows: attention.compressedRows, columns: hidden),
      latentNorm: try vector(prefix + "kv_a_layernorm.weight", count: attention.rank),
      absorb: try heads(
        "k_b_proj", rows: attention.rank, columns: attention.plainDimension),
      expand: try heads("v_b_proj", rows: attention.valueDimension, columns: attention.rank),
      output: try matrix(
        prefix + "o_proj.weight", rows: hidden, columns: attention.valueRows),
      compressBias: try bias("kv_a_proj_with_mqa", attention.compressedRows),
      outputBias: try bias("o_proj", hidden))
    if let rank = attention.queryRank {
      weights.queryDown = try matrix(prefix + "q_a_proj.weight", rows: rank, columns: hidden)
      weights.queryNorm = try vector(prefix + "q_a_layernorm.weight", count: rank)
      weights.queryDownBias = try bias("q_a_proj", rank)
    }
    return weights
  }

  func deltaNet(
    _ prefix: String, _ net: ModelConfiguration.DeltaNet, hidden: Int
  ) throws(Failure) -> DeltaWeights {
    let prefix = prefix + "linear_attn."
    let heads = net.valueHeadCount
    let rates = try mutableVector(prefix + "A_log", count: heads)
    if net.storesLogarithm {
      for head in 0..<heads { rates[head] = -expf(rates[head]) }
    }
    return DeltaWeights(
      shape: DeltaShape(
        keyHeadCount: net.keyHeadCount, valueHeadCount: heads, keyDimension: net.keyDimension,
        valueDimension: net.valueDimension, taps: net.taps, isTiled: net.order == .tiled,
        epsilon: net.epsilon),
      mixed: try matrix(prefix + "in_proj_qkv.weight", rows: net.channels, columns: hidden),
      gate: try matrix(prefix + "in_proj_z.weight", rows: net.valueRows, columns: hidden),
      rate: try matrix(prefix + "in_proj_b.weight", rows: heads, columns: hidden),
      decay: try matrix(prefix + "in_proj_a.weight", rows: heads, columns: hidden),
      convolution: try vector(prefix + "conv1d.weight", count: net.channels * net.taps),
      decayRates: UnsafePointer(rates),
      decayBias: try vector(prefix + "dt_bias", count: heads),
      norm: try vector(prefix + "norm.weight", count: net.valueDimension),
      output: try matrix(prefix + "out_proj.weight", rows: hidden, columns: net.valueRows))
  }
}
