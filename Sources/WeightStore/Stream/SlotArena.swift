/// Memory for cached records: `slotCount` slots of `slotBytes`, one after the other.
///
/// It belongs to whoever planned the memory; a streamer only writes into it, and must be drained
/// before it goes away.
public struct SlotArena: Sendable {
  /// Page-aligned.
  nonisolated(unsafe) public let base: UnsafeMutableRawPointer
  /// A multiple of 4096, at least the largest record's stride.
  public let slotBytes: Int
  public let slotCount: Int

  public init(base: UnsafeMutableRawPointer, slotBytes: Int, slotCount: Int) {
    self.base = base
    self.slotBytes = slotBytes
    self.slotCount = slotCount
  }

  @inline(__always)
  public func slot(_ index: Int) -> UnsafeMutableRawPointer { base + index * slotBytes }
}
