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

/// Where an expert's matrices lie, from the start of its record.
struct ExpertPlaces {
  var gateUp: MatrixLayout
  var gateUpOffset: Int
  var down: MatrixLayout
  var downOffset: Int
}

/// The two matrices of an expert, and what lies between them.
struct ExpertShape {
  var places: ExpertPlaces
  /// Those of experts with fewer bits, where there are such.
  var cold: (places: ExpertPlaces, isCold: [Bool])?
  var inner: Int
  var usesInt8: Bool
  var activation: ExpertActivation
  /// [E][H], added to an expert's output.
  var downBias: UnsafePointer<Float>?

  @inline(__always)
  private func places(_ expert: Int) -> ExpertPlaces {
    if let cold, cold.isCold[expert] { return cold.places }
    return places
  }

  /// Whether all experts' gate and up take int8 activations, and whether down does: schemes of a
  /// layer's records differ in bits only.
  var gateUpTakesInt8: Bool { usesInt8 && places.gateUp.scheme.isQuantized }
  var downTakesInt8: Bool { usesInt8 && places.down.scheme.isQuantized }

  @inline(__always)
  func gateUp(_ record: UnsafeRawPointer, expert: Int) -> Matrix {
    let places = places(expert)
    return Matrix(places.gateUp, at: record + places.gateUpOffset, int8Activations: usesInt8)
  }

  @inline(__always)
  func down(_ record: UnsafeRawPointer, expert: Int) -> Matrix {
    let places = places(expert)
    return Matrix(places.down, at: record + places.downOffset, int8Activations: usesInt8)
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
