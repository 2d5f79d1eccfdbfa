import Support

/// Tokens and their ids: one arena of bytes, spans by id and an open-addressing index.
///
/// A vocabulary of 150 000 entries takes about 4 MB, a tenth of what a dictionary of strings would.
struct Vocabulary: Sendable {
  struct Kind: OptionSet, Sendable {
    let rawValue: UInt8
    /// In the model's own vocabulary.
    static let model = Kind(rawValue: 1)
    /// In `added_tokens`.
    static let added = Kind(rawValue: 2)
    /// An added token that decoding can skip.
    static let special = Kind(rawValue: 4)
  }

  struct Entry: Sendable {
    var offset: UInt32
    var length: UInt32
    static let absent = Entry(offset: .max, length: 0)
  }

  fileprivate(set) var arena: [UInt8] = []
  fileprivate(set) var entries: [Entry] = []
  fileprivate(set) var kinds: [Kind] = []
  /// id + 1, or 0 where free; the count is a power of two.
  fileprivate var slots: [UInt32] = [UInt32](repeating: 0, count: 256)
  private(set) var count = 0

  /// No tokenizer is near this; ids beyond it are nonsense.
  static let maximumID = 1 << 24

  /// Highest id + 1.
  var size: Int { entries.count }

  func contains(_ id: Int) -> Bool {
    id >= 0 && id < entries.count && entries[id].offset != UInt32.max
  }

  func kind(_ id: Int) -> Kind { contains(id) ? kinds[id] : [] }

  /// The token's bytes as the file spells it; empty for an unknown id.
  func bytes(_ id: Int) -> ArraySlice<UInt8> {
    guard contains(id) else { return [] }
    let entry = entries[id]
    return arena[Int(entry.offset)..<Int(entry.offset) + Int(entry.length)]
  }

  func id(_ token: UnsafeBufferPointer<UInt8>) -> Int? {
    let slot = slots[slot(of: token)]
    return slot == 0 ? nil : Int(slot) - 1
  }

  func id(_ token: some Collection<UInt8>) -> Int? {
    Array(token).withUnsafeBufferPointer { id($0) }
  }

  /// Where the token stands in the index, or the free place where it would.
  private func slot(of token: UnsafeBufferPointer<UInt8>) -> Int {
    // The standard hasher is seeded, so no file can be made to collide on purpose.
    var hasher = Hasher()
    hasher.combine(bytes: UnsafeRawBufferPointer(token))
    let mask = slots.count - 1
    var at = hasher.finalize() & mask
    while slots[at] != 0 {
      let entry = entries[Int(slots[at]) - 1]
      if Int(entry.length) == token.count {
        let start = Int(entry.offset)
        let equal = arena.withUnsafeBufferPointer { arena in
          arena[start..<start + token.count].elementsEqual(token)
        }
        if equal { return at }
      }
      at = (at + 1) & mask
    }
    return at
  }

  enum Conflict: Error {
    case token(Int)
    case id
    case tooLarge
  }

  /// Adds a token under an id that must be free, as the token must be new.
  mutating func add(_ token: UnsafeBufferPointer<UInt8>, id: Int, kind: Kind, idLimit: Int)
    throws(Conflict)
  {
    guard id >= 0, id < idLimit, id < Self.maximumID, arena.count + token.count < Int(UInt32.max)
    else { throw .tooLarge }
    guard !contains(id) else { throw .id }
    if (count + 1) * 4 > slots.count * 3 { grow() }
    let at = slot(of: token)
    guard slots[at] == 0 else { throw .token(Int(slots[at]) - 1) }
    while entries.count <= id {
      entries.append(.absent)
      kinds.append([])
    }
    entries[id] = Entry(offset: UInt32(arena.count), length: UInt32(token.count))
    kinds[id] = kind
    arena.append(contentsOf: token)
    slots[at] = UInt32(id + 1)
    count += 1
  }

  mutating func insert(_ kind: Kind, id: Int) { kinds[id].insert(kind) }

  private mutating func grow() {
    let old = slots
    slots = [UInt32](repeating: 0, count: old.count * 2)
    for slot in old where slot != 0 {
      let entry = entries[Int(slot) - 1]
      let range = Int(entry.offset)..<Int(entry.offset) + Int(entry.length)
      let at = arena.withUnsafeBufferPointer { self.slot(of: .init(rebasing: $0[range])) }
      slots[at] = slot
    }
  }

  /// Gives back what growing left over.
  mutating func trim() {
    arena = arena.withUnsafeBufferPointer { Array($0) }
    entries = entries.withUnsafeBufferPointer { Array($0) }
    kinds = kinds.withUnsafeBufferPointer { Array($0) }
  }
}
