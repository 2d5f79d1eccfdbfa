import Support
import Synchronization
import WeightStore

/// What passes between the downloader, which brings weight files, and the packer, which takes them.
///
/// The packer's threads block here; the downloader, which must not, is woken by a continuation.
final class ShardSupply: SourceSupply {
  private enum Presence { case absent, present, gone }

  private struct State {
    var presence: [String: Presence] = [:]
    /// Nil until the packer knows what it needs.
    var needed: Set<String>?
    var passed = 0
    var failure: Failure?
    var threads: [Signal] = []
    var downloader: CheckedContinuation<Void, Never>?
  }

  /// Files that are on their way or being packed, besides those that wait for a later one.
  static let ahead = 2

  let order: [String]
  private let drop: @Sendable (String) -> Void
  private let state = Mutex(State())

  /// - Parameter drop: gives a file's space back.
  init(order: [String], drop: @escaping @Sendable (String) -> Void) {
    self.order = order
    self.drop = drop
  }

  // MARK: the packer's side

  func begin(_ needed: Set<String>) throws(Failure) {
    change { $0.needed = needed }
    for file in order where !needed.contains(file) { release(file) }
  }

  func wait(for file: String) throws(Failure) {
    while true {
      let next = state.withLock { state -> Result<Signal?, Failure> in
        if let failure = state.failure { return .failure(failure) }
        switch state.presence[file] ?? .absent {
        case .present: return .success(nil)
        case .gone: return .failure(Self.isGone(file))
        case .absent:
          let signal = Signal()
          state.threads.append(signal)
          return .success(signal)
        }
      }
      guard let signal = try next.get() else { return }
      signal.wait()
    }
  }

  func passed(_ count: Int) { change { $0.passed = max($0.passed, count) } }

  func release(_ file: String) {
    // Whoever reads from now on gets an error, and only then the bytes go.
    change { $0.presence[file] = .gone }
    drop(file)
  }

  func stop() { fail(Failure(.cancelled, "pack", "was stopped")) }

  /// For reads of weights: an error unless the file is there.
  func check(_ file: String) throws(Failure) {
    let presence = state.withLock { $0.presence[file] ?? .absent }
    switch presence {
    case .present: return
    case .gone: throw Self.isGone(file)
    case .absent: throw Failure(.notFound, file, "its weights have not come yet")
    }
  }

  private static func isGone(_ file: String) -> Failure {
    Failure(
      .notFound, file, "its weights were packed and dropped, and are needed again",
      remedy: "Run the command again: it downloads this file once more")
  }

  // MARK: the downloader's side

  /// What the packer needs, once it knows.
  func needed() async throws(Failure) -> Set<String> {
    while true {
      let (needed, failure) = state.withLock { ($0.needed, $0.failure) }
      if let failure { throw failure }
      if let needed { return needed }
      await sleep { $0.needed != nil }
    }
  }

  /// Waits until the file at `index` may come: until the packer is through with those long before it.
  func turn(of index: Int) async throws(Failure) {
    while true {
      let (passed, failure) = state.withLock { ($0.passed, $0.failure) }
      if let failure { throw failure }
      if index < passed + Self.ahead { return }
      await sleep { index < $0.passed + Self.ahead }
    }
  }

  func arrived(_ file: String) { change { $0.presence[file] = .present } }

  func fail(_ failure: Failure) { change { if $0.failure == nil { $0.failure = failure } } }

  private func change(_ body: (inout State) -> Void) {
    let (threads, downloader) = state.withLock { state in
      body(&state)
      defer {
        state.threads = []
        state.downloader = nil
      }
      return (state.threads, state.downloader)
    }
    for thread in threads { thread.signal() }
    downloader?.resume()
  }

  /// Sleeps until something changes, unless it is ready already.
  private func sleep(until isReady: (State) -> Bool) async {
    await withCheckedContinuation { continuation in
      let isDue = state.withLock { state in
        if state.failure != nil || isReady(state) { return true }
        state.downloader = continuation
        return false
      }
      if isDue { continuation.resume() }
    }
  }
}
