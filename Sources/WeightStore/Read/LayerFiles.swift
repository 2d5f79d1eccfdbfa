import CLinux
import Glibc
import Support

/// The open record files of a store, one a layer.
final class LayerFiles {
  let store: Store
  private(set) var descriptors: [Int32] = []
  /// Whether reads go past the page cache.
  private(set) var isDirect: Bool
  /// Why they do not, when that was not asked for.
  private(set) var refusal: String?

  /// - Parameter scratch: 4096 aligned bytes to try a read with.
  init(
    store: Store, mode: DirectMode, scratch: UnsafeMutableRawPointer, directError: Int32
  ) throws(Failure) {
    self.store = store
    isDirect = mode != .off
    descriptors.reserveCapacity(store.manifest.layers.count)
    for layer in store.manifest.layers {
      let path = store.filePath(layer.file)
      var descriptor: Int32 = -1
      if isDirect {
        let code = Self.openDirect(path, scratch, directError, &descriptor)
        if code == EINVAL || code == EOPNOTSUPP {
          let reason = String(cString: strerror(code))
          guard mode == .auto else {
            throw Failure(
              .unsupported, path, "the file system refuses direct reads (O_DIRECT: \(reason))",
              remedy: "Use buffered reads or move the store to a disk file system")
          }
          refusal = reason
          isDirect = false
          closeAll()
          try openBuffered()
          return
        }
        guard code == 0 else { throw Self.openFailure(path, code) }
      } else {
        descriptor = fm_open(path, O_RDONLY, 0)
        guard descriptor >= 0 else { throw Self.openFailure(path, errno) }
      }
      descriptors.append(descriptor)
      if !isDirect { _ = posix_fadvise(descriptor, 0, 0, POSIX_FADV_RANDOM) }
      try checkSize(descriptor, layer, path)
    }
  }

  deinit { closeAll() }

  private func openBuffered() throws(Failure) {
    for layer in store.manifest.layers {
      let path = store.filePath(layer.file)
      let descriptor = fm_open(path, O_RDONLY, 0)
      guard descriptor >= 0 else { throw Self.openFailure(path, errno) }
      descriptors.append(descriptor)
      _ = posix_fadvise(descriptor, 0, 0, POSIX_FADV_RANDOM)
      try checkSize(descriptor, layer, path)
    }
  }

  private func closeAll() {
    for descriptor in descriptors { close(descriptor) }
    descriptors.removeAll()
  }

  /// Opens and reads one page: some file systems take the flag and refuse the read.
  private static func openDirect(
    _ path: String, _ scratch: UnsafeMutableRawPointer, _ injected: Int32,
    _ descriptor: inout Int32
  ) -> Int32 {
    if injected != 0 { return injected }
    descriptor = fm_open(path, O_RDONLY | fm_o_direct(), 0)
    guard descriptor >= 0 else { return errno }
    while pread(descriptor, scratch, RecordLayout.alignment, 0) < 0 {
      let code = errno
      if code == EINTR { continue }
      close(descriptor)
      return code
    }
    return 0
  }

  private static func openFailure(_ path: String, _ code: Int32) -> Failure {
    var failure = Failure.system(path, "cannot open the layer's records", code)
    if code == ENOENT { failure.remedy = "Restore it from a copy or pack the store again" }
    return failure
  }

  private func checkSize(_ descriptor: Int32, _ layer: Manifest.Layer, _ path: String)
    throws(Failure)
  {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      throw Failure.system(path, "cannot read its size", errno)
    }
    guard Int(status.st_size) >= layer.fileBytes else {
      throw Failure(
        .corrupt, path, "\(status.st_size) bytes where the manifest says \(layer.fileBytes)",
        remedy: "It is truncated: copy or pack the store again")
    }
  }

  /// After a buffered read: its pages would count against the memory budget.
  func dropPages(layer: Int, offset: Int, bytes: Int) {
    guard !isDirect else { return }
    _ = posix_fadvise(descriptors[layer], off_t(offset), off_t(bytes), POSIX_FADV_DONTNEED)
  }
}
