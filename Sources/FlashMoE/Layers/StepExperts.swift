import CKernels
import CLinux
import Support
import WeightStore

/// Few tokens' experts (decoding, verifying drafts): all in one parallel region, computed as their
/// bytes land, summed in ascending expert order.
extension Decoder {
  /// More rows than this are a chunk: its records are used in file order, one after the other.
  private static var stepRowLimit: Int { 16 }

  /// Whether `rows` tokens go through as a step, whose experts fit the tile buffers side by side.
  func isStep(rows: Int) -> Bool {
    rows <= Self.stepRowLimit && rows * router.perToken <= scratch.tileRows
  }

  /// The most rows a step can have here.
  var stepRows: Int {
    let fitting = scratch.tileRows / max(1, router.perToken)
    return max(1, min(Self.stepRowLimit, scratch.chunkLength, fitting))
  }

  /// update[t] = shared(normalized[t]) + Σ weight · expert(normalized[t]) of the chosen experts.
  func stepExperts(_ layer: Int, storeLayer: Int, shape: ExpertShape, rows: Int) throws(Failure) {
    guard let streamer else { return }
    var clock = PhaseClock()
    let count = groupRows(rows)
    let experts = UnsafeBufferPointer(start: scratch.neededExperts, count: count)
    try streamer.begin(layer: storeLayer, experts: experts, order: .completion, wantsHeads: true)
    defer { streamer.end() }
    prefetchPredicted(after: layer, rows: rows, streamer: streamer)
    let step = ExpertFlow.Step(
      shape: shape, input: rows == 1 ? scratch.normalized : scratch.gathered,
      sharesInput: rows == 1, hiddenSize: configuration.hiddenSize, rowStarts: scratch.rowStarts,
      experts: scratch.neededExperts, records: scratch.records, gateUp: scratch.gateUp,
      gateUpStride: scratch.gateUpStride, activated: scratch.activated(inner: shape.inner),
      output: scratch.expertOutput)
    if rows > 1 { gatherRows(rows * router.perToken, shape) }
    clock.lap(&times.router)
    // The shared expert is computed while the first records are on their way.
    startUpdate(layer, rows: rows)
    clock.lap(&times.experts)
    let waited = try flow(step, count: count, streamer: streamer)
    sumInOrder(rows)
    clock.lap(&times.experts)
    times.experts &-= waited
    times.inputOutputWait &+= waited
  }

  /// Runs the step's tasks on all threads; returns the nanoseconds the disk was waited for.
  private func flow(_ step: ExpertFlow.Step, count: Int, streamer: ExpertStreamer) throws(Failure)
    -> UInt64
  {
    let (kernels, flow) = (kernels, flow)
    var failure: Failure?
    var waited: UInt64 = 0
    flow.reset(count: count)
    pool.run { thread in
      if thread == 0 {
        do throws(Failure) {
          try Self.issue(flow, step, count, kernels, streamer, &waited)
        } catch {
          failure = error
          flow.tasks.close()
        }
      } else {
        while !flow.tasks.isClosed {
          if let task = flow.tasks.take() {
            flow.run(task, step, kernels)
          } else {
            flow.tasks.wait()
          }
        }
      }
    }
    if let failure { throw failure }
    return waited
  }

  /// The issuing thread: takes what landed, computes, and sleeps in the kernel only when nobody
  /// has anything to compute.
  private static func issue(
    _ flow: ExpertFlow, _ step: ExpertFlow.Step, _ count: Int, _ kernels: Kernels,
    _ streamer: ExpertStreamer, _ waited: inout UInt64
  ) throws(Failure) {
    while !flow.tasks.isClosed {
      while let delivery = try streamer.nextIfReady() { flow.arrived(delivery, step) }
      if streamer.isShortOfSlots { _ = flow.releaseFinished(count: count, streamer) }
      // Predicted reads are started and noticed here, too.
      if streamer.remaining == 0 { streamer.poll() }
      if let task = flow.tasks.take() {
        flow.run(task, step, kernels)
      } else if streamer.remaining == 0 || !flow.tasks.isIdle {
        fm_pause()
      } else if streamer.isShortOfSlots, flow.releaseFinished(count: count, streamer) {
        // Another thread finished an expert since the look above; its slot may be all that is
        // missing, and sleeping for the disk would be in vain.
        continue
      } else if !flow.tasks.isClosed {
        let start = Clock.nanoseconds()
        let delivery = try streamer.next()
        waited &+= Clock.nanoseconds() &- start
        if let delivery { flow.arrived(delivery, step) }
      }
    }
  }

  /// Copies every (token, expert) row into the tile buffer, grouped by expert.
  private func gatherRows(_ count: Int, _ shape: ExpertShape) {
    let int8 = shape.gateUpTakesInt8
    for row in 0..<count {
      scratch.gather(token: Int(scratch.rowTokens[row]), into: row, int8: int8)
    }
  }

  private func sumInOrder(_ rows: Int) {
    let hiddenSize = configuration.hiddenSize
    for row in 0..<rows * router.perToken {
      kernels.table.pointee.multiply_add(
        scratch.rowWeights[row], scratch.expertOutput + row * hiddenSize, hiddenSize,
        scratch.update + Int(scratch.rowTokens[row]) * hiddenSize)
    }
  }
}
