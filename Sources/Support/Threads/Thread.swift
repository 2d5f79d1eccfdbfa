import Glibc

/// How threads of this program are started.
enum Thread {
  /// Starts a thread, pinned from its first instruction when `cpus` is given.
  ///
  /// - Throws: `Failure(.io)` naming the thread and the system's reason.
  static func start(
    _ name: String, cpus: CPUSet?, argument: UnsafeMutableRawPointer,
    _ body: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer?
  ) throws(Failure) -> pthread_t {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    var code = cpus?.apply(to: &attributes) ?? 0
    var handle = pthread_t()
    if code == 0 { code = pthread_create(&handle, &attributes, body, argument) }
    guard code == 0 else {
      throw Failure(
        .io, "thread \(name)",
        "the system refuses to start it\(cpus.map { " on processors \($0)" } ?? ""): "
          + String(cString: strerror(code)),
        remedy: cpus == nil || code != EINVAL
          ? "Use fewer threads (--threads), or raise the limit on processes"
          : "Name processors this process may use, or give --cpus off")
    }
    return handle
  }
}
