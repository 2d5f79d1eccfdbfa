import Support
import WeightStore

/// Turns choices, roles and source formats into the scheme of each tensor.
struct SchemeDecision {
  let options: PackingOptions
  /// Patterns that matched something, to tell the user of those that did not.
  private var used: Set<Int> = []
  private var names: [String] = []

  init(_ options: PackingOptions) { self.options = options }

  mutating func resident(
    _ name: String, role: TensorCatalog.Role, formats: Set<SourceFormat>
  ) -> Scheme {
    if let choice = override(name) { return resolve(choice, fallback: .q8, formats: formats) }
    if role == .router {
      // Few bytes and a large effect: its own precision, and never below 8 bits.
      switch SourceFormat.commonScheme(formats) {
      case .q4: return .q8
      case .q4a, .mxfp4: return .f32
      case let exact: return exact
      }
    }
    let scheme = resolve(options.residents, fallback: .q8, formats: formats)
    return role == .precise && scheme.bitsPerWeight < 8 ? .q8 : scheme
  }

  /// The scheme of a section, and that of cold experts' where there are such.
  mutating func experts(_ name: String, formats: Set<SourceFormat>) -> (own: Scheme, cold: Scheme) {
    let override = override(name)
    func resolved(_ choice: SchemeChoice) -> Scheme {
      resolve(override ?? choice, fallback: .q4, formats: formats)
    }
    guard let mixed = options.mixedPrecision else {
      let own = resolved(options.experts)
      return (own, own)
    }
    return (resolved(.scheme(mixed.hot)), resolved(.scheme(mixed.cold)))
  }

  private func resolve(_ choice: SchemeChoice, fallback: Scheme, formats: Set<SourceFormat>)
    -> Scheme
  {
    switch choice {
    case .scheme(let scheme): scheme
    case .keep: SourceFormat.commonScheme(formats)
    // What is quantized already is never quantized again.
    case .automatic: SourceFormat.keptScheme(formats) ?? fallback
    }
  }

  private mutating func override(_ name: String) -> SchemeChoice? {
    names.append(name)
    var choice: SchemeChoice?
    for (at, override) in options.overrides.enumerated() where override.matches(name) {
      used.insert(at)
      choice = override.choice
    }
    return choice
  }

  /// - Throws: `Failure(.usage)` for a pattern that matched no tensor: it would silently do nothing.
  func checkOverrides() throws(Failure) {
    for (at, override) in options.overrides.enumerated() where !used.contains(at) {
      let examples = [names.first, names.last].compactMap { $0 }.joined(separator: " or ")
      throw Failure(
        .usage, "--override", at: "\"\(override.pattern)\"", "matches no matrix of this model",
        remedy: "Names look like \(examples)")
    }
  }
}
