import Support

/// Rewrites text before it is cut into words (`normalizer`).
struct Normalizer: Sendable {
  private enum Step: Sendable {
    case canonical(compose: Bool)
    case prepend([UInt8])
    case replace(SplitPattern, [UInt8])
  }

  private var steps: [Step] = []

  /// Whether the text passes unchanged.
  var isEmpty: Bool { steps.isEmpty }

  init(_ configuration: Configuration?) throws(Failure) {
    guard let configuration else { return }
    for part in try configuration.unfolded("normalizers") {
      let type = try part.required("type")
      switch try type.string() {
      case "NFC": steps.append(.canonical(compose: true))
      case "NFD": steps.append(.canonical(compose: false))
      case "Prepend": steps.append(.prepend(Array(try part.string("prepend").utf8)))
      case "Replace":
        steps.append(
          .replace(
            try SplitPattern(try part.required("pattern")),
            Array(try part.string("content").utf8)))
      case let name: throw type.unsupported("the normalizer \"\(name)\" is not supported")
      }
    }
  }

  func normalize(
    _ text: UnsafeBufferPointer<UInt8>, _ workspace: RegularExpression.Workspace
  ) throws(Failure) -> [UInt8] {
    var result = Array(text)
    for step in steps where !result.isEmpty {
      result = try result.withUnsafeBufferPointer { (buffer) throws(Failure) -> [UInt8] in
        switch step {
        case .canonical(let compose):
          if compose, CanonicalForm.shared.isComposed(buffer) { return result }
          return CanonicalForm.shared.normalize(buffer, compose: compose)
        case .prepend(let prefix): return prefix + buffer
        case .replace(let pattern, let content):
          return try pattern.replace(in: buffer, with: content, workspace)
        }
      }
    }
    return result
  }
}
