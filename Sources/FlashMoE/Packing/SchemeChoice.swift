import Glibc
import Support
import WeightStore

/// What a user asks a tensor to be stored as.
public enum SchemeChoice: Sendable, Equatable {
  /// The part's default: experts 4-bit, residents 8-bit, and quantized sources as they are.
  case automatic
  /// The source's own numbers, losslessly.
  case keep
  case scheme(Scheme)

  /// Reads `auto`, `none` (or `keep`), or a scheme's name.
  ///
  /// - Throws: `Failure(.usage)` that lists what is known.
  public init(parsing text: String, flag: String = "--scheme") throws(Failure) {
    switch text.lowercased() {
    case "auto", "automatic", "default": self = .automatic
    case "none", "keep": self = .keep
    default:
      guard let scheme = Scheme(userName: text) else {
        let known = Scheme.allCases.map(\.rawValue).joined(separator: ", ")
        throw Failure(
          .usage, flag, "\"\(text)\" is not a scheme", remedy: "Use none, auto, \(known)")
      }
      self = .scheme(scheme)
    }
  }

  public var name: String {
    switch self {
    case .automatic: "auto"
    case .keep: "none"
    case .scheme(let scheme): scheme.rawValue
    }
  }
}

/// A choice for the tensors whose store name matches a pattern.
///
/// Resident tensors have their published names (`model.layers.0.self_attn.q_proj.weight`); the
/// sections of a layer's records are `layers.N.experts.gate_up` and `layers.N.experts.down`.
public struct SchemeOverride: Sendable, Equatable {
  /// Shell wildcards: `*` any run of characters (dots too), `?` one, `[…]` one of a set.  It must
  /// cover the whole name.
  public var pattern: String
  public var choice: SchemeChoice

  public init(pattern: String, choice: SchemeChoice) {
    self.pattern = pattern
    self.choice = choice
  }

  /// Reads `PATTERN=SCHEME`, for example `*.down=q8`.
  public init(parsing text: String, flag: String = "--override") throws(Failure) {
    guard let equals = text.lastIndex(of: "="), equals != text.startIndex else {
      throw Failure(
        .usage, flag, "\"\(text)\" is not PATTERN=SCHEME", remedy: "For example '*.down=q8'")
    }
    pattern = String(text[..<equals])
    choice = try SchemeChoice(parsing: String(text[text.index(after: equals)...]), flag: flag)
  }

  public func matches(_ name: String) -> Bool { fnmatch(pattern, name, 0) == 0 }
}

/// What decides a store's schemes and name.
public struct PackingOptions: Sendable {
  public var experts: SchemeChoice
  public var residents: SchemeChoice
  /// The last one that matches a name wins over all the rest.
  public var overrides: [SchemeOverride]
  /// Searches each group's scale for the least squared error; false rounds to the absolute
  /// maximum's grid.
  public var searchesScales: Bool
  /// Fewer bits for experts that are rarely chosen; nil treats all alike.
  public var mixedPrecision: MixedPrecision?
  /// Weighs the squared errors that the search of experts' scales minimises.
  public var importance: Importance?
  /// The store's name; nil takes the checkpoint's directory or file name.
  public var name: String?

  public init(
    experts: SchemeChoice = .automatic, residents: SchemeChoice = .automatic,
    overrides: [SchemeOverride] = [], searchesScales: Bool = true, name: String? = nil
  ) {
    self.experts = experts
    self.residents = residents
    self.overrides = overrides
    self.searchesScales = searchesScales
    self.name = name
  }
}
