import WeightStore

/// Pointers to one layer's resident weights.
///
/// Everything in it is plain pointers and numbers, so that copying it costs no reference counting.
struct LayerWeights {
  enum Mixer {
    case attention(AttentionWeights)
    case latent(LatentWeights)
    case deltaNet(DeltaWeights)
  }

  enum FeedForward {
    case experts(ExpertsWeights)
    case dense(SwiGLUWeights)
  }

  var inputNorm: NormWeights
  var mixer: Mixer
  var feedForwardNorm: NormWeights
  var feedForward: FeedForward
}

/// A norm's weight and, for LayerNorm, its bias.
struct NormWeights {
  var weight: UnsafePointer<Float>
  var bias: UnsafePointer<Float>?
}

/// One layer's attention.
struct AttentionWeights {
  var shape: AttentionShape
  var query: Matrix
  var key: Matrix
  var value: Matrix
  var output: Matrix
  var queryBias: UnsafePointer<Float>?
  var keyBias: UnsafePointer<Float>?
  var valueBias: UnsafePointer<Float>?
  var outputBias: UnsafePointer<Float>?
  var queryNorm: UnsafePointer<Float>?
  var keyNorm: UnsafePointer<Float>?
  var sinks: UnsafePointer<Float>?
  var gate: Matrix?
}

/// What the loops over heads need to know, without the configuration's arrays.
struct AttentionShape {
  var headCount: Int
  var keyValueHeadCount: Int
  var headDimension: Int
  var scale: Float
  /// 0 for none.
  var window: Int
  /// 0 for none.
  var clip: Float
  var normsTogether: Bool
  /// Which of the decoder's rotation tables.
  var rotation: Int

  var queryRows: Int { headCount * headDimension }
  var keyValueRows: Int { keyValueHeadCount * headDimension }
  var queriesPerKeyValueHead: Int { headCount / keyValueHeadCount }
}

/// down(silu(gate) · up) for every token.
struct SwiGLUWeights {
  var gateUp: Matrix
  var down: Matrix
  var inner: Int
}

/// A layer's router and what goes with it.
struct ExpertsWeights {
  var router: Matrix
  var routerBias: UnsafePointer<Float>?
  var correction: UnsafePointer<Float>?
  /// Index among the store's expert layers.
  var storeLayer: Int
  var shared: SwiGLUWeights?
  /// [1][H], where the shared expert has a gate.
  var sharedGate: Matrix?
}

/// The two matrices of an expert relative to the start of its record, and what lies between them.
struct ExpertShape {
  var gateUp: MatrixLayout
  var gateUpOffset: Int
  var down: MatrixLayout
  var downOffset: Int
  var inner: Int
  var usesInt8: Bool
  var activation: ExpertActivation
  /// [E][H], added to an expert's output.
  var downBias: UnsafePointer<Float>?

  @inline(__always)
  func gateUp(_ record: UnsafeRawPointer) -> Matrix {
    Matrix(gateUp, at: record + gateUpOffset, int8Activations: usesInt8)
  }

  @inline(__always)
  func down(_ record: UnsafeRawPointer) -> Matrix {
    Matrix(down, at: record + downOffset, int8Activations: usesInt8)
  }
}

/// All resident weights, loaded into the arena and checked.
struct ModelWeights {
  var embedding: Matrix
  var head: Matrix
  /// [V]
  var headBias: UnsafePointer<Float>?
  var finalNorm: NormWeights
  var layers: [LayerWeights]
  /// One entry for each expert layer of the store.
  var experts: [ExpertShape]
}
