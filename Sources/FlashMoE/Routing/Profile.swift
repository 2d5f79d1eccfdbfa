import Support
import WeightStore

/// What calibration learned about a store's routing: `profile.json` beside its manifest.
///
/// It decides what is read first and what is worth preparing; it can never change a result.
public struct Profile: Sendable, Equatable {
  public static let fileName = "profile.json"
  public static let version = 1

  /// Rows that a chunk gives an expert, over all chunks and experts with any.
  public struct Rows: Sendable, Equatable {
    public var median: Int
    public var ninetieth: Int
    public var ninetyNinth: Int
    public var largest: Int
    /// Experts of the layer that a chunk uses, on average.
    public var expertsUsed: Double
  }

  public struct Chunk: Sendable, Equatable {
    public var tokens: Int
    /// One entry for each expert layer.
    public var layers: [Rows]
  }

  public var model: String
  public var fingerprint: Checksum
  public var texts: [String]
  public var tokenCount: Int
  /// Of each expert layer, how often each expert was chosen.
  public var popularity: [[Int]]
  public var chunks: [Chunk]
  /// Tokens that predictions were compared on.
  public var predictionTokenCount: Int
  /// Of each expert layer and rank, the share of predictions that the router then chose; nil for a
  /// layer that nothing predicts.
  public var predictions: [[Double]?]

  /// All records, the most popular first; those that were never chosen are left out.
  public var ranking: [(layer: Int, expert: Int)] {
    var ranked: [(count: Int, layer: Int, expert: Int)] = []
    for (layer, counts) in popularity.enumerated() {
      for (expert, count) in counts.enumerated() where count > 0 {
        ranked.append((count, layer, expert))
      }
    }
    ranked.sort { ($1.count, $0.layer, $0.expert) < ($0.count, $1.layer, $1.expert) }
    return ranked.map { ($0.layer, $0.expert) }
  }

  public func write(to store: Store) throws(Failure) {
    try FileSystem.writeAtomically(
      Array(JSONValue.object(json).serialized(pretty: true).utf8),
      to: store.filePath(Self.fileName))
  }

  /// The store's profile; nil when it has none.
  ///
  /// - Throws: `Failure` for a file that is no profile, of another version or of other weights.
  public init?(of store: Store) throws(Failure) {
    let path = store.filePath(Self.fileName)
    guard FileSystem.exists(path) else { return nil }
    let json = try FileSystem.readJSON(path, limitBytes: 1 << 28)
    self = try ProfileReader(subject: path, manifest: store.manifest).read(json)
  }

  public init(
    model: String, fingerprint: Checksum, texts: [String], tokenCount: Int, popularity: [[Int]],
    chunks: [Chunk], predictionTokenCount: Int, predictions: [[Double]?]
  ) {
    self.model = model
    self.fingerprint = fingerprint
    self.texts = texts
    self.tokenCount = tokenCount
    self.popularity = popularity
    self.chunks = chunks
    self.predictionTokenCount = predictionTokenCount
    self.predictions = predictions
  }

  public var json: JSONObject {
    [
      "version": .integer(Self.version), "model": .string(model),
      "fingerprint": .string(fingerprint.description), "tokens": .integer(tokenCount),
      "texts": .array(texts.map { .string($0) }),
      "popularity": .array(popularity.map { .array($0.map { .integer($0) }) }),
      "rows_per_chunk": .array(
        chunks.map { chunk in
          .object([
            "tokens": .integer(chunk.tokens),
            "layers": .array(
              chunk.layers.map {
                .object([
                  "p50": .integer($0.median), "p90": .integer($0.ninetieth),
                  "p99": .integer($0.ninetyNinth), "max": .integer($0.largest),
                  "experts_used": .number($0.expertsUsed),
                ])
              }),
          ])
        }),
      "prediction_tokens": .integer(predictionTokenCount),
      "predictions": .array(
        predictions.map { $0.map { .array($0.map { .number($0) }) } ?? .null }),
    ]
  }
}

/// Reads a profile, which may be anybody's.
private struct ProfileReader {
  let subject: String
  let manifest: Manifest

