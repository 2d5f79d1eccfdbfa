/// A first-in first-out queue of small indices with fixed room, allocated once.
struct IndexQueue {
  private var storage: [Int32]
  private var head = 0
  private(set) var count = 0

  init(capacity: Int) {
    storage = Array(repeating: 0, count: max(1, capacity))
  }

  var isEmpty: Bool { count == 0 }
  var first: Int? { count == 0 ? nil : Int(storage[head]) }

  mutating func append(_ index: Int) {
    precondition(count < storage.count, "a bounded queue overflows")
    storage[wrapped(head + count)] = Int32(index)
    count += 1
  }

  mutating func popFirst() -> Int? {
    guard count > 0 else { return nil }
    let index = Int(storage[head])
    head = wrapped(head + 1)
    count -= 1
    return index
  }

  /// Keeps the order of the rest.
  mutating func remove(_ index: Int) {
    var kept = 0
    for at in 0..<count {
      let value = storage[wrapped(head + at)]
      guard Int(value) != index else { continue }
      storage[wrapped(head + kept)] = value
      kept += 1
    }
    count = kept
  }

  mutating func removeAll() {
    head = 0
    count = 0
  }

  private func wrapped(_ position: Int) -> Int {
    position >= storage.count ? position - storage.count : position
  }
}
