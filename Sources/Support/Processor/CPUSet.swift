import CLinux
import Glibc

/// Logical processors, written the way the kernel writes lists of them: `0-3,8,10-11`.
public struct CPUSet: Sendable, Equatable, ExpressibleByArrayLiteral, CustomStringConvertible {
  /// Processor numbers are below this; Linux itself stops at 8192.
  public static let limit = 8192

  /// Ascending, each once.
  public let members: [Int]

  /// Numbers outside `0 ..< limit` are left out.
  public init(_ members: some Sequence<Int>) {
    self.members = Set(members).filter { (0..<Self.limit).contains($0) }.sorted()
  }

  public init(arrayLiteral members: Int...) { self.init(members) }

  /// Reads a kernel list; an empty text is the empty set.
  ///
  /// - Returns: nil for anything else than numbers and rising ranges between commas.
  public init?(list text: String) {
    var members: Set<Int> = []
    let trimmed = text.split(whereSeparator: \.isWhitespace)
    guard trimmed.count <= 1 else { return nil }
    let words = trimmed.first?.split(separator: ",", omittingEmptySubsequences: false) ?? []
    for word in words {
      let ends = word.split(separator: "-", omittingEmptySubsequences: false).map(Self.number)
      guard (1...2).contains(ends.count), let first = ends[0], let last = ends[ends.count - 1],
        first <= last
      else { return nil }
      members.formUnion(first...last)
    }
    self.init(members)
  }

  /// Digits only: `Int` would take signs too.
  private static func number(_ text: Substring) -> Int? {
    guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
      let value = Int(text), value < limit
    else { return nil }
    return value
  }

  public var isEmpty: Bool { members.isEmpty }
  public var count: Int { members.count }
  public var first: Int? { members.first }
  public func contains(_ cpu: Int) -> Bool { members.contains(cpu) }
  public func intersection(_ other: CPUSet) -> CPUSet { CPUSet(members.filter(other.contains)) }
  public func subtracting(_ other: CPUSet) -> CPUSet {
    CPUSet(members.filter { !other.contains($0) })
  }

  public var description: String {
    var parts: [String] = []
    var at = 0
    while at < members.count {
      var end = at
      while end + 1 < members.count, members[end + 1] == members[end] + 1 { end += 1 }
      parts.append(at == end ? "\(members[at])" : "\(members[at])-\(members[end])")
      at = end + 1
    }
    return parts.joined(separator: ",")
  }

  // MARK: The kernel's masks

  private static let words = limit / 64

  private var mask: [UInt64] {
    var mask = [UInt64](repeating: 0, count: ((members.last ?? 0) / 64) + 1)
    for cpu in members { mask[cpu / 64] |= 1 << UInt64(cpu % 64) }
    return mask
  }

  /// Processors that a task of this process may run on: its affinity within its cpuset.
  ///
  /// - Parameter task: a thread's id; the default is the process's first thread, which is never
  ///   pinned here; 0 is the calling thread.
  /// - Returns: nil when the system does not say.
  public static func allowed(task: Int32 = getpid()) -> CPUSet? {
    var mask = [UInt64](repeating: 0, count: words)
    guard fm_get_affinity(task, &mask, mask.count) == 0 else { return nil }
    let set = CPUSet((0..<limit).filter { mask[$0 / 64] >> UInt64($0 % 64) & 1 == 1 })
    return set.isEmpty ? nil : set
  }

  /// Makes threads that are started with these attributes run on this set only.
  ///
  /// A set without a usable processor shows when the thread is started, as `EINVAL`.
  ///
  /// - Returns: 0 or an errno.
  public func apply(to attributes: UnsafeMutablePointer<pthread_attr_t>) -> Int32 {
    let mask = mask
    return fm_attributes_set_affinity(attributes, mask, mask.count)
  }
}
