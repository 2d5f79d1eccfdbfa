/// One rendering under way: its budget, its clock, what has to be taken apart at its end.
final class Rendering {
  let limits: RenderingLimits
  let clock: CivilTime?
  /// Line of the statement or operation in work, for messages.
  var line = 1
  private var stepsLeft: Int
  private var bytesLeft: Int
  private(set) var depth = 0
  /// Where text goes; macros and blocks write to a buffer of their own.
  var output: [Scalar] = []
  /// Scopes and objects that may refer to each other in circles or in long chains.
  private var breakable: [any Breakable] = []

  /// - Parameter inputBytes: the size of what is rendered, with which the bounds grow.
  init(limits: RenderingLimits, clock: CivilTime?, inputBytes: Int) {
    self.limits = limits
    self.clock = clock
    stepsLeft = limits.steps + 16 * inputBytes
    bytesLeft = limits.bytes + 64 * inputBytes
  }

  /// Takes references apart one by one: circles would never be freed, and freeing a long chain
  /// at once would overflow the stack.
  func finish() {
    for object in breakable { object.breakReferences() }
    breakable = []
  }

  func keep(_ object: any Breakable) { breakable.append(object) }

  // MARK: Budget

  @inline(__always)
  func step(_ count: Int = 1) throws(Problem) {
    stepsLeft -= count
    if stepsLeft < 0 {
      throw Problem(
        .limit, "more than \(limits.steps) steps",
        remedy: "The template loops without end, or too often")
    }
  }

  /// Counts memory before it is taken.
  func charge(bytes: Int) throws(Problem) {
    bytesLeft -= bytes
    if bytesLeft < 0 {
      throw Problem(
        .limit, "more than \(limits.bytes) bytes of text and lists",
        remedy: "The template repeats or copies text without measure")
    }
    // Work grows with memory.
    try step(bytes / 64)
  }

  /// The same for a string of `characters`.
  func charge(characters: Int) throws(Problem) {
    try charge(bytes: characters > Int.max / 16 ? Int.max / 2 : 4 * characters)
  }

  func check(depth: Int) throws(Problem) {
    if depth > limits.valueDepth {
      throw Problem(
        .limit, "lists or dicts in more than \(limits.valueDepth) levels",
        remedy: "The template nests values without end")
    }
  }

  func enter() throws(Problem) {
    depth += 1
    if depth > limits.recursion {
      throw Problem(
        .limit, "more than \(limits.recursion) levels of calls and blocks",
        remedy: "A macro or loop of the template calls itself without end")
    }
  }

  @inline(__always)
  func leave() { depth -= 1 }

  // MARK: Output

  func write(_ text: Text) throws(Problem) {
    try charge(characters: text.count)
    output.append(contentsOf: text.scalars)
  }

  /// Runs `body` with an output of its own and returns what it wrote.
  func capture(_ body: () throws(Problem) -> Void) throws(Problem) -> Text {
    let outer = output
    output = []
    defer { output = outer }
    try body()
    return Text(output)
  }

  // MARK: Values

  private func depth(of values: [Value]) throws(Problem) -> Int {
    var deepest = 0
    for value in values { deepest = max(deepest, value.depth) }
    try check(depth: deepest + 1)
    return deepest + 1
  }

  func items(_ values: [Value]) throws(Problem) -> Items {
    try charge(bytes: 16 * values.count + 48)
    return Items(values, depth: try depth(of: values))
  }

  func list(_ values: [Value]) throws(Problem) -> Value { .list(try items(values)) }
  func tuple(_ values: [Value]) throws(Problem) -> Value { .tuple(try items(values)) }

  func list(_ texts: [Text]) throws(Problem) -> Value {
    var characters = 0
    for text in texts { characters += text.count + 8 }
    try charge(characters: characters)
    return try list(texts.map(Value.string))
  }

  /// A generator over values that are computed already.
  func iterator(_ values: [Value], kind: String = "generator") throws(Problem) -> Value {
    try charge(bytes: 16 * values.count + 64)
    return .object(Iterator(kind, values, depth: try depth(of: values)))
  }

  func string(_ text: Text) throws(Problem) -> Value {
    try charge(characters: text.count)
    return .string(text)
  }

  /// `count` copies; refused before memory is taken.
  func repeated(_ text: Text, _ count: Int) throws(Problem) -> Text {
    guard count > 0, !text.isEmpty else { return Text([], isSafe: text.isSafe) }
    let (total, overflow) = text.count.multipliedReportingOverflow(by: count)
    try charge(characters: overflow ? Int.max : total)
    var scalars: [Scalar] = []
    scalars.reserveCapacity(total)
    for _ in 0..<count { scalars.append(contentsOf: text.scalars) }
    return Text(scalars, isSafe: text.isSafe)
  }

  func spaces(_ count: Int) throws(Problem) -> Text { try repeated(" ", count) }
}

/// Something that may be part of a circle or long chain of references.
protocol Breakable: AnyObject {
  func breakReferences()
}

/// Bounds of one rendering.
public struct RenderingLimits: Sendable {
  /// Operations.
  public var steps = 20_000_000
  /// Text and lists created in all.
  public var bytes = 128 << 20
  /// Statements, expressions and calls inside each other.
  public var recursion = 400
  /// Containers inside each other.
  public var valueDepth = 200

  public init() {}
}
