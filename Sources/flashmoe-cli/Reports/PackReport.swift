import Glibc
import Support
import WeightStore

/// What a pack made and what quantizing cost.
struct PackReport {
  let result: PackResult
  /// Whether each class of tensors gets a line.
  var isDetailed = false

  var json: JSONObject {
    var object = summary
    if isDetailed { object["report"] = .array(result.classes.map(\.json)) }
    return object
  }

  private var summary: JSONObject {
    [
      "store": .string(result.path),
      "source_bytes": .integer(result.sourceBytes),
      "resumed_source_bytes": .integer(result.resumedSourceBytes),
      "store_bytes": .integer(result.storeBytes),
      "seconds": .number(result.seconds),
      "quantization": .array(
        result.errors.map {
          .object([
            "part": .string($0.part.rawValue), "scheme": .string($0.scheme.rawValue),
            "weights": .integer($0.weights), "exact_weights": .integer($0.exactWeights),
            "relative_squared_error": .number($0.relativeSquaredError),
          ])
        }),
      "warnings": .array(result.warnings.map { .string($0) }),
    ]
  }

  var text: String {
    var lines = [
      "\(result.path): \(ByteCount.format(result.storeBytes)) from "
        + "\(ByteCount.format(result.sourceBytes)) in "
        + "\(ByteCount.significant(result.seconds)) s"
    ]
    if result.resumedSourceBytes > 0 {
      lines.append(
        "  resumed: \(ByteCount.format(result.resumedSourceBytes)) were packed by an earlier run")
    }
    var table = Table(.left, .left, .right, .left)
    for error in result.errors {
      let isExact = error.exactWeights == error.weights
      table.add(
        error.part.rawValue, error.scheme.rawValue, "\(ModelFacts.count(error.weights)) weights",
        isExact
          ? "exact"
          : "relative error \(ByteCount.fixed(error.relativeSquaredError.squareRoot() * 100, digits: 2)) %"
            + " (root mean square)")
    }
    if !result.errors.isEmpty { lines.append(table.text()) }
    if isDetailed { lines += ["", details] }
    return lines.joined(separator: "\n")
  }

  /// A line a class of tensors: what it came as, what it is stored as, what that cost.
  private var details: String {
    var table = Table(.left, .left, .left, .right, .right, .right)
    table.add("tensors", "from", "to", "weights", "error, rms", "greatest")
    for row in result.classes {
      func share(_ value: Double) -> String {
        row.isExact ? "exact" : "\(ByteCount.fixed(value * 100, digits: 3)) %"
      }
      table.add(
        row.tensorClass, row.formats.map(\.rawValue).joined(separator: "+"), row.scheme.rawValue,
        ModelFacts.count(row.weights), share(row.relativeError),
        row.isExact ? "" : share(row.greatestError))
    }
    return table.text() + "\nErrors are relative to the root mean square of the weights."
  }
}
