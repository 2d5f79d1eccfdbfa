/// Floats as Python writes them.
enum FloatText {
  /// `repr`: the fewest digits that read back the same, an exponent below 1e-4 and from 1e16 on.
  static func shortest(_ value: Double) -> String {
    guard value.isFinite else { return value.isNaN ? "nan" : value < 0 ? "-inf" : "inf" }
    let (digits, exponent) = decimal(value)
    let sign = value.sign == .minus ? "-" : ""
    if exponent < -4 || exponent >= 16 {
      let rest = String(digits.dropFirst())
      return sign + String(digits.prefix(1)) + (rest.isEmpty ? "" : "." + rest)
        + self.exponent(exponent)
    }
    if exponent < 0 {
      return sign + "0." + String(repeating: "0", count: -exponent - 1) + digits
    }
    let whole = exponent + 1
    if digits.count <= whole {
      return sign + digits + String(repeating: "0", count: whole - digits.count) + ".0"
    }
    return sign + String(digits.prefix(whole)) + "." + String(digits.dropFirst(whole))
  }

  /// `e+05`: a sign and at least two digits.
  static func exponent(_ value: Int) -> String {
    let digits = String(abs(value))
    return "e" + (value < 0 ? "-" : "+") + (digits.count < 2 ? "0" : "") + digits
  }

  /// The shortest digits that identify a finite value, and the power of ten of the first one.
  private static func decimal(_ value: Double) -> (digits: String, exponent: Int) {
    if value == 0 { return ("0", 0) }
    // Swift's description has the right digits, laid out by other rules.
    var digits = ""
    var exponent = 0
    var point: Int?
    var text = Substring(value.magnitude.description)
    if let mark = text.firstIndex(of: "e") {
      exponent = Int(text[text.index(after: mark)...]) ?? 0
      text = text[..<mark]
    }
    for character in text {
      if character == "." { point = digits.count } else { digits.append(character) }
    }
    exponent += (point ?? digits.count) - 1
    let zeros = digits.prefix { $0 == "0" }.count
    digits.removeFirst(zeros)
    exponent -= zeros
    while digits.count > 1, digits.hasSuffix("0") { digits.removeLast() }
    return (digits, exponent)
  }
}
