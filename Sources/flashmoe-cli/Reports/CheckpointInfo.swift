import Checkpoints
import FlashMoE
import Support

/// What `info` says about a checkpoint: also about one whose architecture cannot be run.
struct CheckpointInfo {
  private let checkpoint: Checkpoint
  private let facts: ModelFacts?
  /// Why there are no facts.
  private let problem: Failure?

  init(_ checkpoint: Checkpoint) {
    self.checkpoint = checkpoint
    do throws(Failure) {
      facts = try Self.facts(checkpoint)
      problem = nil
    } catch {
      facts = nil
      problem = error
    }
  }

  private static func facts(_ checkpoint: Checkpoint) throws(Failure) -> ModelFacts {
    let (config, subject) = try ModelRegistry.config(of: checkpoint)
    let (family, configuration) = try ModelRegistry.read(config, subject: subject)
    return ModelFacts(family, configuration)
  }

  private var format: String { checkpoint.kind == .gguf ? "GGUF" : "Hugging Face" }

  private var elementCount: Int { checkpoint.tensors.values.reduce(0) { $0 + $1.elementCount } }

  /// Bytes of each number format, most first.
  private var types: [(name: String, bytes: Int)] {
    var bytes: [String: Int] = [:]
    for tensor in checkpoint.tensors.values {
      bytes[tensor.type.rawValue, default: 0] += tensor.byteCount
    }
    return bytes.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { ($0.key, $0.value) }
  }

  func print(json: Bool, tensors: Bool) {
    if json { printJSON(tensors: tensors) } else { printText(tensors: tensors) }
  }

  private func printText(tensors: Bool) {
    var table = Table(.left, .left)
    table.add("checkpoint", "\(checkpoint.path) (\(format))")
    if let facts {
      facts.add(to: &table)
    } else {
      table.add("weights", ModelFacts.count(elementCount))
    }
    table.add(
      "tensors",
      "\(checkpoint.tensors.count) in \(checkpoint.files.count) file"
        + (checkpoint.files.count == 1 ? "" : "s")
        + ", \(ByteCount.format(checkpoint.totalTensorBytes)): "
        + types.map { "\($0.name) \(ByteCount.format($0.bytes))" }.joined(separator: ", "))
    Output.print(Style.heading(FileSystem.name(of: checkpoint.path)))
    Output.print(table)
    if let problem { Diagnostics.warn("it cannot be packed: \(problem)") }
    guard tensors else {
      if problem == nil {
        Output.print("\nNext: flashmoe pack \(checkpoint.path) -o NAME.fmoe")
      }
      return
    }
    var list = Table(.left, .left, .left, .right)
    for name in checkpoint.tensorNames {
      guard let tensor = checkpoint.tensors[name] else { continue }
      list.add(
        name, tensor.type.rawValue, "\(tensor.shape)", ByteCount.format(tensor.byteCount))
    }
    Output.print("\nTensors:")
    Output.print(list)
  }

  private func printJSON(tensors: Bool) {
    var object: JSONObject = [
      "kind": .string(checkpoint.kind == .gguf ? "gguf" : "hugging_face"),
      "path": .string(checkpoint.path),
      "can_be_packed": .bool(facts != nil),
      "problem": .optional(problem?.description),
    ]
    for (key, value) in facts?.json.members ?? [] { object[key] = value }
    object["tensor_count"] = .integer(checkpoint.tensors.count)
    object["tensor_bytes"] = .integer(checkpoint.totalTensorBytes)
    object["weights"] = .integer(elementCount)
    object["files"] = .array(checkpoint.files.map { .string($0) })
    object["bytes_by_type"] = .object(
      types.reduce(into: JSONObject()) { $0[$1.name] = .integer($1.bytes) })
    if tensors {
      object["tensors"] = .array(
        checkpoint.tensorNames.compactMap { checkpoint.tensors[$0] }.map {
          .object([
            "name": .string($0.name), "type": .string($0.type.rawValue),
            "shape": .array($0.shape.map { .integer($0) }),
            "file": .string(checkpoint.files[$0.file]), "offset": .integer($0.offset),
            "bytes": .integer($0.byteCount),
          ])
        })
    }
    Output.print(object)
  }
}
