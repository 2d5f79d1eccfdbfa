import Checkpoints
import Support
import WeightStore

/// A checkpoint whose weight files have their headers only, at their full sizes.
///
/// Readers find everything where it belongs; a file's weights come later and may go again.
struct StagedCheckpoint: Sendable {
  let directory: PullDirectory
  let weights: [RepositoryFile]
  let isGGUF: Bool
  private let downloader: Downloader
  /// Checksums of the headers that were read, by file; the plan was made from these bytes.
  private(set) var headers: [String: (bytes: Int, checksum: Checksum)] = [:]

  /// What is read of a GGUF at first: its vocabulary is most of it.
  private static let firstBytes = 16 << 20
  private static let limitBytes = 512 << 20

  init(_ selection: Selection, in directory: PullDirectory, _ downloader: Downloader) {
    self.directory = directory
    self.downloader = downloader
    weights = selection.weights
    if case .gguf = selection.kind { isGGUF = true } else { isGGUF = false }
  }

  func path(_ file: RepositoryFile) -> String { directory.file(file.path) }

  /// What `Checkpoint.open` takes.
  var checkpointPath: String {
    isGGUF ? weights.first.map(path) ?? directory.path : directory.path
  }

  /// Puts every weight file's header in place and opens the checkpoint.
  mutating func open(gate: @escaping Checkpoint.Gate) async throws(Failure) -> Checkpoint {
    guard isGGUF else {
      for file in weights {
        let prefix = try await downloader.bytes(0..<min(8, file.size ?? 0), of: file)
        let length = prefix.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        // A length that makes no sense is for the reader of headers to refuse.
        let end = 8 + Int(min(length, UInt64(Self.limitBytes)))
        try await place(min(end, file.size ?? 0), of: file)
      }
      return try Checkpoint.open(checkpointPath, gate: gate)
    }
    var bytes = Self.firstBytes
    while true {
      for file in weights { try await place(min(bytes, file.size ?? 0), of: file) }
      do throws(Failure) {
        let checkpoint = try Checkpoint.open(checkpointPath, gate: gate)
        if holdsHeaders(of: checkpoint, bytes) { return checkpoint }
      } catch {
        // Zeros that stand for bytes to come never parse to the end.
        guard error.kind == .malformed || error.kind == .mismatch, canGrow(bytes) else {
          throw error
        }
      }
      guard canGrow(bytes) else {
        throw Failure(
          .malformed, checkpointPath,
          "its header is longer than \(ByteCount.format(Self.limitBytes))")
      }
      bytes *= 4
    }
  }

  private func canGrow(_ bytes: Int) -> Bool {
    bytes < Self.limitBytes && weights.contains { $0.size ?? 0 > bytes }
  }

  /// Whether every header ends in what was fetched: it does before its file's first tensor.
  private func holdsHeaders(of checkpoint: Checkpoint, _ bytes: Int) -> Bool {
    var first = Array(repeating: Int.max, count: checkpoint.files.count)
    for tensor in checkpoint.tensors.values {
      first[tensor.file] = min(first[tensor.file], tensor.offset)
    }
    return zip(checkpoint.files, first).allSatisfy { path, offset in
      offset <= bytes || FileFacts(path).map { $0.size <= bytes } ?? false
    }
  }

  private mutating func place(_ end: Int, of file: RepositoryFile) async throws(Failure) {
    let bytes = try await downloader.bytes(0..<end, of: file)
    let path = path(file)
    let size = file.size ?? 0
    try await Downloader.blocking { () throws(Failure) in
      try FileSystem.createDirectories(FileSystem.parent(of: path))
      let output = try File(path, .update)
      if try output.size() != size {
        try IncomingFile.forget(inside: path)
        try output.truncate(to: size)
      }
      var failure: Failure?
      bytes.withUnsafeBytes { buffer in
        do throws(Failure) { try output.write(buffer, at: 0) } catch { failure = error }
      }
      if let failure { throw failure }
    }
    headers[file.path] = (end, Checksum(of: bytes))
  }

  /// Brings a file's weights, checks them, and that its header is the one the plan was made from.
  func bring(_ file: RepositoryFile) async throws(Failure) {
    let path = path(file)
    let incoming = try await Downloader.blocking { () throws(Failure) in
      try IncomingFile(
        .inside(path), name: file.path, size: file.size ?? 0, identity: file.identity,
        pieceBytes: downloader.client.options.pieceBytes)
    }
    downloader.meter.resume(incoming.haveBytes)
    if !incoming.isComplete { try await downloader.complete(incoming) }
    guard let header = headers[file.path] else { return }
    try await Downloader.blocking { () throws(Failure) in
      let bytes = try FileSystem.readBeginning(path, bytes: header.bytes)
      guard Checksum(of: bytes) == header.checksum else {
        throw Failure(
          .corrupt, path, "its header came damaged when it was read first",
          remedy: "Run the command again: the plan has to be made anew")
      }
    }
  }

  /// Gives a file's space back; its header stays, so that it can be opened.
  static func drop(_ path: String, headerBytes: Int, size: Int) throws(Failure) {
    try IncomingFile.forget(inside: path)
    let file = try File(path, .update)
    try file.truncate(to: headerBytes)
    try file.truncate(to: size)
  }
}

extension FileSystem {
  static func readBeginning(_ path: String, bytes: Int) throws(Failure) -> [UInt8] {
    let file = try File(path, .read)
    var failure: Failure?
    let result = [UInt8](unsafeUninitializedCapacity: bytes) { buffer, count in
      do throws(Failure) {
        try file.read(into: UnsafeMutableRawBufferPointer(buffer), at: 0)
        count = bytes
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return result
  }
}
