import Support

extension RoutingTrace {
  static let magic: [UInt8] = Array("FMOETRCE".utf8)
  static let prefixBytes = 16
  static let headerLimit = 16 << 20
  static let fileLimit = 1 << 34

  /// Bytes of one token in the three sections and the token list.
  static func bytesPerToken(
    layers: Int, records: Int, expertsPerToken: Int, predictionCount: Int
  ) -> Int { 4 + 2 * layers * (expertsPerToken + predictionCount) + records }

  private var bodyBytes: Int {
    tokenCount
      * Self.bytesPerToken(
        layers: layers.count, records: recordCount, expertsPerToken: expertsPerToken,
        predictionCount: predictionCount)
  }

  /// How long the file is.
  public var serializedBytes: Int {
    Self.prefixBytes + JSONValue.object(header).serialized().utf8.count + bodyBytes + 8
  }

  /// The file's bytes.
  public func serialized() -> [UInt8] {
    let header = Array(JSONValue.object(header).serialized().utf8)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Self.prefixBytes + header.count + bodyBytes + 8)
    bytes += Self.magic
    Self.append(UInt32(Self.formatVersion), to: &bytes)
    Self.append(UInt32(header.count), to: &bytes)
    bytes += header
    for token in tokens { Self.append(token, to: &bytes) }
    for expert in chosen { Self.append(expert, to: &bytes) }
    for expert in predicted { Self.append(expert, to: &bytes) }
    bytes += codes
    Self.append(Checksum(of: bytes).value, to: &bytes)
    return bytes
  }

  private static func append(_ value: some FixedWidthInteger, to bytes: inout [UInt8]) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }

  private var header: JSONObject {
    [
      "model": .string(model), "fingerprint": .string(fingerprint.description),
      "tokens": .integer(tokenCount), "experts_per_token": .integer(expertsPerToken),
      "predictions": .integer(predictionCount),
      "layers": .array(
        layers.map {
          .object([
            "layer": .integer($0.layer), "experts": .integer($0.expertCount),
            "record_bytes": .integer($0.recordBytes),
          ])
        }),
      "texts": .array(
        texts.map { .object(["name": .string($0.name), "tokens": .integer($0.tokenCount)]) }),
      "steps": .array(steps.map { .array([.integer($0.rows), .integer($0.count)]) }),
    ]
  }

  public func write(to path: String) throws(Failure) {
    try FileSystem.writeAtomically(serialized(), to: path)
  }

  /// - Throws: `Failure` naming the file and what is wrong with it.
  public init(reading path: String) throws(Failure) {
    guard FileSystem.exists(path), !FileSystem.isDirectory(path) else {
      throw Failure(
        .notFound, path, FileSystem.exists(path) ? "a directory, not a trace" : "no such trace",
        remedy: "Make one with 'flashmoe trace STORE -f TEXT -o \(path)'")
    }
    try self.init(
      parsing: try FileSystem.readBytes(path, limitBytes: Self.fileLimit), subject: path)
  }

  /// - Throws: `Failure(.malformed)`, `.corrupt`, or `.unsupported` for another version.
  public init(parsing bytes: [UInt8], subject: String) throws(Failure) {
    var reader = TraceReader(bytes: bytes, subject: subject)
    try reader.checkFrame(magic: Self.magic, version: Self.formatVersion)
    self = try reader.header()
    try reader.readTokens(into: &self)
  }
}

/// Takes a trace apart; everything it reads comes from outside.
private struct TraceReader {
  let bytes: [UInt8]
  let subject: String
  var offset = 0
  var tokenCount = 0

  private func failure(_ place: String?, _ problem: String) -> Failure {
    Failure(
      .malformed, subject, at: place, problem, remedy: "Make the trace again with 'flashmoe trace'")
  }

