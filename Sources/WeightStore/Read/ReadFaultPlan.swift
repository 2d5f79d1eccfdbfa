import Glibc

/// Faults for tests, applied where completions of both backends pass.
@_spi(Testing)
public struct ReadFaultPlan: Sendable {
  public enum Effect: Sendable {
    /// The read fails with this errno; EINTR and EAGAIN are tried again.
    case error(Int32)
    /// Only this many bytes arrive.
    case short(bytes: Int)
    /// Bit `bit` of the byte at `byte` of the piece arrives flipped.
    case flippedBit(byte: Int, bit: Int)
  }

  public struct Fault: Sendable {
    /// Index into the manifest's layers.
    public var layer: Int
    public var expert: Int
    /// The n-th completion of the record's pieces, from 0, over the streamer's life.
    public var ordinal: Int
    /// How many completions in a row.
    public var count: Int
    public var effect: Effect

    public init(layer: Int, expert: Int, ordinal: Int = 0, count: Int = 1, _ effect: Effect) {
      self.layer = layer
      self.expert = expert
      self.ordinal = ordinal
      self.count = count
      self.effect = effect
    }
  }

  public var faults: [Fault] = []
  /// What io_uring_setup, registering and opening with O_DIRECT answer; 0 asks the system.
  public var setupError: Int32 = 0
  public var registerError: Int32 = 0
  public var directError: Int32 = 0

  private var completions: [Int] = []

  public init(_ faults: [Fault] = []) {
    self.faults = faults
  }

  /// The effect on this completion, if any; counts completions of the records it knows.
  mutating func effect(layer: Int, expert: Int) -> Effect? {
    if completions.count != faults.count {
      completions = Array(repeating: 0, count: faults.count)
    }
    var effect: Effect?
    for (index, fault) in faults.enumerated() where fault.layer == layer && fault.expert == expert {
      let ordinal = completions[index]
      completions[index] += 1
      if ordinal >= fault.ordinal, ordinal < fault.ordinal + fault.count { effect = fault.effect }
    }
    return effect
  }
}
