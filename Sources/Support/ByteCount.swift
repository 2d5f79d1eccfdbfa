/// Byte counts as people write them: `6GB`, `6GiB`, `512MB`, `20000000`.
public enum ByteCount {
  private static let units: [(suffix: String, factor: Int)] = [
    ("kib", 1 << 10), ("mib", 1 << 20), ("gib", 1 << 30), ("tib", 1 << 40),
    ("kb", 1000), ("mb", 1_000_000), ("gb", 1_000_000_000), ("tb", 1_000_000_000_000),
    ("k", 1000), ("m", 1_000_000), ("g", 1_000_000_000), ("t", 1_000_000_000_000), ("b", 1),
  ]

  /// Parses a size; decimal fractions are allowed in front of a unit (`1.5GB`).
  /// Returns nil for anything else, negative and overflowing values included.
  public static func parse(_ text: String) -> Int? {
    let lower = trimmed(text.lowercased()[...])
    for unit in units where lower.hasSuffix(unit.suffix) {
      return scaled(trimmed(lower.dropLast(unit.suffix.count)), by: unit.factor)
    }
    return scaled(lower, by: 1)
  }

  private static func trimmed(_ text: Substring) -> Substring {
    var result = text.drop { $0 == " " }
    while result.last == " " { result.removeLast() }
    return result
  }

  private static func scaled(_ text: Substring, by factor: Int) -> Int? {
    // 20_000_000 is a number; _5 and 5_ are not.
    guard let first = text.first, first.isNumber, let last = text.last, last.isNumber else {
      return nil
    }
    let digits = text.filter { $0 != "_" }
    guard digits.allSatisfy({ "0123456789.".contains($0) }) else { return nil }
    if let whole = Int(digits) {
      let (product, overflow) = whole.multipliedReportingOverflow(by: factor)
      return overflow ? nil : product
    }
    // There are no fractions of a byte.
    guard factor > 1, let value = Double(digits), (value * Double(factor)).isFinite,
      value * Double(factor) < Double(Int.max) / 2
    else { return nil }
    return Int((value * Double(factor)).rounded())
  }

  /// Three significant figures in decimal units: `17.2 GB`, `952 KB`, `12 B`.
  public static func format(_ bytes: Int) -> String {
    let magnitude = Double(bytes.magnitude)
    for (factor, unit) in [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "KB")]
    where magnitude >= factor * 0.9995 {
      return significant(Double(bytes) / factor) + " " + unit
    }
    return "\(bytes) B"
  }

  /// A number with three significant figures and no exponent: `17.2`, `1.77`, `952`.
  public static func significant(_ value: Double) -> String {
    let magnitude = abs(value)
    return fixed(value, digits: magnitude >= 99.95 ? 0 : magnitude >= 9.995 ? 1 : 2)
  }

  /// A number with a fixed count of decimals (no locale, no exponent).
  public static func fixed(_ value: Double, digits: Int) -> String {
    let magnitude = abs(value)
    guard magnitude < 9e18 else { return "\(value)" }
    var factor = 1
    for _ in 0..<digits { factor *= 10 }
    // Whole and fraction apart: their product with the factor would lose digits.
    var whole = Int(magnitude)
    var fraction = Int(((magnitude - Double(whole)) * Double(factor)).rounded())
    if fraction == factor {
      whole += 1
      fraction = 0
    }
    let text = (value < 0 && (whole > 0 || fraction > 0) ? "-" : "") + String(whole)
    guard digits > 0 else { return text }
    let decimals = String(fraction)
    return text + "." + String(repeating: "0", count: digits - decimals.count) + decimals
  }
}
