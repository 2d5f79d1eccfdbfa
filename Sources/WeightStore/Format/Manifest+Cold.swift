import Support

extension Manifest {
  /// Records of a layer in a second layout, with fewer bits: those of experts that are rarely chosen.
  ///
  /// All records of a layer lie one after another in the order of their experts, each with the stride of
  /// its own layout.  Slots are as large as the larger one: what is saved is disk and bytes read.
  public struct Cold: Sendable, Equatable {
    public let record: RecordLayout
    /// One entry an expert.
    public let isCold: [Bool]
    /// Where each expert's record starts, and where the last one ends.
    let offsets: [Int]

    public init(record: RecordLayout, isCold: [Bool], hot: RecordLayout) {
      self.record = record
      self.isCold = isCold
      var offsets = [0]
      offsets.reserveCapacity(isCold.count + 1)
      var end = 0
      for cold in isCold {
        end += cold ? record.stride : hot.stride
        offsets.append(end)
      }
      self.offsets = offsets
    }

    public var fileBytes: Int { offsets.last ?? 0 }
  }

  /// Bytes that any record of the store fits.
  public var largestStride: Int {
    layers.reduce(0) { max($0, $1.record.stride, $1.cold?.record.stride ?? 0) }
  }
}

extension Manifest.Layer {
  /// The layout of one expert's record.
  public func record(ofExpert expert: Int) -> RecordLayout {
    if let cold, cold.isCold[expert] { return cold.record }
    return record
  }

  /// All layouts that records of this layer have.
  public var records: [RecordLayout] { [record] + [cold?.record].compactMap { $0 } }
}

extension ManifestReader {
  /// The second layout of a layer, where it has one.
  func cold(_ entry: JSONValue, hot: RecordLayout, expertCount: Int, at place: String)
    throws(Failure) -> Manifest.Cold?
  {
    guard let value = entry["cold"] else { return nil }
    let place = place + ".cold"
    let record = try record(value, at: place)
    guard record.sections.count == hot.sections.count,
      zip(record.sections, hot.sections).allSatisfy({ $0.hasShape(of: $1) })
    else { throw failure(place + ".sections", "must have the shapes of the layer's own") }
    var isCold = [Bool](repeating: false, count: expertCount)
    for (at, value) in try array(value["experts"], at: place + ".experts").enumerated() {
      guard let expert = value.integer, (0..<expertCount).contains(expert), !isCold[expert] else {
        throw failure("\(place).experts[\(at)]", "must be an expert's number, each once")
      }
      isCold[expert] = true
    }
    guard isCold.contains(true) else { throw failure(place + ".experts", "must not be empty") }
    return Manifest.Cold(record: record, isCold: isCold, hot: hot)
  }
}

extension RecordLayout.Section {
  /// Whether it has the name and the numbers of another, in whatever scheme.
  func hasShape(of other: RecordLayout.Section) -> Bool {
    guard name == other.name else { return false }
    switch (layout, other.layout) {
    case (.matrix(let left), .matrix(let right)):
      return left.rows == right.rows && left.columns == right.columns
        && left.scheme.isQuantized == right.scheme.isQuantized
    case (.vector(let left), .vector(let right)): return left == right
    default: return false
    }
  }
}
