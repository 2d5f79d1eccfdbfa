/// What went wrong inside a template, before its name and line are known.
struct Problem: Error, Sendable {
  enum Kind: Sendable {
    /// The source cannot be read.
    case syntax
    /// `raise_exception`: the template refuses the messages.
    case raised
    /// Something missing was used.
    case undefined
    /// An operation that Python has not for these values.
    case value
    /// Something the sandbox forbids.
    case security
    /// A bound was passed.
    case limit
    /// Known, and not done here.
    case unsupported
  }

  var kind: Kind
  var message: String
  var remedy: String?

  init(_ kind: Kind, _ message: String, remedy: String? = nil) {
    self.kind = kind
    self.message = message
    self.remedy = remedy
  }

  static func value(_ message: String) -> Problem { Problem(.value, message) }
}
