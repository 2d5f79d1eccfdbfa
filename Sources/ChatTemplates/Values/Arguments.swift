/// What a function, filter, test or macro is called with.
struct Arguments {
  var positional: [Value] = []
  var named: [(name: Text, value: Value)] = []

  init(_ positional: [Value] = [], named: [(name: Text, value: Value)] = []) {
    self.positional = positional
    self.named = named
  }

  var isEmpty: Bool { positional.isEmpty && named.isEmpty }

  /// Assigns arguments to parameters by place and by name.
  ///
  /// - Throws: what is too much, unknown, given twice, or missing among the first `required`.
  func bind(_ function: String, _ parameters: [String], required: Int = 0) throws(Problem) -> Bound
  {
    guard positional.count <= parameters.count else {
      throw .value(
        "\(function)() takes at most \(parameters.count) arguments (\(positional.count) given)")
    }
    var values: [Value?] = positional
    values += Array(repeating: nil, count: parameters.count - positional.count)
    for (name, value) in named {
      guard let at = parameters.firstIndex(of: name.string) else {
        throw .value("\(function)() got an unexpected keyword argument '\(name.string)'")
      }
      guard values[at] == nil else {
        throw .value("\(function)() got multiple values for argument '\(name.string)'")
      }
      values[at] = value
    }
    for at in 0..<required where values[at] == nil {
      throw .value("\(function)() misses its argument '\(parameters[at])'")
    }
    return Bound(function: function, parameters: parameters, values: values)
  }
}

/// Arguments in order of a function's parameters.
struct Bound {
  let function: String
  let parameters: [String]
  private let values: [Value?]

  init(function: String, parameters: [String], values: [Value?]) {
    self.function = function
    self.parameters = parameters
    self.values = values
  }

  subscript(at: Int) -> Value? { values[at] }

  func value(_ at: Int) throws(Problem) -> Value {
    guard let value = values[at] else {
      throw .value("\(function)() misses its argument '\(parameters[at])'")
    }
    return value
  }

  private func wrong(_ at: Int, _ expected: String, _ value: Value) -> Problem {
    if case .undefined(let missing) = value { return missing.problem }
    return .value(
      "\(function)(): '\(parameters[at])' must be \(expected), not '\(value.typeName)'")
  }

  func int(_ at: Int, default fallback: Int? = nil) throws(Problem) -> Int {
    guard let value = values[at] else {
      if let fallback { return fallback }
      throw .value("\(function)() misses its argument '\(parameters[at])'")
    }
    guard let integer = value.integer else { throw wrong(at, "an integer", value) }
    return integer
  }

  func text(_ at: Int, default fallback: Text? = nil) throws(Problem) -> Text {
    guard let value = values[at] else {
      if let fallback { return fallback }
      throw .value("\(function)() misses its argument '\(parameters[at])'")
    }
    guard let text = value.string else { throw wrong(at, "a string", value) }
    return text
  }

  /// A string, or nil where the argument is absent or None.
  func optionalText(_ at: Int) throws(Problem) -> Text? {
    guard let value = values[at], !value.isNone else { return nil }
    guard let text = value.string else { throw wrong(at, "a string or None", value) }
    return text
  }

  func optionalInt(_ at: Int) throws(Problem) -> Int? {
    guard let value = values[at], !value.isNone else { return nil }
    guard let integer = value.integer else { throw wrong(at, "an integer or None", value) }
    return integer
  }

  func flag(_ at: Int, default fallback: Bool = false) -> Bool { values[at]?.isTrue ?? fallback }
}
