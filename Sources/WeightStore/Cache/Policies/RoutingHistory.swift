/// What routers chose at the last tokens, and where the present token stood before.
///
/// Text repeats itself: what followed a token last time tells what will follow it now.  A ring of
/// positions holds the chosen experts of every layer; positions of equal tokens are linked, the
/// latest first.
struct RoutingHistory: Sendable {
  /// Positions that are remembered.
  static let capacity = 4096
  /// Earlier places of a token that are looked at.
  static let matchLimit = 16
  /// Links followed in search of them: other tokens with the same hash lie in between.
  private static let linkLimit = 64
  private static let headCount = 1024
  private static let none = UInt16.max

  private let layerCount: Int
  private let expertsPerToken: Int
  /// [capacity][layer][k]
  private var chosen: [UInt16]
  /// [capacity]
  private var tokens: [Int32]
  /// [capacity] how far back the position before with the same hash is; 0 when it is forgotten.
  private var links: [UInt16]
  /// The last position by hash, or -1.
  private var heads: [Int]
  /// Positions so far.
  private var count = 0
  /// Position of the step's first token.
  private var stepStart = 0
  private var matches: [Int]
  private(set) var matchCount = 0

  init(layerCount: Int, expertsPerToken: Int) {
    self.layerCount = layerCount
    self.expertsPerToken = expertsPerToken
    let capacity = layerCount == 0 ? 0 : Self.capacity
    chosen = Array(repeating: Self.none, count: capacity * layerCount * expertsPerToken)
    tokens = Array(repeating: -1, count: capacity)
    links = Array(repeating: 0, count: capacity)
    heads = Array(repeating: -1, count: layerCount == 0 ? 0 : Self.headCount)
    matches = Array(repeating: 0, count: Self.matchLimit)
  }

  /// Memory it takes.
  static func byteCount(layerCount: Int, expertsPerToken: Int) -> Int {
    capacity
      * (layerCount * expertsPerToken * MemoryLayout<UInt16>.stride
        + MemoryLayout<Int32>.stride + MemoryLayout<UInt16>.stride)
      + headCount * MemoryLayout<Int>.stride
  }

  /// A step begins; what followed its last token before can be asked for then.
  mutating func begin(_ step: UnsafeBufferPointer<Int32>) {
    stepStart = count
    matchCount = 0
    let width = layerCount * expertsPerToken
    for token in step {
      let slot = count % Self.capacity
      tokens[slot] = token
      for at in slot * width..<(slot + 1) * width { chosen[at] = Self.none }
      let hash = Self.hash(token)
      links[slot] = isKept(heads[hash]) ? UInt16(count - heads[hash]) : 0
      heads[hash] = count
      count += 1
    }
    if let last = step.last { match(last) }
  }

  /// Whether no row of the step comes after this one.
  func isLast(row: Int) -> Bool { stepStart + row + 1 == count }

  private static func hash(_ token: Int32) -> Int {
    Int((UInt32(bitPattern: token) &* 2_654_435_761) >> 22)
  }

  /// Whether a position was not overwritten yet.
  private func isKept(_ position: Int) -> Bool { position >= 0 && position > count - Self.capacity }

  private mutating func match(_ token: Int32) {
    var position = count - 1
    for _ in 0..<Self.linkLimit {
      let link = Int(links[position % Self.capacity])
      position -= link
      guard link > 0, isKept(position), matchCount < Self.matchLimit else { return }
      guard tokens[position % Self.capacity] == token else { continue }
      matches[matchCount] = position
      matchCount += 1
    }
  }

  /// Notes what a row of the step chose.
  mutating func record(layer: Int, row: Int, experts: UnsafeBufferPointer<Int32>) {
    let position = stepStart + row
    guard position < count, isKept(position) else { return }
    let first = (position % Self.capacity * layerCount + layer) * expertsPerToken
    for (at, expert) in experts.prefix(expertsPerToken).enumerated() {
      chosen[first + at] = UInt16(truncatingIfNeeded: expert)
    }
  }

  /// Adds `weight` for each expert of a layer each time it was chosen `distance` tokens after an
  /// earlier place of the present token.
  ///
  /// - Returns: the number of earlier places that were so followed.
  func add(
    _ weight: Float, distance: Int, layer: Int, to estimate: UnsafeMutableBufferPointer<Float>
  ) -> Int {
    var found = 0
    for match in matches[..<matchCount] {
      let position = match + distance
      guard position < count else { continue }
      let first = (position % Self.capacity * layerCount + layer) * expertsPerToken
      guard chosen[first] != Self.none else { continue }
      found += 1
      for expert in chosen[first..<first + expertsPerToken] where Int(expert) < estimate.count {
        estimate[Int(expert)] += weight
      }
    }
    return found
  }
}
