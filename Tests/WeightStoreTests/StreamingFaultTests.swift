import Glibc
import Support
import Testing

@_spi(Testing) @testable import WeightStore

@Suite struct StreamingFaultTests {
  private func rig(
    _ source: StreamingStore, backend: ReadBackendKind, _ faults: [ReadFaultPlan.Fault],
    slots: Int = 6
  ) throws -> StreamingRig {
    var options = StreamerOptions(backend: backend, queueDepth: 4, readBytes: 4096)
    options.faults = ReadFaultPlan(faults)
    return try StreamingRig(source, slots: slots, expertsPerToken: 3, options: options)
  }

  @Test(arguments: [ReadBackendKind.uring, .pread], [EIO, ENXIO, ECANCELED])
  func errorsNameTheRecord(backend: ReadBackendKind, code: Int32) throws {
    let source = try StreamingStore(layers: 2, experts: 6)
    for order in [DeliveryOrder.completion, .request] {
      for ordinal in 0..<3 {
        let rig = try rig(
          source, backend: backend, [.init(layer: 1, expert: 4, ordinal: ordinal, .error(code))])
        let error = failure { try rig.request(1, [0, 4, 2], order) }
        #expect(error?.kind == .io)
        #expect(error?.subject == source.filePath(1))
        #expect(error?.place?.hasPrefix("layer 3, expert 4, offset ") == true)
        #expect(error?.problem.contains(String(cString: strerror(code))) == true)
        #expect(error?.remedy?.contains("flashmoe verify") == true)
        // The request stays lost until it is ended; the next one works.
        #expect(failure { _ = try rig.streamer.next() } == error)
        try rig.request(1, [0, 4, 2], order)
        try rig.request(0, [5, 4, 3], order)
      }
    }
  }

  @Test(arguments: [ReadBackendKind.uring, .pread], [EINTR, EAGAIN])
  func interruptionsAreTriedAgain(backend: ReadBackendKind, code: Int32) throws {
    let source = try StreamingStore(layers: 1, experts: 6)
    let rig = try rig(
      source, backend: backend,
      [
        .init(layer: 0, expert: 1, count: 3, .error(code)),
        .init(layer: 0, expert: 2, ordinal: 2, count: 7, .error(code)),
      ])
    try rig.request(0, [0, 1, 2], .completion)
    #expect(rig.streamer.statistics.demandBytes == 3 * source.stride(0))
    let stubborn = try self.rig(
      source, backend: backend, [.init(layer: 0, expert: 1, count: 100_000, .error(code))])
    #expect(failure { try stubborn.request(0, [0, 1], .completion) }?.kind == .io)
  }

  @Test(arguments: [ReadBackendKind.uring, .pread])
  func shortReadsContinue(backend: ReadBackendKind) throws {
    let source = try StreamingStore(layers: 1, experts: 6, columns: 9000)
    var options = StreamerOptions(backend: backend, readBytes: 32768)
    for shown in [1, 4095, 4096, 4097, 12288, 20000] {
      options.faults = ReadFaultPlan([
        .init(layer: 0, expert: 3, count: 2, .short(bytes: shown)),
        .init(layer: 0, expert: 5, ordinal: 1, .short(bytes: shown)),
      ])
      let rig = try StreamingRig(source, slots: 4, expertsPerToken: 3, options: options)
      try rig.request(0, [5, 3, 0], .request)
      #expect(rig.streamer.statistics.demandBytes == 3 * source.stride(0))
    }
  }

  @Test(arguments: [ReadBackendKind.uring, .pread])
  func aReadOfNothingIsATruncatedFile(backend: ReadBackendKind) throws {
    let source = try StreamingStore(layers: 1, experts: 6)
    let injected = try rig(
      source, backend: backend, [.init(layer: 0, expert: 2, ordinal: 1, .short(bytes: 0))])
    let error = failure { try injected.request(0, [1, 2], .completion) }
    #expect(error?.kind == .corrupt)
    #expect(error?.problem.contains("ends too early") == true)
  }