  private static let remedy = "Run 'flashmoe calibrate' again, or remove the file"

  private func failure(_ place: String, _ problem: String) -> Failure {
    Failure(.malformed, subject, at: place, problem, remedy: Self.remedy)
  }

  func read(_ json: JSONValue) throws(Failure) -> Profile {
    guard let version = json["version"]?.integer else {
      throw failure("version", "it has none, so it is no profile")
    }
    guard version == Profile.version else {
      throw Failure(
        .unsupported, subject,
        "a profile of version \(version); this program reads version \(Profile.version)",
        remedy: Self.remedy)
    }
    guard let text = json["fingerprint"]?.string, let found = Checksum(hexadecimal: text) else {
      throw failure("fingerprint", "must be 16 hexadecimal digits")
    }
    guard found == manifest.fingerprint else {
      throw Failure(
        .mismatch, subject, at: "fingerprint",
        "made for other weights (\(json["model"]?.string ?? "unnamed"))", remedy: Self.remedy)
    }
    return Profile(
      model: json["model"]?.string ?? "", fingerprint: found,
      texts: json["texts"]?.array?.compactMap(\.string) ?? [],
      tokenCount: try count(json, "tokens"), popularity: try popularity(json),
      chunks: try chunks(json), predictionTokenCount: try count(json, "prediction_tokens"),
      predictions: try predictions(json))
  }

  private func count(_ json: JSONValue, _ key: String, _ place: String? = nil) throws(Failure)
    -> Int
  {
    guard let value = json[key]?.integer, (0...(1 << 48)).contains(value) else {
      throw failure(place ?? key, "must be a count")
    }
    return value
  }

  /// A list with one entry for each expert layer.
  private func layers(_ json: JSONValue, _ key: String, _ place: String) throws(Failure)
    -> [JSONValue]
  {
    guard let rows = json[key]?.array, rows.count == manifest.layers.count else {
      throw failure(place, "it must list all \(manifest.layers.count) expert layers")
    }
    return rows
  }

  private func popularity(_ json: JSONValue) throws(Failure) -> [[Int]] {
    var counts: [[Int]] = []
    for (layer, row) in zip(manifest.layers, try layers(json, "popularity", "popularity")) {
      let values = row.array?.compactMap(\.integer) ?? []
      guard values.count == layer.expertCount, values.allSatisfy({ $0 >= 0 }) else {
        throw failure(
          "popularity, layer \(layer.layer)", "it must hold \(layer.expertCount) counts")
      }
      counts.append(values)
    }
    return counts
  }

  private func chunks(_ json: JSONValue) throws(Failure) -> [Profile.Chunk] {
    var chunks: [Profile.Chunk] = []
    for entry in json["rows_per_chunk"]?.array ?? [] {
      var rows: [Profile.Rows] = []
      for layer in try layers(entry, "layers", "rows_per_chunk") {
        guard let used = layer["experts_used"]?.double, used >= 0 else {
          throw failure("rows_per_chunk, experts_used", "must be a number")
        }
        rows.append(
          Profile.Rows(
            median: try count(layer, "p50", "rows_per_chunk, p50"),
            ninetieth: try count(layer, "p90", "rows_per_chunk, p90"),
            ninetyNinth: try count(layer, "p99", "rows_per_chunk, p99"),
            largest: try count(layer, "max", "rows_per_chunk, max"), expertsUsed: used))
      }
      chunks.append(
        Profile.Chunk(tokens: try count(entry, "tokens", "rows_per_chunk, tokens"), layers: rows))
    }
    return chunks
  }

  private func predictions(_ json: JSONValue) throws(Failure) -> [[Double]?] {
    var shares: [[Double]?] = []
    for row in try layers(json, "predictions", "predictions") {
      if row.isNull {
        shares.append(nil)
        continue
      }
      guard let values = row.array?.map(\.double), values.allSatisfy({ (0...1).contains($0 ?? -1) })
      else { throw failure("predictions", "must hold shares from 0 to 1") }
      shares.append(values.compactMap { $0 })
    }
    return shares
  }
}