  private func load<Value: FixedWidthInteger>(_ type: Value.Type, at offset: Int) -> Value {
    bytes.withUnsafeBytes {
      Value(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: type))
    }
  }

  mutating func checkFrame(magic: [UInt8], version: Int) throws(Failure) {
    guard bytes.count >= RoutingTrace.prefixBytes + 8, bytes.starts(with: magic) else {
      throw failure(nil, "not a routing trace")
    }
    let found = Int(load(UInt32.self, at: 8))
    guard found == version else {
      throw Failure(
        .unsupported, subject, "a trace of version \(found); this program reads version \(version)",
        remedy: "Make the trace again with 'flashmoe trace'")
    }
    let end = bytes.count - 8
    let sum = bytes.withUnsafeBytes { Checksum(of: UnsafeRawBufferPointer(rebasing: $0[..<end])) }
    guard sum.value == load(UInt64.self, at: end) else {
      throw Failure(
        .corrupt, subject, "checksum mismatch: it is truncated or damaged",
        remedy: "Copy it again or make it again with 'flashmoe trace'")
    }
  }

  mutating func header() throws(Failure) -> RoutingTrace {
    let count = Int(load(UInt32.self, at: 12))
    let start = RoutingTrace.prefixBytes
    guard count <= RoutingTrace.headerLimit, count <= bytes.count - 8 - start else {
      throw failure("header", "\(count) bytes, which the file does not hold")
    }
    let json = try JSONValue.parse(Array(bytes[start..<start + count]), subject: subject)
    offset = start + count
    guard let name = json["model"]?.string,
      let fingerprint = (json["fingerprint"]?.string).flatMap({ Checksum(hexadecimal: $0) })
    else { throw failure("header", "names no model") }
    let layers = try layers(json)
    let least = layers.map(\.expertCount).min() ?? 1
    var trace = RoutingTrace(
      model: name, fingerprint: fingerprint, layers: layers,
      expertsPerToken: try integer(json, "experts_per_token", 1...least),
      predictionCount: try integer(json, "predictions", 0...least))
    tokenCount = try integer(json, "tokens", 0...(1 << 32))
    trace.texts = try texts(json)
    trace.steps = try steps(json)
    return trace
  }

  private func integer(_ json: JSONValue, _ key: String, _ range: ClosedRange<Int>)
    throws(Failure) -> Int
  {
    guard let value = json[key]?.integer, range.contains(value) else {
      throw failure(
        "header, \(key)", "must be a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  private func layers(_ json: JSONValue) throws(Failure) -> [RoutingTrace.Layer] {
    guard let entries = json["layers"]?.array, (1...4096).contains(entries.count) else {
      throw failure("header, layers", "must list from 1 to 4096 layers")
    }
    var layers: [RoutingTrace.Layer] = []
    for entry in entries {
      layers.append(
        RoutingTrace.Layer(
          layer: try integer(entry, "layer", 0...65535),
          expertCount: try integer(entry, "experts", 1...65534),
          recordBytes: try integer(entry, "record_bytes", 1...(1 << 40))))
    }
    return layers
  }

  private func texts(_ json: JSONValue) throws(Failure) -> [RoutingTrace.Text] {
    var texts: [RoutingTrace.Text] = []
    for entry in json["texts"]?.array ?? [] {
      guard let name = entry["name"]?.string else {
        throw failure("header, texts", "one has no name")
      }
      texts.append(
        RoutingTrace.Text(name: name, tokenCount: try integer(entry, "tokens", 0...tokenCount)))
    }
    return texts
  }

  private func steps(_ json: JSONValue) throws(Failure) -> [RoutingTrace.StepRun] {
    var runs: [RoutingTrace.StepRun] = []
    var left = tokenCount
    for entry in json["steps"]?.array ?? [] {
      guard let numbers = entry.array, numbers.count == 2, let rows = numbers[0].integer,
        let count = numbers[1].integer, rows >= 1, count >= 1, rows <= left, count <= left / rows
      else { throw failure("header, steps", "runs must be [rows, count] and cover the tokens") }
      left -= rows * count
      runs.append(RoutingTrace.StepRun(rows: rows, count: count))
    }
    guard left == 0 else { throw failure("header, steps", "they leave \(left) tokens out") }
    return runs
  }

  mutating func readTokens(into trace: inout RoutingTrace) throws(Failure) {
    // At most 4096 layers of 65534 experts: no product here overflows.
    let perToken = RoutingTrace.bytesPerToken(
      layers: trace.layers.count, records: trace.recordCount,
      expertsPerToken: trace.expertsPerToken, predictionCount: trace.predictionCount)
    let left = bytes.count - 8 - offset
    guard left == tokenCount * perToken else {
      throw failure(
        nil, "\(left) bytes of routing where \(tokenCount) tokens of \(perToken) bytes should be")
    }
    trace.tokens = take(UInt32.self, count: tokenCount)
    trace.chosen = take(
      UInt16.self, count: tokenCount * trace.layers.count * trace.expertsPerToken)
    trace.predicted = take(
      UInt16.self, count: tokenCount * trace.layers.count * trace.predictionCount)
    trace.codes = Array(bytes[offset..<bytes.count - 8])
    try check(trace, trace.chosen, each: trace.expertsPerToken, "chosen", mayBeAbsent: false)
    try check(trace, trace.predicted, each: trace.predictionCount, "predicted", mayBeAbsent: true)
  }

  private mutating func take<Value: FixedWidthInteger>(_ type: Value.Type, count: Int) -> [Value] {
    let start = offset
    offset += count * MemoryLayout<Value>.size
    return bytes.withUnsafeBytes { buffer in
      (0..<count).map {
        Value(
          littleEndian: buffer.loadUnaligned(
            fromByteOffset: start + $0 * MemoryLayout<Value>.size, as: type))
      }
    }
  }

  /// Experts must exist and stand once; predictions may be missing as a whole.
  private func check(
    _ trace: RoutingTrace, _ experts: [UInt16], each: Int, _ section: String, mayBeAbsent: Bool
  ) throws(Failure) {
    guard each > 0 else { return }
    let largest = trace.layers.map(\.expertCount).max() ?? 0
    var seen = Array(repeating: -1, count: largest)
    for list in 0..<experts.count / each {
      let layer = list % trace.layers.count
      let count = trace.layers[layer].expertCount
      let first = list * each
      if mayBeAbsent, experts[first] == RoutingTrace.none {
        guard experts[first..<first + each].allSatisfy({ $0 == RoutingTrace.none }) else {
          throw failure(place(trace, list, section), "only a part is there")
        }
        continue
      }
      for expert in experts[first..<first + each] {
        guard Int(expert) < count else {
          throw failure(place(trace, list, section), "there is no expert \(expert)")
        }
        guard seen[Int(expert)] != list else {
          throw failure(place(trace, list, section), "expert \(expert) stands twice")
        }
        seen[Int(expert)] = list
      }
    }
  }

  private func place(_ trace: RoutingTrace, _ list: Int, _ section: String) -> String {
    let layer = trace.layers[list % trace.layers.count].layer
    return "\(section), token \(list / trace.layers.count), layer \(layer)"
  }
}
