import Glibc
import Support

/// Reads through a fixed set of threads that call pread.
///
/// Both queues are as long as the number of reads that may be in flight, so neither can overflow.
final class PreadReader {
  private struct State {
    var mutex = pthread_mutex_t()
    var hasWork = pthread_cond_t()
    var hasResults = pthread_cond_t()
    let capacity: Int
    let descriptors: UnsafeMutablePointer<Int32>
    let operations: UnsafeMutablePointer<ReadOperation>
    var operationHead = 0
    var operationCount = 0
    let results: UnsafeMutablePointer<ReadCompletion>
    var resultHead = 0
    var resultCount = 0
    var isStopping = false
  }

  private let state: UnsafeMutablePointer<State>
  private var threads: [pthread_t] = []

  /// - Parameter processors: where the threads run; nil is where the caller does.
  init(files: LayerFiles, depth: Int, threadCount: Int, processors: CPUSet?) throws(SystemError) {
    let descriptors = UnsafeMutablePointer<Int32>.allocate(
      capacity: max(1, files.descriptors.count))
    for (index, descriptor) in files.descriptors.enumerated() { descriptors[index] = descriptor }
    state = .allocate(capacity: 1)
    state.initialize(
      to: State(
        capacity: depth, descriptors: descriptors, operations: .allocate(capacity: depth),
        results: .allocate(capacity: depth)))
    pthread_mutex_init(&state.pointee.mutex, nil)
    pthread_cond_init(&state.pointee.hasWork, nil)
    pthread_cond_init(&state.pointee.hasResults, nil)
    let code = start(threadCount, processors)
    if threads.isEmpty, code != 0 { throw SystemError(code: code) }
  }

  deinit {
    pthread_mutex_lock(&state.pointee.mutex)
    state.pointee.isStopping = true
    pthread_cond_broadcast(&state.pointee.hasWork)
    pthread_mutex_unlock(&state.pointee.mutex)
    for thread in threads { pthread_join(thread, nil) }
    pthread_cond_destroy(&state.pointee.hasWork)
    pthread_cond_destroy(&state.pointee.hasResults)
    pthread_mutex_destroy(&state.pointee.mutex)
    state.pointee.descriptors.deallocate()
    state.pointee.operations.deallocate()
    state.pointee.results.deallocate()
    state.deallocate()
  }

  /// Starts threads with small stacks that leave all signals to the program's own threads.
  private func start(_ count: Int, _ processors: CPUSet?) -> Int32 {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setstacksize(&attributes, 256 << 10)
    var all = sigset_t()
    var previous = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_SETMASK, &all, &previous)
    defer {
      pthread_sigmask(SIG_SETMASK, &previous, nil)
      pthread_attr_destroy(&attributes)
    }
    if let code = processors?.apply(to: &attributes), code != 0 { return code }
    for _ in 0..<count {
      var thread = pthread_t()
      let code = pthread_create(
        &thread, &attributes,
        { argument in
          guard let argument else { return nil }
          PreadReader.work(argument.assumingMemoryBound(to: State.self))
          return nil
        }, state)
      // Fewer threads than asked for are slower, not wrong.
      guard code == 0 else { return code }
      threads.append(thread)
    }
    return 0
  }

  private static func work(_ state: UnsafeMutablePointer<State>) {
    pthread_mutex_lock(&state.pointee.mutex)
    while true {
      while state.pointee.operationCount == 0, !state.pointee.isStopping {
        pthread_cond_wait(&state.pointee.hasWork, &state.pointee.mutex)
      }
      guard state.pointee.operationCount > 0 else { break }
      let operation = state.pointee.operations[state.pointee.operationHead]
      state.pointee.operationHead = (state.pointee.operationHead + 1) % state.pointee.capacity
      state.pointee.operationCount -= 1
      pthread_mutex_unlock(&state.pointee.mutex)
      let got = pread(
        state.pointee.descriptors[operation.file], operation.destination, operation.bytes,
        off_t(operation.offset))
      let result = got < 0 ? -Int(errno) : got
      pthread_mutex_lock(&state.pointee.mutex)
      let tail =
        (state.pointee.resultHead + state.pointee.resultCount) % state.pointee.capacity
      state.pointee.results[tail] = ReadCompletion(piece: operation.piece, result: result)
      state.pointee.resultCount += 1
      pthread_cond_signal(&state.pointee.hasResults)
    }
    pthread_mutex_unlock(&state.pointee.mutex)
  }

  /// - Returns: false when as many reads as allowed are in flight.
  func queue(_ operation: ReadOperation) -> Bool {
    pthread_mutex_lock(&state.pointee.mutex)
    defer { pthread_mutex_unlock(&state.pointee.mutex) }
    guard state.pointee.operationCount < state.pointee.capacity else { return false }
    let tail =
      (state.pointee.operationHead + state.pointee.operationCount) % state.pointee.capacity
    state.pointee.operations[tail] = operation
    state.pointee.operationCount += 1
    pthread_cond_signal(&state.pointee.hasWork)
    return true
  }

  /// Takes completions; with `wait`, sleeps until there is at least one.
  func collect(into buffer: UnsafeMutableBufferPointer<ReadCompletion>, wait: Bool) -> Int {
    pthread_mutex_lock(&state.pointee.mutex)
    defer { pthread_mutex_unlock(&state.pointee.mutex) }
    while wait, state.pointee.resultCount == 0 {
      pthread_cond_wait(&state.pointee.hasResults, &state.pointee.mutex)
    }
    let count = min(buffer.count, state.pointee.resultCount)
    for index in 0..<count {
      buffer[index] = state.pointee.results[state.pointee.resultHead]
      state.pointee.resultHead = (state.pointee.resultHead + 1) % state.pointee.capacity
    }
    state.pointee.resultCount -= count
    return count
  }

  var summary: String { "\(threads.count) pread threads" }
}
