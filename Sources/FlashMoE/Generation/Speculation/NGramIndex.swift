/// Where the last few tokens occurred before: what followed them then is a draft of what follows
/// now.
///
/// Constant work for each token, memory fixed at creation, and no chance in it: the same tokens
/// give the same drafts.
struct NGramIndex {
  /// An earlier occurrence of the last tokens.
  struct Match: Equatable {
    /// Place of the token after it.
    var next: Int
    /// Tokens that agree, as far as they are compared.
    var length: Int
  }

  static let shortest = 2
  static let longest = 4
  /// Matches are followed backwards no further than this.
  static let comparedLength = 16

  private(set) var tokens: [Int32] = []
  /// [n][hash]: `forgotten` and the place after the latest n-gram with this hash; what is not above
  /// `forgotten` belongs to an earlier text.
  private var places: [Int32]
  private var forgotten: Int32 = 0
  private let tableSize: Int

  /// - Parameter contextLength: tokens it is made for.
  init(contextLength: Int) {
    tableSize = Self.tableSize(contextLength)
    tokens.reserveCapacity(contextLength + 1)
    places = [Int32](repeating: 0, count: Self.orders * tableSize)
  }

  private static var orders: Int { longest - shortest + 1 }

  /// A power of two, no less than the n-grams of an order up to 16,384.
  private static func tableSize(_ contextLength: Int) -> Int {
    var size = 256
    while size < contextLength, size < 16384 { size *= 2 }
    return size
  }

  static func bytes(contextLength: Int) -> Int {
    (contextLength + 1 + orders * tableSize(contextLength)) * MemoryLayout<Int32>.size
  }

  mutating func removeAll() {
    let (sum, overflows) = forgotten.addingReportingOverflow(Int32(clamping: tokens.count))
    // Places of the next text may not pass the greatest number either.
    if overflows || sum > Int32.max / 2 {
      for at in places.indices { places[at] = 0 }
      forgotten = 0
    } else {
      forgotten = sum
    }
    tokens.removeAll(keepingCapacity: true)
  }

  /// Adds a token.
  ///
  /// The n-grams before it are entered now, since now they have a successor: a look-up can
  /// therefore not find the tokens it asks with.
  mutating func append(_ token: Int32) {
    var hash = SuffixHash()
    for n in 1...Self.longest where n <= tokens.count {
      hash.add(tokens[tokens.count - n])
      if n >= Self.shortest { places[slot(n, hash)] = forgotten &+ Int32(clamping: tokens.count) }
    }
    tokens.append(token)
  }

  /// The latest earlier occurrence of the longest suffix that has one.
  func match() -> Match? {
    var found = 0
    var hash = SuffixHash()
    for n in 1...Self.longest where n <= tokens.count {
      hash.add(tokens[tokens.count - n])
      guard n >= Self.shortest else { continue }
      let next = Int(places[slot(n, hash)] &- forgotten)
      // Another n-gram with this hash may have taken the place.
      if next > 0, agree(next, tokens.count, n) { found = next }
    }
    guard found > 0 else { return nil }
    var length = Self.shortest
    while length < Self.comparedLength, length < found,
      tokens[found - 1 - length] == tokens[tokens.count - 1 - length]
    {
      length += 1
    }
    return Match(next: found, length: length)
  }

  /// Appends `count` tokens that followed a match; past the end of the text the draft follows
  /// itself, as a loop does.
  func draft(_ match: Match, count: Int, into draft: inout [Int32]) {
    let start = draft.count
    for at in 0..<count {
      let place = match.next + at
      draft.append(place < tokens.count ? tokens[place] : draft[start + place - tokens.count])
    }
  }

  /// Whether the n tokens before two places agree.
  private func agree(_ left: Int, _ right: Int, _ n: Int) -> Bool {
    for back in 1...n where tokens[left - back] != tokens[right - back] { return false }
    return true
  }

  @inline(__always)
  private func slot(_ n: Int, _ hash: SuffixHash) -> Int {
    (n - Self.shortest) * tableSize + Int(hash.value) & (tableSize - 1)
  }

  /// Hash of tokens taken from the last backwards, so that each order continues the one below.
  private struct SuffixHash {
    var value: UInt32 = 0

    @inline(__always)
    mutating func add(_ token: Int32) {
      value = (value ^ UInt32(bitPattern: token)) &* 0x9E37_79B1
      value ^= value >> 15
    }
  }
}
