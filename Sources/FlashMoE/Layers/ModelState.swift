/// What a layer keeps of the tokens before, whatever kind of mixer it has.
protocol LayerStateKind {
  /// What tells states apart whose bytes mean different things.
  var form: String { get }
  /// Whether the tokens from `count` on can be forgotten where `end` were ever stored.
  func canCutBack(to count: Int, end: Int) -> Bool
  /// All bytes that a state of `count` tokens consists of, in an order that depends on shapes alone.
  func byteRanges(count: Int) -> [UnsafeMutableRawBufferPointer]
}

extension LayerStateKind {
  var form: String { "\(Self.self)" }
}

/// One layer's state.
enum LayerState {
  case attention(KeyValueCache)
  case latent(LatentCache)
  case recurrent(RecurrentState)

  var kind: any LayerStateKind {
    switch self {
    case .attention(let cache): cache
    case .latent(let cache): cache
    case .recurrent(let state): state
    }
  }
}

/// The state of all layers, cut from the arena: what makes a context, besides its tokens.
struct ModelState {
  let layers: [LayerState]
  let contextLength: Int

  init(
    _ configuration: ModelConfiguration, type: KeyValueType, contextLength: Int,
    cutter: inout ArenaCutter
  ) {
    self.contextLength = contextLength
    var layers: [LayerState] = []
    for mixer in configuration.mixers {
      switch mixer {
      case .attention(let attention):
        let shape = KeyValueCache.Shape(
          attention, type: type, contextLength: contextLength,
          runLength: Scratch.attentionRowLimit)
        layers.append(.attention(KeyValueCache(shape, cutter: &cutter)))
      case .latent(let attention):
        layers.append(
          .latent(
            LatentCache(attention, type: type, contextLength: contextLength, cutter: &cutter)))
      case .deltaNet(let net):
        layers.append(.recurrent(RecurrentState(net, cutter: &cutter)))
      }
    }
    self.layers = layers
  }

  static func bytes(_ configuration: ModelConfiguration, type: KeyValueType, contextLength: Int)
    -> Int
  {
    var cutter = ArenaCutter()
    _ = ModelState(configuration, type: type, contextLength: contextLength, cutter: &cutter)
    return alignUpToPage(cutter.usedBytes)
  }

  func canCutBack(to count: Int, end: Int) -> Bool {
    count == 0 || layers.allSatisfy { $0.kind.canCutBack(to: count, end: end) }
  }

  func byteRanges(count: Int) -> [UnsafeMutableRawBufferPointer] {
    layers.flatMap { $0.kind.byteRanges(count: count) }
  }
}
