import Support
import Synchronization

/// Tokens as they are generated; iterate it once with `for try await`.
public struct Generation: AsyncSequence, Sendable {
  public typealias Element = GeneratedToken

  let stream: AsyncThrowingStream<GeneratedToken, any Error>
  let state: GenerationState

  public func makeAsyncIterator() -> AsyncThrowingStream<GeneratedToken, any Error>.Iterator {
    stream.makeAsyncIterator()
  }

  /// What it did and cost; there once iteration has ended.
  public var summary: GenerationSummary? { state.summary.withLock { $0 } }

  /// Stops after the token in work; iteration then ends without an error.
  public func cancel() { state.cancelled.store(true, ordering: .relaxed) }
}

final class GenerationState: Sendable {
  let cancelled = Atomic<Bool>(false)
  let summary = Mutex<GenerationSummary?>(nil)
}

extension Engine {
  /// Starts a generation; work begins at once on the engine's thread.
  public func generate(_ prompt: Prompt, options: GenerationOptions = GenerationOptions())
    -> Generation
  {
    let state = GenerationState()
    let (stream, continuation) = AsyncThrowingStream.makeStream(of: GeneratedToken.self)
    continuation.onTermination = { _ in state.cancelled.store(true, ordering: .relaxed) }
    enqueue { result in
      do {
        let core = try result.get().core
        let prompt = try self.encode(prompt)
        var run = try GenerationRun(
          core: core, engine: self, options: options,
          isCancelled: { state.cancelled.load(ordering: .relaxed) },
          emit: { continuation.yield($0) })
        let outcome = run.run(prompt)
        state.summary.withLock { $0 = run.summary }
        if let outcome { throw outcome }
        continuation.finish()
      } catch {
        continuation.finish(throwing: error)
      }
    }
    return Generation(stream: stream, state: state)
  }
}
