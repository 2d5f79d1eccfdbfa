import Support
import Synchronization
import WeightStore

/// How much of a checkpoint is on the disk while it is packed as it comes.
enum StagingSpace {
  /// The most bytes of weight files at one time.
  ///
  /// - Parameter files: path and size, in the order in which they come.
  /// - Parameter ahead: how many files may be on their way or in work.
  static func mostBytes(_ plan: PackPlan, files: [(path: String, size: Int)], ahead: Int) -> Int {
    var ranks: [String: Int] = [:]
    for (at, file) in files.enumerated() { ranks[file.path] = at }
    // A file stays until the last item that needs it has all its files.
    var lastUse = Array(0..<files.count)
    func add(_ rows: [PackPlan.Rows]) {
      let used = rows.flatMap { $0.sources.flatMap { $0.files.compactMap { ranks[$0] } } }
      guard let last = used.max() else { return }
      for file in used { lastUse[file] = max(lastUse[file], last) }
    }
    for resident in plan.residents { add([resident.rows]) }
    for layer in plan.layers { for expert in layer.experts { add(expert) } }
    var most = 0
    for coming in files.indices {
      let present = (0...coming).filter { lastUse[$0] > coming - ahead }
      most = max(most, present.reduce(0) { $0 + files[$1].size })
    }
    return most
  }
}

/// Weight files that a read was refused of.
final class Refusals: Sendable {
  private let paths = Mutex<[String]>([])

  var first: String? { paths.withLock { $0.first } }
  func add(_ path: String) { paths.withLock { $0.append(path) } }
}

/// How to give each weight file's space back.
final class DropList: Sendable {
  private let sizes = Mutex<[String: (headerBytes: Int, size: Int)]>([:])

  func set(_ staged: StagedCheckpoint) {
    var sizes: [String: (headerBytes: Int, size: Int)] = [:]
    for file in staged.weights {
      sizes[staged.path(file)] = (staged.headers[file.path]?.bytes ?? 0, file.size ?? 0)
    }
    let known = sizes
    self.sizes.withLock { $0 = known }
  }

  func drop(_ path: String) {
    guard let (headerBytes, size) = sizes.withLock({ $0[path] }) else { return }
    // Space that cannot be given back is a matter for the next check, not for the store.
    try? StagedCheckpoint.drop(path, headerBytes: headerBytes, size: size)
  }
}
