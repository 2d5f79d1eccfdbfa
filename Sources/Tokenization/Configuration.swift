import Support

/// One value of tokenizer.json together with its place in the document, read strictly: what has
/// the wrong type is malformed, what is unknown is refused by name.
struct Configuration {
  let value: JSONValue
  let subject: String
  let place: String

  func malformed(_ problem: String) -> Failure {
    Failure(
      .malformed, subject, at: place, problem,
      remedy: "Take tokenizer.json again from the model's publisher")
  }

  func unsupported(_ problem: String) -> Failure {
    Failure(.unsupported, subject, at: place, problem)
  }

  private func child(_ key: String, _ value: JSONValue) -> Configuration {
    Configuration(value: value, subject: subject, place: place.isEmpty ? key : "\(place).\(key)")
  }

  /// The member, or nil where it is absent or null.
  subscript(key: String) -> Configuration? {
    guard let found = value[key], !found.isNull else { return nil }
    return child(key, found)
  }

  func required(_ key: String) throws(Failure) -> Configuration {
    guard value.object != nil else { throw malformed("an object is expected") }
    guard let found = self[key] else { throw malformed("\"\(key)\" is missing") }
    return found
  }

  func string() throws(Failure) -> String {
    guard let string = value.string else { throw malformed("a string is expected") }
    return string
  }

  func bool() throws(Failure) -> Bool {
    guard let bool = value.bool else { throw malformed("true or false is expected") }
    return bool
  }

  /// An integer that must lie in `range`.
  func integer(in range: ClosedRange<Int>) throws(Failure) -> Int {
    guard let integer = value.integer, range.contains(integer) else {
      throw malformed("an integer from \(range.lowerBound) to \(range.upperBound) is expected")
    }
    return integer
  }

  func string(_ key: String) throws(Failure) -> String { try required(key).string() }

  func bool(_ key: String, default fallback: Bool) throws(Failure) -> Bool {
    guard let member = self[key] else { return fallback }
    return try member.bool()
  }

  func elements() throws(Failure) -> [Configuration] {
    guard let values = value.array else { throw malformed("a list is expected") }
    return values.enumerated().map { (index, value) in
      Configuration(value: value, subject: subject, place: "\(place)[\(index)]")
    }
  }

  /// The parts of a component: those of a `Sequence` in order, nested ones unfolded, or itself.
  func unfolded(_ listKey: String, depth: Int = 0) throws(Failure) -> [Configuration] {
    guard try string("type") == "Sequence" else { return [self] }
    guard depth < 8 else { throw malformed("sequences are nested too deeply") }
    var parts: [Configuration] = []
    for part in try required(listKey).elements() {
      parts += try part.unfolded(listKey, depth: depth + 1)
    }
    guard parts.count <= 64 else { throw unsupported("more than 64 parts in a sequence") }
    return parts
  }

  /// A one-character string.
  func scalar() throws(Failure) -> [UInt8] {
    let text = try string()
    guard text.unicodeScalars.count == 1 else { throw malformed("one character is expected") }
    return Array(text.utf8)
  }
}
