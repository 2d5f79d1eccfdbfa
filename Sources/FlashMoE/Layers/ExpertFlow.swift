import CKernels
import Support
import Synchronization
import WeightStore

/// A step's experts as tasks whose order the disk decides: gate and up when a record's first
/// section is there, down when all of it is.
///
/// An expert is a chain: gate_up parts → activation → down parts.  Parts are runs of row blocks,
/// so threads share an expert and never a sum: whoever computes a part, its bits are the same.
struct ExpertFlow {
  private typealias Word = UnsafeMutablePointer<Atomic<UInt32>>

  /// Where the experts of one step are and what they are made of.
  struct Step {
    var shape: ExpertShape
    /// Rows of all experts, one after the other: [r][H].
    var input: Activations
    /// Row of `input` for every expert, when all share one token's row.
    var sharesInput: Bool
    var hiddenSize: Int
    /// First row of each expert by number, and experts by position.
    var rowStarts: UnsafePointer<Int32>
    var experts: UnsafePointer<Int32>
    var records: UnsafeMutablePointer<UnsafeRawPointer>
    var gateUp: UnsafeMutablePointer<Float>
    var gateUpStride: Int
    var activated: Activations
    var output: UnsafeMutablePointer<Float>

    @inline(__always)
    func rows(_ position: Int) -> Range<Int> {
      let expert = Int(experts[position])
      return Int(rowStarts[expert])..<Int(rowStarts[expert + 1])
    }
  }

  private enum Kind: UInt32 {
    case gateUp, down
  }

  let tasks: TaskList
  let partCount: Int
  private let expertLimit: Int
  /// By position: parts left, and what a down product still waits for.
  private let gateUpLeft: Word
  private let downLeft: Word
  private let downGates: Word
  private let isHeadSeen: UnsafeMutablePointer<Bool>
  private let isReleased: UnsafeMutablePointer<Bool>
  private let expertsLeft: Word

  /// The most parts an expert is cut into: more would be shorter than a hand-over.
  private static let partLimit = 16
  /// Blocks a kernel takes together for one row; parts are multiples of it.
  private static let blockUnit = 4

  init(expertLimit: Int, threadCount: Int) {
    self.expertLimit = expertLimit
    partCount = min(threadCount, Self.partLimit)
    tasks = TaskList(capacity: 2 * expertLimit * partCount)
    func words(_ count: Int) -> Word {
      let words = Word.allocate(capacity: count)
      for index in 0..<count { (words + index).initialize(to: Atomic(0)) }
      return words
    }
    gateUpLeft = words(expertLimit)
    downLeft = words(expertLimit)
    downGates = words(expertLimit)
    expertsLeft = words(1)
    isHeadSeen = .allocate(capacity: expertLimit)
    isReleased = .allocate(capacity: expertLimit)
  }

  func free() {
    tasks.free()
    for words in [gateUpLeft, downLeft, downGates, expertsLeft] { words.deallocate() }
    isHeadSeen.deallocate()
    isReleased.deallocate()
  }

  /// Prepares for a step of `count` experts; outside a region.
  func reset(count: Int) {
    precondition(count <= expertLimit)
    tasks.reset()
    for position in 0..<count {
      gateUpLeft[position].store(UInt32(partCount), ordering: .relaxed)
      downLeft[position].store(UInt32(partCount), ordering: .relaxed)
      // Its activation, and its last byte.
      downGates[position].store(2, ordering: .relaxed)
    }
    isHeadSeen.update(repeating: false, count: count)
    isReleased.update(repeating: false, count: count)
    expertsLeft.pointee.store(UInt32(count), ordering: .releasing)
  }

  /// Notes a delivery and adds what it makes possible.  The issuing thread only.
  func arrived(_ delivery: Delivery, _ step: Step) {
    let position = delivery.position
    if !isHeadSeen[position] {
      isHeadSeen[position] = true
      step.records[position] = delivery.record
      addParts(.gateUp, position)
    }
    if delivery.isWhole { openDown(position) }
  }

  /// Gives finished experts' slots back; whether there were any.  The issuing thread only.
  func releaseFinished(count: Int, _ streamer: ExpertStreamer) -> Bool {
    var released = false
    for position in 0..<count where !isReleased[position] {
      guard downLeft[position].load(ordering: .acquiring) == 0 else { continue }
      isReleased[position] = true
      streamer.release(position)
      released = true
    }
    return released
  }

  private func addParts(_ kind: Kind, _ position: Int) {
    for part in 0..<partCount {
      tasks.add(UInt32((position * partCount + part) * 2) + kind.rawValue)
    }
  }

  private func openDown(_ position: Int) {
    let left = downGates[position].wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue
    if left == 0 { addParts(.down, position) }
  }

  /// Runs one task; closes the list after the step's last.
  func run(_ task: UInt32, _ step: Step, _ kernels: Kernels) {
    let (position, part) = (Int(task / 2) / partCount, Int(task / 2) % partCount)
    let rows = step.rows(position)
    if task & 1 == Kind.gateUp.rawValue {
      gateUp(position, part, rows, step, kernels)
    } else {
      down(position, part, rows, step, kernels)
    }
    tasks.complete()
  }

  private func gateUp(
    _ position: Int, _ part: Int, _ rows: Range<Int>, _ step: Step, _ kernels: Kernels
  ) {
    let matrix = step.shape.gateUp(
      step.records[position], expert: Int(step.experts[position]))
    let input = step.sharesInput ? step.input : step.input.from(row: rows.lowerBound)
    let gateUp = step.gateUp + rows.lowerBound * step.gateUpStride
    kernels.multiply(
      matrix, blocks: blocks(matrix.blockCount, part), input, rows: rows.count, output: gateUp,
      outputStride: step.gateUpStride)
    let left = gateUpLeft[position].wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue
    guard left == 0 else { return }
    let inner = step.shape.inner
    step.shape.activation.apply(
      kernels, expert: Int(step.experts[position]), gateUp: gateUp, stride: step.gateUpStride,
      rows: rows.count, inner: inner,
      output: step.activated.values + rows.lowerBound * step.activated.stride,
      outputStride: step.activated.stride)
    if step.shape.downTakesInt8 {
      kernels.quantize(step.activated, columns: inner, rows: rows)
    }
    openDown(position)
  }

  private func down(
    _ position: Int, _ part: Int, _ rows: Range<Int>, _ step: Step, _ kernels: Kernels
  ) {
    let matrix = step.shape.down(step.records[position], expert: Int(step.experts[position]))
    kernels.multiply(
      matrix, blocks: blocks(matrix.blockCount, part), step.activated.from(row: rows.lowerBound),
      rows: rows.count, output: step.output + rows.lowerBound * step.hiddenSize,
      outputStride: step.hiddenSize)
    let left = downLeft[position].wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue
    guard left == 0 else { return }
    if let bias = step.shape.downBias {
      let own = bias + Int(step.experts[position]) * step.hiddenSize
      for row in rows {
        kernels.table.pointee.multiply_add(
          1, own, step.hiddenSize, step.output + row * step.hiddenSize)
      }
    }
    let open = expertsLeft.pointee.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue
    if open == 0 { tasks.close() }
  }

  @inline(__always)
  private func blocks(_ count: Int, _ part: Int) -> Range<Int> {
    let units = (count + Self.blockUnit - 1) / Self.blockUnit
    let start = units * part / partCount * Self.blockUnit
    return min(start, count)..<min(units * (part + 1) / partCount * Self.blockUnit, count)
  }
}
