import CXXHash
import Glibc
import Support

/// Checksums of items whose units are made by several threads.
///
/// A checksum needs an item's bytes in order.  Units are started in order, so a thread that
/// finishes early waits for its predecessors only as long as they are behind it.
///
/// @unchecked Sendable: `states` and `isAborted` are touched under the lock only, and a hash
/// state is used by the one thread whose turn it is.
final class OrderedHashing: @unchecked Sendable {
  private struct State {
    var next: Int
    let hash: OpaquePointer
  }

  private let lock: UnsafeMutablePointer<pthread_mutex_t>
  private let turn: UnsafeMutablePointer<pthread_cond_t>
  private var states: [Int: State] = [:]
  private var isAborted = false

  init() {
    lock = .allocate(capacity: 1)
    turn = .allocate(capacity: 1)
    pthread_mutex_init(lock, nil)
    pthread_cond_init(turn, nil)
  }

  deinit {
    for state in states.values { XXH3_freeState(state.hash) }
    pthread_cond_destroy(turn)
    pthread_mutex_destroy(lock)
    turn.deallocate()
    lock.deallocate()
  }

  /// Wakes everyone who waits for a unit that will never come.
  func abort() {
    pthread_mutex_lock(lock)
    isAborted = true
    pthread_cond_broadcast(turn)
    pthread_mutex_unlock(lock)
  }

  /// Adds the bytes of one unit when its turn comes.
  ///
  /// - Returns: the item's checksum after its last unit, else nil; nil too after `abort`.
  func add(_ bytes: UnsafeRawBufferPointer, item: Int, ordinal: Int, of count: Int) -> Checksum? {
    if count == 1 { return Checksum(of: bytes) }
    pthread_mutex_lock(lock)
    if states[item] == nil {
      guard let hash = XXH3_createState() else {
        isAborted = true
        pthread_cond_broadcast(turn)
        pthread_mutex_unlock(lock)
        return nil
      }
      XXH3_64bits_reset(hash)
      states[item] = State(next: 0, hash: hash)
    }
    while !isAborted, let state = states[item], state.next != ordinal {
      pthread_cond_wait(turn, lock)
    }
    guard !isAborted, let state = states[item] else {
      pthread_mutex_unlock(lock)
      return nil
    }
    pthread_mutex_unlock(lock)

    XXH3_64bits_update(state.hash, bytes.baseAddress, bytes.count)

    pthread_mutex_lock(lock)
    defer {
      pthread_cond_broadcast(turn)
      pthread_mutex_unlock(lock)
    }
    guard ordinal + 1 == count else {
      states[item]?.next = ordinal + 1
      return nil
    }
    states[item] = nil
    let checksum = Checksum(value: XXH3_64bits_digest(state.hash))
    XXH3_freeState(state.hash)
    return checksum
  }
}
