/// The routing of given text: what a cache of any size and policy would have been asked for.
///
/// `docs/caching.md` describes the file.
public struct RoutingTrace: Sendable, Equatable {
  public static let formatVersion = 1
  /// Stands in `predicted` where nothing was predicted.
  public static let none = UInt16.max

  /// Experts and records of a layer of the store.
  public struct Layer: Sendable, Equatable {
    /// The model's layer number.
    public var layer: Int
    public var expertCount: Int
    /// Bytes read for one of its experts.
    public var recordBytes: Int

    public init(layer: Int, expertCount: Int, recordBytes: Int) {
      self.layer = layer
      self.expertCount = expertCount
      self.recordBytes = recordBytes
    }
  }

  /// A text that was fed, in the order of the tokens.
  public struct Text: Sendable, Equatable {
    public var name: String
    public var tokenCount: Int

    public init(name: String, tokenCount: Int) {
      self.name = name
      self.tokenCount = tokenCount
    }
  }

  /// `count` steps of `rows` tokens each.
  public struct StepRun: Sendable, Equatable {
    public var rows: Int
    public var count: Int

    public init(rows: Int, count: Int) {
      self.rows = rows
      self.count = count
    }
  }

  public var model: String
  /// `Manifest.fingerprint` of the store that was traced.
  public var fingerprint: Checksum
  public var layers: [Layer]
  public var expertsPerToken: Int
  /// Experts that are predicted for each layer.
  public var predictionCount: Int
  public var texts: [Text]
  public var steps: [StepRun]

  /// [n]
  public var tokens: [UInt32] = []
  /// [n][layers][k] by falling weight.
  public var chosen: [UInt16] = []
  /// [n][layers][p] by the router of this layer on the hidden state of the layer before, likeliest
  /// first; `none` for layers without such a prediction.
  public var predicted: [UInt16] = []
  /// [n][Σ experts] `RouterCode`s.
  public var codes: [UInt8] = []

  public init(
    model: String, fingerprint: Checksum, layers: [Layer], expertsPerToken: Int,
    predictionCount: Int, texts: [Text] = [], steps: [StepRun] = []
  ) {
    self.model = model
    self.fingerprint = fingerprint
    self.layers = layers
    self.expertsPerToken = expertsPerToken
    self.predictionCount = predictionCount
    self.texts = texts
    self.steps = steps
  }

  /// An empty trace of a store.
  public init(of manifest: Manifest, expertsPerToken: Int, predictionCount: Int) {
    self.init(
      model: manifest.name, fingerprint: manifest.fingerprint,
      layers: manifest.layers.map {
        Layer(layer: $0.layer, expertCount: $0.expertCount, recordBytes: $0.record.stride)
      },
      expertsPerToken: expertsPerToken, predictionCount: predictionCount)
  }

  public var tokenCount: Int { tokens.count }
  public var recordCount: Int { layers.reduce(0) { $0 + $1.expertCount } }
  public var layerExperts: [Int] { layers.map(\.expertCount) }
  public var recordBytes: [Int] { layers.map(\.recordBytes) }

  // MARK: Recording

  /// Begins a token; its layers follow in any order.
  public mutating func beginToken(_ token: UInt32) {
    tokens.append(token)
    chosen.append(contentsOf: repeatElement(Self.none, count: layers.count * expertsPerToken))
    predicted.append(contentsOf: repeatElement(Self.none, count: layers.count * predictionCount))
    codes.append(contentsOf: repeatElement(0, count: recordCount))
  }

  /// What the router of a layer said about the last token.
  ///
  /// - Parameters:
  ///   - probabilities: of all the layer's experts.
  ///   - experts: the chosen ones by falling weight.
  public mutating func record(
    layer: Int, probabilities: UnsafePointer<Float>, experts: UnsafeBufferPointer<Int32>
  ) {
    let last = tokens.count - 1
    let first = (last * layers.count + layer) * expertsPerToken
    for (position, expert) in experts.prefix(expertsPerToken).enumerated() {
      chosen[first + position] = UInt16(truncatingIfNeeded: expert)
    }
    var base = last * recordCount
    for earlier in layers[..<layer] { base += earlier.expertCount }
    for expert in 0..<layers[layer].expertCount {
      codes[base + expert] = RouterCode.code(probabilities[expert])
    }
  }

  /// What was predicted for a layer: the `predictionCount` likeliest of its experts.
  public mutating func predict(layer: Int, probabilities: UnsafePointer<Float>) {
    let first = ((tokens.count - 1) * layers.count + layer) * predictionCount
    var filled = 0
    for expert in 0..<layers[layer].expertCount {
      var at = filled
      while at > 0, probabilities[Int(predicted[first + at - 1])] < probabilities[expert] {
        if at < predictionCount { predicted[first + at] = predicted[first + at - 1] }
        at -= 1
      }
      guard at < predictionCount else { continue }
      predicted[first + at] = UInt16(truncatingIfNeeded: expert)
      filled = min(filled + 1, predictionCount)
    }
  }

  /// Adds a step to the runs.
  public mutating func appendStep(rows: Int) {
    if let last = steps.last, last.rows == rows {
      steps[steps.count - 1].count += 1
    } else {
      steps.append(StepRun(rows: rows, count: 1))
    }
  }
}
