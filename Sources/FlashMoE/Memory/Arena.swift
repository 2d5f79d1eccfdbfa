import Glibc
import Support

/// One anonymous mapping from which everything large is cut at start.
///
/// After construction nothing of the model's size is allocated again: the budget is either met
/// here or refused here.
struct Arena: ~Copyable {
  let base: UnsafeMutableRawPointer
  let byteCount: Int
  static let pageBytes = 4096
  /// Larger mappings ask for transparent huge pages: fewer TLB misses while weights stream by.
  private static let hugePageThresholdBytes = 64 << 20

  /// - Throws: `Failure(.budget)` when the system has no such memory.
  init(byteCount: Int) throws(Failure) {
    let size = alignUpToPage(max(byteCount, 1))
    guard
      let base = mmap(
        nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
      base != MAP_FAILED
    else {
      throw Failure(
        .budget, "memory",
        "the system refused \(ByteCount.format(size)): \(String(cString: strerror(errno)))",
        remedy: "Use a smaller --ram or --ctx")
    }
    if size >= Self.hugePageThresholdBytes { madvise(base, size, MADV_HUGEPAGE) }
    self.base = base
    self.byteCount = size
  }

  deinit { munmap(base, byteCount) }
}

/// Hands out consecutive pieces of an arena.
///
/// The memory plan runs the same cutting code over an imaginary base to learn the sum, so the
/// plan and the allocation cannot disagree.
struct ArenaCutter {
  private let base: UInt
  private(set) var usedBytes = 0

  init(base: UnsafeMutableRawPointer) { self.base = UInt(bitPattern: base) }

  /// A cutter that only counts; its pointers must not be followed.
  init() { base = 1 << 30 }

  /// Cuts `count` elements at the given alignment (a cache line unless said).
  mutating func take<Element>(_ type: Element.Type, count: Int, alignment: Int = 64)
    -> UnsafeMutablePointer<Element>
  {
    let start = (usedBytes + alignment - 1) / alignment * alignment
    usedBytes = start + max(count, 1) * MemoryLayout<Element>.stride
    // The base is never zero, so neither is the sum.
    return UnsafeMutablePointer(bitPattern: base + UInt(start)).unsafelyUnwrapped
  }
}

func alignUpToPage(_ bytes: Int) -> Int {
  (bytes + Arena.pageBytes - 1) / Arena.pageBytes * Arena.pageBytes
}
