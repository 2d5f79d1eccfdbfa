import Support
import WeightStore

/// A table of stores: how well each predicts the text, and how far it is from the reference.
public struct LikelihoodReport: Sendable {
  public struct Row: Sendable {
    public var store: StoreSummary
    public var path: String
    public var activations: ActivationType
    public var keyValueType: KeyValueType
    public var isReference: Bool
    public var result: LikelihoodResult

    public init(engine: Engine, result: LikelihoodResult, isReference: Bool) {
      store = StoreSummary(engine.store, engine.configuration)
      path = engine.store.path
      activations = engine.activations
      keyValueType = engine.plan.keyValueType
      self.isReference = isReference
      self.result = result
    }
  }

  public var rows: [Row]
  public var windows: TextWindows
  public var texts: [String]

  public init(rows: [Row], windows: TextWindows, texts: [String]) {
    self.rows = rows
    self.windows = windows
    self.texts = texts
  }

  /// Against the reference of the whole table.
  private func main(_ row: Row) -> Divergence? {
    row.result.divergences.first { rows[$0.reference].isReference }
  }

  /// Against the same store with f32 activations: what int8 activations cost by themselves.
  private func own(_ row: Row) -> Divergence? {
    row.result.divergences.first {
      !rows[$0.reference].isReference && rows[$0.reference].path == row.path
    }
  }

  public var markdown: String {
    let hasMain = rows.contains { main($0) != nil }
    let hasOwn = rows.contains { own($0) != nil }
    let hasTypes = Set(rows.map(\.keyValueType)).count > 1
    var titles = ["store", "weights", "bits", "activations"]
    if hasTypes { titles.append("keys and values") }
    titles += ["perplexity", "NLL"]
    if hasMain { titles += ["NLL − reference", "KL(reference ‖ this)", "max KL", "same top-1"] }
    if hasOwn { titles += ["int8 alone: NLL", "int8 alone: KL", "int8 alone: top-1"] }
    var table = MarkdownTable(
      titles, leftAligned: ["store", "weights", "activations", "keys and values"])
    for row in rows {
      let result = row.result
      var cells = [
        FileSystem.name(of: row.path) + (row.isReference ? " (reference)" : ""), row.store.scheme,
        ByteCount.fixed(row.store.bitsPerWeight, digits: 2), row.activations.rawValue,
      ]
      if hasTypes { cells.append(row.keyValueType.rawValue) }
      cells += [
        Self.withError(result.perplexity, result.perplexityError, digits: 3),
        Self.withError(result.loss.mean, result.loss.standardError, digits: 5),
      ]
      if hasMain { cells += Self.cells(main(row), withMaximum: true) }
      if hasOwn { cells += Self.cells(own(row), withMaximum: false) }
      table.rows.append(cells)
    }
    return (table.lines + [""] + notes.map { "- \($0)" }).joined(separator: "\n")
  }

  private var notes: [String] {
    guard let first = rows.first?.result else { return [] }
    let stride =
      windows.stride == windows.length ? "no overlap" : "a new one every \(windows.stride) tokens"
    var aliased: [String] = []
    for row in rows {
      guard let note = row.store.aliasNote else { continue }
      let line = "\(FileSystem.name(of: row.path)) is \(note)"
      if !aliased.contains(line) { aliased.append(line) }
    }
    return aliased + [
      "text: \(texts.map { FileSystem.name(of: $0) }.joined(separator: ", ")); \(first.loss.count) "
        + "tokens scored in \(first.windowCount) windows of up to \(windows.length), \(stride)",
      "NLL and KL in nats a token; ± is one standard error, tokens taken as independent",
    ]
  }

  private static func cells(_ divergence: Divergence?, withMaximum: Bool) -> [String] {
    guard let divergence else { return Array(repeating: "-", count: withMaximum ? 4 : 3) }
    let kl = divergence.divergence
    return [
      withError(divergence.excess.mean, divergence.excess.standardError, digits: 5),
      withError(kl.mean, kl.standardError, digits: 6),
    ] + (withMaximum ? [ByteCount.fixed(kl.maximum, digits: 3)] : [])
      + [ByteCount.fixed(divergence.topAgreement * 100, digits: 2) + " %"]
  }

  private static func withError(_ value: Double, _ error: Double, digits: Int) -> String {
    "\(ByteCount.fixed(value, digits: digits)) ± \(ByteCount.fixed(error, digits: digits))"
  }

  public var json: JSONObject {
    [
      "window": .integer(windows.length),
      "stride": .integer(windows.stride),
      "texts": .array(texts.map { .string($0) }),
      "tokens_scored": .integer(rows.first?.result.loss.count ?? 0),
      "windows": .integer(rows.first?.result.windowCount ?? 0),
      "rows": .array(rows.map { .object(json($0)) }),
    ]
  }

  private func json(_ row: Row) -> JSONObject {
    let result = row.result
    var object: JSONObject = [
      "store": .string(row.path),
      "scheme": .string(row.store.scheme),
      "bits_per_weight": .number(row.store.bitsPerWeight),
      "activations": .string(row.activations.rawValue),
      "kv": .string(row.keyValueType.rawValue),
      "is_reference": .bool(row.isReference),
      "perplexity": .number(result.perplexity),
      "perplexity_error": .number(result.perplexityError),
      "nll": .number(result.loss.mean),
      "nll_error": .number(result.loss.standardError),
      "seconds": .number(result.seconds),
      "reference": main(row).map { .object(Self.json($0)) } ?? .null,
      "int8_alone": own(row).map { .object(Self.json($0)) } ?? .null,
    ]
    if let note = row.store.aliasNote { object["aliased"] = .string(note) }
    return object
  }

  private static func json(_ divergence: Divergence) -> JSONObject {
    [
      "kl": .number(divergence.divergence.mean),
      "kl_error": .number(divergence.divergence.standardError),
      "kl_max": .number(divergence.divergence.maximum),
      "nll_difference": .number(divergence.excess.mean),
      "nll_difference_error": .number(divergence.excess.standardError),
      "top1_agreement": .number(divergence.topAgreement),
    ]
  }
}
