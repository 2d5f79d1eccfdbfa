import Glibc
import Support
import Testing

@_spi(Testing) @testable import WeightStore

@Suite struct ReaderTests {
  @Test(arguments: [ENOSYS, EPERM, EACCES, ENOMEM])
  func refusedRingFallsBackAndSaysSo(code: Int32) throws {
    let source = try StreamingStore(layers: 2, experts: 6)
    var options = StreamerOptions()
    options.faults.setupError = code
    let rig = try StreamingRig(source, slots: 5, expertsPerToken: 2, options: options)
    let reason = String(cString: strerror(code))
    #expect(
      rig.streamer.backendDescription == "8 pread threads, O_DIRECT (io_uring: \(reason))")
    #expect(rig.log.messages.filter { $0.contains("io_uring refused (\(reason))") }.count == 1)
    try rig.request(1, [0, 1, 2, 3, 4, 5], .request)

    options.backend = .uring
    let error = failure {
      _ = try StreamingRig(source, slots: 5, expertsPerToken: 2, options: options)
    }
    #expect(error?.kind == .unsupported)
    #expect(error?.problem.contains(reason) == true)
  }

  @Test func refusedRegistrationKeepsTheRing() throws {
    let source = try StreamingStore(layers: 2, experts: 6)
    var options = StreamerOptions(backend: .uring)
    options.faults.registerError = ENOMEM
    let rig = try StreamingRig(source, slots: 5, expertsPerToken: 2, options: options)
    #expect(rig.streamer.backendDescription.contains("unregistered"))
    #expect(rig.log.messages.filter { $0.contains("unregistered") }.count == 1)
    try rig.request(0, [0, 1, 2, 3, 4, 5], .request)
    try rig.request(1, [4, 2], .completion)
  }

  @Test func registersFilesAndSlots() throws {
    let source = try StreamingStore(layers: 2, experts: 6)
    let rig = try StreamingRig(
      source, slots: 5, expertsPerToken: 2, options: StreamerOptions(backend: .uring))
    #expect(rig.streamer.backendDescription == "io_uring, 5 fixed buffers, O_DIRECT")
    // Two layers below their working set of 4 would be partitioned; five slots are not.
    #expect(rig.log.messages.isEmpty)
  }

  @Test func manySlotsShareFixedBuffers() throws {
    let source = try StreamingStore(layers: 1, experts: 6, columns: 500)
    let rig = try StreamingRig(
      source, slots: 20000, expertsPerToken: 2, options: StreamerOptions(backend: .uring))
    #expect(rig.streamer.backendDescription.contains("1 fixed buffers"))
    try rig.request(0, [0, 1, 2, 3, 4, 5], .request)
  }

  /// tmpfs took O_DIRECT only lately, so the refusal is injected there too.
  @Test(arguments: [ReadBackendKind.uring, .pread], [EINVAL, EOPNOTSUPP])
  func refusedDirectReadsAreBuffered(backend: ReadBackendKind, code: Int32) throws {
    let source = try StreamingStore(layers: 2, experts: 6, in: "/dev/shm")
    var options = StreamerOptions(backend: backend)
    options.faults.directError = code
    let rig = try StreamingRig(source, slots: 4, expertsPerToken: 2, options: options)
    #expect(rig.streamer.backendDescription.contains("buffered"))
    #expect(rig.log.messages.filter { $0.contains("direct reads refused") }.count == 1)
    try rig.request(0, [0, 1, 2, 3, 4, 5], .request)
    try rig.request(1, [4, 2], .completion)

    options.direct = .on
    let error = failure {
      _ = try StreamingRig(source, slots: 4, expertsPerToken: 2, options: options)
    }
    #expect(error?.kind == .unsupported)
    #expect(error?.problem.contains("O_DIRECT") == true)
  }

  @Test func memoryFileSystemWorksEitherWay() throws {
    let source = try StreamingStore(layers: 2, experts: 6, in: "/dev/shm")
    for direct in [DirectMode.auto, .off] {
      let rig = try StreamingRig(
        source, slots: 4, expertsPerToken: 2, options: StreamerOptions(direct: direct))
      try rig.request(0, [0, 1, 2, 3, 4, 5], .request)
      try rig.request(1, [4, 2], .completion)
    }
  }

  @Test func bufferedReadsLeaveNoPagesBehind() throws {
    let source = try StreamingStore(layers: 1, experts: 8, columns: 40000)
    let file = try File(source.filePath(0), .read)
    try file.synchronize()
    file.dropCache()
    let rig = try StreamingRig(
      source, slots: 8, expertsPerToken: 4, options: StreamerOptions(direct: .off))
    try rig.request(0, [0, 2, 4, 6], .completion)
    try rig.request(0, [1, 3, 5, 7], .completion)
    let bytes = try file.size()
    let map = mmap(nil, bytes, PROT_READ, MAP_SHARED, file.descriptor, 0)
    defer { munmap(map, bytes) }
    var resident = [UInt8](repeating: 0, count: bytes / 4096)
    #expect(mincore(map, bytes, &resident) == 0)
    #expect(resident.filter { $0 & 1 == 1 }.count == 0)
  }

  /// The ring belongs to the thread that first uses it, not to the one that made it.
  @Test func useFromAnotherThreadIsAnError() throws {
    let source = try StreamingStore(layers: 1, experts: 8)
    let rig = try StreamingRig(
      source, slots: 4, expertsPerToken: 2, options: StreamerOptions(backend: .uring))
    final class Box: @unchecked Sendable {
      let rig: StreamingRig
      var result: Failure?
      init(_ rig: StreamingRig) { self.rig = rig }
    }
    let box = Box(rig)
    var thread = pthread_t()
    let code = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        let box = Unmanaged<Box>.fromOpaque(argument).takeUnretainedValue()
        box.result = failure { try box.rig.request(0, [1, 2], .completion) }
        return nil
      }, Unmanaged.passUnretained(box).toOpaque())
    #expect(code == 0)
    pthread_join(thread, nil)
    #expect(box.result == nil)
    let error = failure { try rig.request(0, [3, 4], .completion) }
    // Kernels before 6.1 do not tie rings to threads.
    #expect(error == nil || error?.kind == .usage)
  }

  @Test func optionsAreBounded() {
    #expect(StreamerOptions().depth == 64)
    #expect(StreamerOptions(queueDepth: 1_000_000).depth == 4096)
    #expect(StreamerOptions(readBytes: 0).pieceBytes == 4096)
    #expect(StreamerOptions(readBytes: 10000).pieceBytes == 8192)
  }
}
