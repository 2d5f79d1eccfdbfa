/// The one error type of FlashMoE: what went wrong, where, and what would help.
///
/// It prints as one sentence a user can act on:
/// `experts/layer-03.bin, expert 17, offset 4096: checksum mismatch. Run 'flashmoe verify' …`
public struct Failure: Error, Sendable, Equatable, CustomStringConvertible {
  public enum Kind: String, Sendable {
    /// A flag or argument cannot mean anything.
    case usage
    /// A file is not what its format says.
    case malformed
    /// Two things that must agree do not (shape, version, count).
    case mismatch
    /// Bytes changed since they were written.
    case corrupt
    /// The operating system refused or cut short an operation.
    case io
    /// Not enough space on a disk.
    case noSpace
    /// The memory budget cannot hold what was asked for.
    case budget
    /// Understood, but not something this build can do.
    case unsupported
    case notFound
    case cancelled
  }

  public var kind: Kind
  /// The file, flag or component the failure is about.
  public var subject: String
  /// Where inside the subject: a tensor, a line, an offset.
  public var place: String?
  public var problem: String
  /// What the user can do next.
  public var remedy: String?

  public init(
    _ kind: Kind, _ subject: String, at place: String? = nil, _ problem: String,
    remedy: String? = nil
  ) {
    self.kind = kind
    self.subject = subject
    self.place = place
    self.problem = problem
    self.remedy = remedy
  }

  public var description: String {
    var text = subject
    if let place { text += ", \(place)" }
    text += ": \(problem)"
    if let remedy { text += ". \(remedy)" }
    return text
  }
}
