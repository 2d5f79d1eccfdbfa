/// Canonical normalization, forms C and D (Unicode Standard Annex 15), over UTF-8.
///
/// The tables follow the `tokenizers` library rather than the newest Unicode, because ids have to
/// be those a model was trained with.
final class CanonicalForm: Sendable {
  static let shared = CanonicalForm()

  /// One bit for each code point: normalizing text made only of others changes nothing.
  private let needsCare: [UInt64]
  private let composites: [UInt64: UInt32]
  private static let hangulBase: UInt32 = 0xAC00
  private static let hangulEnd: UInt32 = 0xD7A4

  private init() {
    var needsCare = [UInt64](repeating: 0, count: 0x110000 / 64)
    func mark(_ code: UInt32) { needsCare[Int(code >> 6)] |= 1 << UInt64(code & 63) }
    var composites: [UInt64: UInt32] = [:]
    let table = UnicodeTables.decompositions
    for at in stride(from: 0, to: table.count, by: 3) {
      let code = table[at] & 0x7FFF_FFFF
      if table[at] != code {
        composites[UInt64(table[at + 1]) << 32 | UInt64(table[at + 2])] = code
        mark(table[at + 2])
      } else {
        mark(code)
      }
    }
    let classes = UnicodeTables.combiningClasses
    for at in stride(from: 0, to: classes.count, by: 2) {
      for code in classes[at]...classes[at] + classes[at + 1] >> 8 { mark(code) }
    }
    for code in UInt32(0x1161)...0x1175 { mark(code) }
    for code in UInt32(0x11A8)...0x11C2 { mark(code) }
    self.needsCare = needsCare
    self.composites = composites
  }

  /// Whether form C of this text is the text itself for certain.
  func isComposed(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
    // Below U+0300, whose first byte is 0xCC, every character is composed.
    guard let first = text.firstIndex(where: { $0 >= 0xCC }) else { return true }
    var decoder = ScalarReader(text, at: first)
    while let code = decoder.next() {
      if needsCare[Int(code >> 6)] >> UInt64(code & 63) & 1 == 1 { return false }
    }
    return true
  }

  /// The text in form C (`compose`) or form D; linear in its length but for sorting marks.
  func normalize(_ text: UnsafeBufferPointer<UInt8>, compose: Bool) -> [UInt8] {
    var codes: [UInt32] = []
    var classes: [UInt8] = []
    codes.reserveCapacity(text.count)
    classes.reserveCapacity(text.count)
    var decoder = ScalarReader(text, at: 0)
    while let code = decoder.next() { decompose(code, into: &codes, &classes) }
    sortMarks(&codes, &classes)
    if compose { self.compose(&codes, classes) }
    var result: [UInt8] = []
    result.reserveCapacity(text.count)
    for code in codes { ScalarReader.append(code, to: &result) }
    return result
  }

  private func decompose(_ code: UInt32, into codes: inout [UInt32], _ classes: inout [UInt8]) {
    if code < 0xC0 {
      codes.append(code)
      classes.append(0)
    } else if code >= Self.hangulBase, code < Self.hangulEnd {
      let index = code - Self.hangulBase
      codes.append(0x1100 + index / 588)
      codes.append(0x1161 + index % 588 / 28)
      classes.append(contentsOf: [0, 0])
      if index % 28 > 0 {
        codes.append(0x11A7 + index % 28)
        classes.append(0)
      }
    } else if let at = Self.search(UnicodeTables.decompositions, step: 3, code) {
      // Depth is bounded: the data has chains of at most four.
      decompose(UnicodeTables.decompositions[at + 1], into: &codes, &classes)
      let second = UnicodeTables.decompositions[at + 2]
      if second != 0 { decompose(second, into: &codes, &classes) }
    } else {
      codes.append(code)
      classes.append(Self.combiningClass(code))
    }
  }

  /// Entry of an ascending table whose key is `code` (its top bit aside).
  private static func search(_ table: [UInt32], step: Int, _ code: UInt32) -> Int? {
    var low = 0
    var high = table.count / step
    while low < high {
      let middle = (low + high) / 2
      if table[middle * step] & 0x7FFF_FFFF < code { low = middle + 1 } else { high = middle }
    }
    guard low * step < table.count, table[low * step] & 0x7FFF_FFFF == code else { return nil }
    return low * step
  }

  private static func combiningClass(_ code: UInt32) -> UInt8 {
    guard code >= 0x300 else { return 0 }
    let table = UnicodeTables.combiningClasses
    var low = 0
    var high = table.count / 2
    while low < high {
      let middle = (low + high) / 2
      if table[middle * 2] <= code { low = middle + 1 } else { high = middle }
    }
    guard low > 0 else { return 0 }
    let start = table[low * 2 - 2]
    let value = table[low * 2 - 1]
    return code - start <= value >> 8 ? UInt8(truncatingIfNeeded: value) : 0
  }

  /// Puts every run of marks into the order of their classes, equal ones as they stood.
  private func sortMarks(_ codes: inout [UInt32], _ classes: inout [UInt8]) {
    var at = 0
    while at < codes.count {
      guard classes[at] != 0 else {
        at += 1
        continue
      }
      var end = at + 1
      var sorted = true
      while end < codes.count, classes[end] != 0 {
        if classes[end] < classes[end - 1] { sorted = false }
        end += 1
      }
      if !sorted {
        let order = (at..<end).sorted { (classes[$0], $0) < (classes[$1], $1) }
        let marks = order.map { codes[$0] }
        let values = order.map { classes[$0] }
        codes.replaceSubrange(at..<end, with: marks)
        classes.replaceSubrange(at..<end, with: values)
      }
      at = end
    }
  }

  private func compose(_ codes: inout [UInt32], _ classes: [UInt8]) {
    var written = 0
    var starter: Int?
    var lastClass: UInt8 = 0
    for at in codes.indices {
      let code = codes[at]
      let value = classes[at]
      // A mark is blocked from its starter by an earlier one of the same or a higher class.
      if let starter, lastClass < value || written == starter + 1,
        let composite = composite(codes[starter], code)
      {
        codes[starter] = composite
        continue
      }
      if value == 0 { starter = written }
      lastClass = value
      codes[written] = code
      written += 1
    }
    codes.removeSubrange(written...)
  }

  private func composite(_ first: UInt32, _ second: UInt32) -> UInt32? {
    if first >= 0x1100, first < 0x1113, second >= 0x1161, second < 0x1176 {
      return Self.hangulBase + ((first - 0x1100) * 21 + second - 0x1161) * 28
    }
    if first >= Self.hangulBase, first < Self.hangulEnd, (first - Self.hangulBase) % 28 == 0,
      second > 0x11A7, second < 0x11C3
    {
      return first + second - 0x11A7
    }
    return composites[UInt64(first) << 32 | UInt64(second)]
  }
}
