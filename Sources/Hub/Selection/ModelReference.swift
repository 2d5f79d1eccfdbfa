import Support

/// A model as users name it: `ORG/NAME`, `ORG/NAME:REVISION` or `ORG/NAME:QUANT`.
public struct ModelReference: Sendable, Equatable {
  public let organization: String
  public let name: String
  /// What follows the colon: a GGUF quantization or a revision, which only the hub can tell.
  public let tag: String?

  public var repository: String { "\(organization)/\(name)" }

  /// Addresses that people copy from a browser or type for other programs.
  private static let prefixes = [
    "https://huggingface.co/", "http://huggingface.co/", "huggingface.co/", "https://hf.co/",
    "hf.co/",
  ]

  public init(parsing text: String) throws(Failure) {
    var rest = text[...]
    for prefix in Self.prefixes where rest.hasPrefix(prefix) {
      rest = rest.dropFirst(prefix.count)
      break
    }
    var tag: String?
    if let colon = rest.firstIndex(of: ":") {
      tag = String(rest[rest.index(after: colon)...])
      rest = rest[..<colon]
    }
    let parts = rest.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 2, parts.allSatisfy(Self.isName) else {
      throw Failure(
        .usage, text, "is not a model's name",
        remedy: "Names look like ORG/NAME, for example Qwen/Qwen3-30B-A3B; :REVISION or, for GGUF,"
          + " :Q4_0 may follow")
    }
    if let tag { try Self.checkRevision(tag, in: text) }
    organization = parts[0]
    name = parts[1]
    self.tag = tag
  }

  /// Revisions become part of an address and quantizations part of a path.
  static func checkRevision(_ revision: String, in text: String) throws(Failure) {
    let allowed = revision.utf8.allSatisfy { $0.isNameByte || $0 == UInt8(ascii: "/") }
    guard allowed, !revision.isEmpty, revision.utf8.count <= 200, !revision.contains(".."),
      !revision.hasPrefix("/"), !revision.hasSuffix("/")
    else {
      throw Failure(
        .usage, text, "\"\(revision)\" is neither a revision nor a quantization",
        remedy: "Give a branch, a tag, a commit, or, for GGUF, a quantization such as Q4_0")
    }
  }

  private static func isName(_ part: String) -> Bool {
    guard let first = part.utf8.first, part.utf8.count <= 96, first != UInt8(ascii: "."),
      first != UInt8(ascii: "-")
    else { return false }
    return part.utf8.allSatisfy(\.isNameByte)
  }
}

extension UInt8 {
  /// A letter or digit, or one of `._-`: what names of repositories and revisions are made of.
  var isNameByte: Bool {
    switch self {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"),
      UInt8(ascii: "-"):
      true
    default: false
    }
  }
}
