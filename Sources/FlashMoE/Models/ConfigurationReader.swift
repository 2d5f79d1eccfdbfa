import Support

/// Typed access to a `config.json`, with errors that name the key.
///
/// Numbers are range-checked here, so that no later arithmetic on them can overflow.
struct ConfigurationReader {
  let root: JSONValue
  let subject: String

  func failure(_ key: String, _ problem: String) -> Failure {
    Failure(.malformed, subject, at: "\"\(key)\"", problem)
  }

  func unsupported(_ key: String, _ problem: String) -> Failure {
    Failure(
      .unsupported, subject, at: "\"\(key)\"", problem,
      remedy: "This model needs a newer FlashMoE")
  }

  func value(_ keys: [String]) -> JSONValue? {
    for key in keys { if let value = root[key], !value.isNull { return value } }
    return nil
  }

  /// A whole number under the first of `keys` that is present; without `fallback` it must be.
  func integer(
    _ keys: String..., in range: ClosedRange<Int> = 1...(1 << 26), default fallback: Int? = nil
  ) throws(Failure) -> Int {
    guard let value = value(keys) else {
      if let fallback { return fallback }
      throw failure(keys[0], "is missing")
    }
    guard let integer = value.integer, range.contains(integer) else {
      throw failure(
        keys[0], "must be a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return integer
  }

  func number(_ key: String, default fallback: Double? = nil) throws(Failure) -> Double {
    guard let value = value([key]) else {
      if let fallback { return fallback }
      throw failure(key, "is missing")
    }
    guard let number = value.double, number.isFinite, abs(number) < 1e30 else {
      throw failure(key, "must be a number")
    }
    return number
  }

  func numbers(_ key: String) throws(Failure) -> [Double] {
    guard let array = value([key])?.array else { throw failure(key, "must be a list of numbers") }
    var result: [Double] = []
    for element in array {
      guard let number = element.double, number.isFinite, abs(number) < 1e30 else {
        throw failure(key, "must be a list of numbers")
      }
      result.append(number)
    }
    return result
  }

  func flag(_ key: String, default fallback: Bool) throws(Failure) -> Bool {
    guard let value = value([key]) else { return fallback }
    guard let flag = value.bool else { throw failure(key, "must be true or false") }
    return flag
  }

  func string(_ key: String) throws(Failure) -> String? {
    guard let value = value([key]) else { return nil }
    guard let text = value.string else { throw failure(key, "must be a string") }
    return text
  }

  func integers(_ key: String, in range: ClosedRange<Int>) throws(Failure) -> [Int] {
    guard let value = value([key]) else { return [] }
    if let single = value.integer, range.contains(single) { return [single] }
    guard let array = value.array else { throw failure(key, "must be a list of whole numbers") }
    var result: [Int] = []
    for element in array {
      guard let integer = element.integer, range.contains(integer) else {
        throw failure(
          key, "must hold whole numbers from \(range.lowerBound) to \(range.upperBound)")
      }
      result.append(integer)
    }
    return result
  }

  /// Refuses an option that changes the result and that the family does not implement.
  func require(_ key: String, isOneOf allowed: [String], default fallback: String) throws(Failure) {
    let found = try string(key) ?? fallback
    guard allowed.contains(found) else {
      throw unsupported(
        key, "\"\(found)\" is not supported (known: \(allowed.joined(separator: ", ")))")
    }
  }
}