  @Test(arguments: [ReadBackendKind.uring, .pread], [DirectMode.on, .off])
  func aFileTruncatedUnderneath(backend: ReadBackendKind, direct: DirectMode) throws {
    for cut in [4096, 4100, 100] {
      let source = try StreamingStore(layers: 1, experts: 6)
      let rig = try StreamingRig(
        source, slots: 6, expertsPerToken: 3,
        options: StreamerOptions(backend: backend, direct: direct, readBytes: 8192))
      #expect(truncate(source.filePath(0), off_t(4 * source.stride(0) + cut)) == 0)
      try rig.request(0, [0, 1, 3], .completion)
      let error = failure { try rig.request(0, [4, 0], .completion) }
      #expect(error?.kind == .corrupt)
      #expect(error?.subject == source.filePath(0))
      #expect(error?.place?.contains("expert 4") == true)
      #expect(failure { try rig.request(0, [5], .completion) }?.kind == .corrupt)
      try rig.request(0, [0, 1, 2], .completion)
    }
  }

  @Test(arguments: [ReadBackendKind.uring, .pread])
  func aFlippedBitIsNeverDelivered(backend: ReadBackendKind) throws {
    let source = try StreamingStore(layers: 2, experts: 6)
    let rig = try rig(
      source, backend: backend,
      [
        .init(layer: 1, expert: 4, ordinal: 1, .flippedBit(byte: 77, bit: 3)),
        .init(layer: 0, expert: 1, ordinal: 0, .flippedBit(byte: 0, bit: 7)),
      ])
    let error = failure { try rig.request(1, [0, 4, 2], .completion) }
    #expect(error?.kind == .corrupt)
    #expect(error?.subject == source.filePath(1))
    #expect(error?.place == "layer 3, expert 4, offset \(4 * source.stride(1))")
    #expect(error?.problem == "checksum mismatch")
    // The bad bytes are not cached: the next read is good.
    try rig.request(1, [0, 4, 2], .completion)
    // Also when speculation brought them.
    rig.prefetch(0, [1])
    #expect(failure { try rig.request(0, [1], .completion) }?.kind == .corrupt)
    try rig.request(0, [1], .completion)
  }

  @Test func aFlippedBitInTheFile() throws {
    let source = try StreamingStore(layers: 1, experts: 3)
    let file = try File(source.filePath(0), .update)
    let place = source.stride(0) + 5000
    let bytes = [source.contents[0][place] ^ 1]
    try bytes.withUnsafeBytes { try file.write($0, at: place) }
    try file.synchronize()
    let rig = try StreamingRig(source, slots: 3, expertsPerToken: 3)
    let error = failure { try rig.request(0, [0, 1, 2], .request) }
    #expect(error?.kind == .corrupt)
    #expect(error?.place?.contains("expert 1,") == true)
  }

  @Test func failedSpeculationIsNobodysError() throws {
    let source = try StreamingStore(layers: 2, experts: 6)
    let rig = try rig(
      source, backend: .uring, [.init(layer: 1, expert: 4, ordinal: 0, .error(EIO))], slots: 8)
    rig.prefetch(1, [4, 5])
    while rig.streamer.scheduler.activeReads > 0 { rig.streamer.poll() }
    try rig.request(1, [4, 5, 0], .completion)
  }

  @Test func missingAndTruncatedLayersAtOpen() throws {
    for direct in DirectMode.allCases {
      let source = try StreamingStore(layers: 3, experts: 4)
      let options = StreamerOptions(direct: direct)
      #expect(truncate(source.filePath(1), off_t(source.stride(1))) == 0)
      let short = failure {
        _ = try StreamingRig(source, slots: 4, expertsPerToken: 2, options: options)
      }
      #expect(short?.kind == .corrupt)
      #expect(short?.subject == source.filePath(1))
      unlink(source.filePath(1))
      let gone = failure {
        _ = try StreamingRig(source, slots: 4, expertsPerToken: 2, options: options)
      }
      #expect(gone?.kind == .notFound)
      #expect(gone?.subject == source.filePath(1))
      #expect(gone?.remedy != nil)
    }
  }
}
