typealias Scalar = Unicode.Scalar

/// A Python string: an array of Unicode scalars.
///
/// Templates index, slice and measure strings by code points; with an array that takes constant
/// time, and `"e"` followed by a combining accent stays two.
struct Text: Hashable, Sendable, ExpressibleByStringLiteral {
  var scalars: [Scalar]
  /// Marked by `safe` or `escape`: HTML that needs no escaping (Jinja's `Markup`).
  var isSafe = false

  init(_ scalars: [Scalar] = [], isSafe: Bool = false) {
    self.scalars = scalars
    self.isSafe = isSafe
  }

  init(_ scalars: ArraySlice<Scalar>) { self.scalars = Array(scalars) }
  init(_ string: some StringProtocol) { scalars = Array(string.unicodeScalars) }
  init(stringLiteral value: String) { scalars = Array(value.unicodeScalars) }

  var count: Int { scalars.count }
  var isEmpty: Bool { scalars.isEmpty }

  var string: String {
    var view = String.UnicodeScalarView()
    view.append(contentsOf: scalars)
    return String(view)
  }

  static func == (left: Text, right: Text) -> Bool { left.scalars == right.scalars }
  func hash(into hasher: inout Hasher) { hasher.combine(scalars) }

  static func < (left: Text, right: Text) -> Bool {
    left.scalars.lexicographicallyPrecedes(right.scalars)
  }

  static func + (left: Text, right: Text) -> Text { Text(left.scalars + right.scalars) }

  func hasPrefix(_ prefix: Text) -> Bool { scalars.starts(with: prefix.scalars) }
  func hasSuffix(_ suffix: Text) -> Bool {
    suffix.count <= count && scalars[(count - suffix.count)...].elementsEqual(suffix.scalars)
  }
}

extension Unicode.Scalar {
  /// `str.isspace` for one character, which is also `\s` of Python's expressions.
  var isPythonSpace: Bool {
    switch value {
    case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F,
      0x205F, 0x3000:
      true
    default: false
    }
  }

  /// Ends a line for `str.splitlines`.
  var isLineEnd: Bool {
    switch value {
    case 0x0A...0x0D, 0x1C...0x1E, 0x85, 0x2028, 0x2029: true
    default: false
    }
  }

  /// `\w` of Python's expressions: `str.isalnum` or the underscore.
  var isWord: Bool { self == "_" || isAlphanumeric }

  var isAlphanumeric: Bool {
    if value < 0x80 {
      return ("0"..."9").contains(self) || ("a"..."z").contains(self) || ("A"..."Z").contains(self)
    }
    return isLetter || properties.numericType != nil
  }

  /// `str.isalpha` for one character.
  var isLetter: Bool {
    switch properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
    default: false
    }
  }

  /// `str.isprintable` for one character: what `repr` writes as it is.
  var isPrintable: Bool {
    if value < 0x7F { return value >= 0x20 }
    switch properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator,
      .paragraphSeparator, .spaceSeparator:
      return false
    default: return true
    }
  }

  var isASCIIDigit: Bool { ("0"..."9").contains(self) }
}
