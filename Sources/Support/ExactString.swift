/// A string compared and hashed by its UTF-8 bytes.
///
/// Swift's `String` treats canonically equivalent texts as equal: `"é"` written with one code
/// point or with two is the same dictionary key.  Vocabularies and JSON objects hold both as
/// different entries.  Comparing bytes is also faster, since nothing is normalized.
public struct ExactString: Hashable, Sendable {
  public let text: String

  public init(_ text: String) { self.text = text }

  public static func == (left: ExactString, right: ExactString) -> Bool {
    left.text.utf8.count == right.text.utf8.count && left.text.utf8.elementsEqual(right.text.utf8)
  }

  public func hash(into hasher: inout Hasher) {
    var contiguous = text
    contiguous.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    // Ends the string, so that ("ab", "c") and ("a", "bc") differ.
    hasher.combine(0xFF as UInt8)
  }
}
