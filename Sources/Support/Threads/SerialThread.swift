import CLinux
import Glibc

/// One operating-system thread that runs jobs in the order they were given.
///
/// Blocking work (a disk, a long forward pass) belongs here and not on Swift's cooperative pool,
/// whose few threads must never wait.
public final class SerialThread: Sendable {
  private struct State {
    var mutex = pthread_mutex_t()
    var changed = pthread_cond_t()
    var jobs: [@Sendable () -> Void] = []
    var stopping = false
  }

  // Guarded by the mutex inside.
  nonisolated(unsafe) private let state: UnsafeMutablePointer<State>
  private let handle: pthread_t

  /// - Parameter cpus: where the thread may run; nil leaves that to the scheduler.
  /// - Throws: `Failure(.io)` when the system refuses a thread.
  public init(name: String, cpus: CPUSet? = nil) throws(Failure) {
    let state = UnsafeMutablePointer<State>.allocate(capacity: 1)
    state.initialize(to: State())
    pthread_mutex_init(&state.pointee.mutex, nil)
    pthread_cond_init(&state.pointee.changed, nil)
    do throws(Failure) {
      handle = try Thread.start(name, cpus: cpus, argument: state) { argument in
        if let argument { SerialThread.loop(argument.assumingMemoryBound(to: State.self)) }
        return nil
      }
    } catch {
      state.deinitialize(count: 1)
      state.deallocate()
      throw error
    }
    self.state = state
    enqueue { fm_name_thread(String(name.prefix(15))) }
  }

  /// Jobs that are still queued run before the thread ends.
  deinit {
    pthread_mutex_lock(&state.pointee.mutex)
    state.pointee.stopping = true
    pthread_cond_signal(&state.pointee.changed)
    pthread_mutex_unlock(&state.pointee.mutex)
    if pthread_equal(pthread_self(), handle) != 0 {
      // The last reference died in a job on this very thread: it cannot wait for itself.
      pthread_detach(handle)
    } else {
      pthread_join(handle, nil)
      state.deinitialize(count: 1)
      state.deallocate()
    }
  }

  public func enqueue(_ job: @escaping @Sendable () -> Void) {
    pthread_mutex_lock(&state.pointee.mutex)
    state.pointee.jobs.append(job)
    pthread_cond_signal(&state.pointee.changed)
    pthread_mutex_unlock(&state.pointee.mutex)
  }

  /// Runs a job there and waits for its result; must not be called from a job.
  public func perform<Value: Sendable>(_ job: @escaping @Sendable () -> Value) -> Value {
    let result = Box<Value>()
    enqueue {
      result.value = job()
      result.done.signal()
    }
    result.done.wait()
    guard let value = result.value else { preconditionFailure("the job left no result") }
    return value
  }

  private final class Box<Value>: @unchecked Sendable {
    var value: Value?
    let done = Signal()
  }

  private static func loop(_ state: UnsafeMutablePointer<State>) {
    while true {
      pthread_mutex_lock(&state.pointee.mutex)
      while state.pointee.jobs.isEmpty, !state.pointee.stopping {
        pthread_cond_wait(&state.pointee.changed, &state.pointee.mutex)
      }
      guard !state.pointee.jobs.isEmpty else {
        pthread_mutex_unlock(&state.pointee.mutex)
        return
      }
      let job = state.pointee.jobs.removeFirst()
      pthread_mutex_unlock(&state.pointee.mutex)
      job()
    }
  }
}

/// A one-shot event between threads.
public final class Signal: Sendable {
  nonisolated(unsafe) private let semaphore: UnsafeMutablePointer<sem_t>

  public init() {
    semaphore = .allocate(capacity: 1)
    sem_init(semaphore, 0, 0)
  }

  deinit {
    sem_destroy(semaphore)
    semaphore.deallocate()
  }

  public func signal() { sem_post(semaphore) }

  public func wait() {
    while sem_wait(semaphore) != 0, errno == EINTR {}
  }
}
