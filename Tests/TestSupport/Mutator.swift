/// Turns valid inputs into hostile ones: flips, cuts, repeats, splices, lying lengths and
/// numbers, words of the format in wrong places.
public struct Mutator: Sendable {
  public var random: SeededRandom
  private let seeds: [[UInt8]]
  private let dictionary: [[UInt8]]

  /// - Parameters:
  ///   - seeds: valid inputs, at least one.
  ///   - dictionary: words of the format, such as key names.
  public init(seeds: [[UInt8]], dictionary: [String] = [], seed: UInt64) {
    precondition(!seeds.isEmpty)
    self.seeds = seeds
    self.dictionary = dictionary.map { Array($0.utf8) }
    random = SeededRandom(seed: seed)
  }

  /// A seed with one to six changes.
  public mutating func next() -> [UInt8] {
    var bytes = seeds[random.below(seeds.count)]
    for _ in 0...random.below(6) { mutate(&bytes) }
    return bytes
  }

  /// Lengths, counts and offsets that readers get wrong.
  private static let extremes: [UInt64] = [
    0, 1, 2, 3, 4, 7, 8, 31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 4095, 4096, 65535, 65536,
    0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x1_0000_0000, 0x2000_0000_0000_0000,
    0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000, 0xFFFF_FFFF_FFFF_FFE0, 0xFFFF_FFFF_FFFF_FFFF,
  ]

  private static let numbers = [
    "0", "-1", "1e3", "0.5", "-0", "4294967296", "9223372036854775807", "9223372036854775808",
    "18446744073709551615", "1e999", "99999999999999999999999999", "null", "true", "\"x\"", "[]",
    "{}",
  ].map { Array($0.utf8) }

  private mutating func mutate(_ bytes: inout [UInt8]) {
    guard !bytes.isEmpty else {
      bytes = random.bytes(1 + random.below(16))
      return
    }
    switch random.below(12) {
    case 0: bytes[random.below(bytes.count)] ^= 1 << UInt8(random.below(8))
    case 1: bytes[random.below(bytes.count)] = UInt8(random.below(256))
    case 2: bytes.removeLast(random.below(bytes.count))
    case 3: bytes.removeSubrange(range(in: bytes, limit: 64))
    case 4: insert(Array(bytes[range(in: bytes, limit: 64)]), into: &bytes)
    case 5: writeExtreme(&bytes)
    case 6: addSmall(&bytes)
    case 7: replaceNumber(&bytes)
    case 8 where !dictionary.isEmpty:
      insert(dictionary[random.below(dictionary.count)], into: &bytes)
    case 9 where !dictionary.isEmpty: overwrite(dictionary[random.below(dictionary.count)], &bytes)
    case 10: splice(&bytes)
    default: insert(random.bytes(1 + random.below(8)), into: &bytes)
    }
    // Repeats must not grow without end.
    if bytes.count > 1 << 16 { bytes.removeLast(bytes.count - 1 << 16) }
  }

  private mutating func range(in bytes: [UInt8], limit: Int) -> Range<Int> {
    let start = random.below(bytes.count)
    return start..<min(bytes.count, start + 1 + random.below(limit))
  }

  private mutating func insert(_ piece: [UInt8], into bytes: inout [UInt8]) {
    bytes.insert(contentsOf: piece, at: random.below(bytes.count + 1))
  }

  private mutating func overwrite(_ piece: [UInt8], _ bytes: inout [UInt8]) {
    let start = random.below(bytes.count)
    for (at, byte) in piece.enumerated() where start + at < bytes.count { bytes[start + at] = byte }
  }

  /// A little-endian integer of 1, 2, 4 or 8 bytes; more often near the start, where headers are.
  private mutating func writeExtreme(_ bytes: inout [UInt8]) {
    let width = 1 << random.below(4)
    let value = Self.extremes[random.below(Self.extremes.count)]
    let limit = random.chance(oneIn: 2) ? min(bytes.count, 64) : bytes.count
    let start = random.below(limit)
    for at in 0..<width where start + at < bytes.count {
      bytes[start + at] = UInt8(truncatingIfNeeded: value >> UInt64(8 * at))
    }
  }

  private mutating func addSmall(_ bytes: inout [UInt8]) {
    let at = random.below(bytes.count)
    bytes[at] = bytes[at] &+ UInt8(truncatingIfNeeded: random.below(33) - 16)
  }

  /// Replaces a run of decimal digits, which is where text formats keep lengths and offsets.
  private mutating func replaceNumber(_ bytes: inout [UInt8]) {
    let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
    let from = random.below(bytes.count)
    guard let start = bytes[from...].firstIndex(where: digits.contains) else { return }
    let end = bytes[start...].firstIndex { !digits.contains($0) } ?? bytes.count
    bytes.replaceSubrange(start..<end, with: Self.numbers[random.below(Self.numbers.count)])
  }

  /// The head of this input and the tail of another seed.
  private mutating func splice(_ bytes: inout [UInt8]) {
    let other = seeds[random.below(seeds.count)]
    guard !other.isEmpty else { return }
    bytes = Array(bytes[..<random.below(bytes.count)]) + other[random.below(other.count)...]
  }
}
