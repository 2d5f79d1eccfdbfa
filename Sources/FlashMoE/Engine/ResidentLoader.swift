import Support
import Synchronization
import WeightStore

/// Reads `resident.bin` straight into the arena and checks every tensor.
enum ResidentLoader {
  private static let pieceBytes = 8 << 20

  /// - Parameter destination: page-aligned, at least `residentBytes` rounded up to a page.
  /// - Throws: `Failure` naming the file and the tensor that is damaged.
  static func load(
    _ store: Store, into destination: UnsafeMutableRawPointer, pool: WorkerPool
  ) throws(Failure) {
    let path = store.filePath(Manifest.residentFileName)
    let bytes = store.manifest.residentBytes
    guard bytes > 0 else { return }
    do throws(Failure) {
      try read(File(path, .readDirect), bytes, into: destination, wholePages: true)
    } catch  where error.kind == .io {
      // File systems without O_DIRECT (tmpfs): read buffered and drop the pages behind.
      try read(File(path, .read), bytes, into: destination, wholePages: false)
    }
    try check(store, path: path, at: destination, pool: pool)
  }

  private static func read(
    _ file: consuming File, _ bytes: Int, into destination: UnsafeMutableRawPointer,
    wholePages: Bool
  ) throws(Failure) {
    var offset = 0
    while offset < bytes {
      let count = min(pieceBytes, bytes - offset)
      let piece = UnsafeMutableRawBufferPointer(start: destination + offset, count: count)
      if wholePages, count % Arena.pageBytes != 0 {
        // Only whole pages can be read directly; the tail goes through the page cache.
        let tail = try File(file.path, .read)
        try tail.read(into: piece, at: offset)
        tail.dropCache()
      } else {
        try file.read(into: piece, at: offset)
      }
      offset += count
      if !wholePages { file.dropCache() }
    }
  }

  private static func check(
    _ store: Store, path: String, at base: UnsafeMutableRawPointer, pool: WorkerPool
  ) throws(Failure) {
    let tensors = store.manifest.residents
    let next = Atomic<Int>(0)
    let damaged = Atomic<Int>(Int.max)
    pool.run { _ in
      while true {
        let at = next.wrappingAdd(1, ordering: .relaxed).oldValue
        guard at < tensors.count else { return }
        let bytes = UnsafeRawBufferPointer(
          start: base + tensors[at].offset, count: tensors[at].layout.bytes)
        if Checksum(of: bytes) != tensors[at].checksum {
          _ = damaged.min(at, ordering: .relaxed)
        }
      }
    }
    let first = damaged.load(ordering: .relaxed)
    guard first == Int.max else {
      throw Failure(
        .corrupt, path, at: "\(tensors[first].name), offset \(tensors[first].offset)",
        "checksum mismatch: the file changed since it was packed",
        remedy: "Run 'flashmoe verify \(store.path)', then restore or pack it again")
    }
  }
}
