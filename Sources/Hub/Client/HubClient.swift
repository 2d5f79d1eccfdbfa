import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import Support
import Synchronization

/// Requests to one hub, redirects and retries included.
///
/// The token goes to the hub's own origin and nowhere else.
public final class HubClient: Sendable {
  /// An answer's head, with the body still to come.
  struct Answer {
    let status: HTTPResponseStatus
    let headers: HTTPHeaders
    let body: HTTPClientResponse.Body
    /// Who answered, after redirects.
    let address: WebAddress
    /// The hub's own headers, where it redirected to a content server.
    let hubHeaders: HTTPHeaders
  }

  let options: HubOptions
  let endpoint: WebAddress
  private let http: HTTPClient

  private static let redirectLimit = 10

  /// Makes a client, hands it to `body`, and closes its connections.
  public static func with<Value: Sendable>(
    _ options: HubOptions, _ body: (HubClient) async throws(Failure) -> Value
  ) async throws(Failure) -> Value {
    let client = try HubClient(options)
    let result: Result<Value, Failure>
    do throws(Failure) { result = .success(try await body(client)) } catch {
      result = .failure(error)
    }
    try? await client.http.shutdown()
    return try result.get()
  }

  private init(_ options: HubOptions) throws(Failure) {
    guard let endpoint = WebAddress(options.endpoint), !endpoint.target.contains("?") else {
      throw Failure(
        .usage, "HF_ENDPOINT", "\"\(options.endpoint)\" is not an http or https address",
        remedy: "Unset it, or give an address such as \(HubOptions.defaultEndpoint)")
    }
    if let token = options.token {
      guard token.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
        throw Failure(.usage, "HF_TOKEN", "holds characters that no token has")
      }
    }
    self.options = options
    self.endpoint = endpoint
    var configuration = HTTPClient.Configuration(
      redirectConfiguration: .disallow,
      timeout: HTTPClient.Configuration.Timeout(
        connect: .seconds(20), read: .milliseconds(Int64(options.stallSeconds * 1000))),
      decompression: .disabled)
    // Ranged requests side by side are the point: one connection must not carry them all.
    configuration.httpVersion = .http1Only
    configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit =
      options.connectionCount
    // Attempts are counted and told in one place, which is ours.
    configuration.connectionPool.retryConnectionEstablishment = false
    configuration.proxy = ProxySetting.fromEnvironment(for: endpoint)
    http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
  }

  /// One GET, redirects followed; statuses are not judged here.
  func get(_ address: WebAddress, range: Range<Int>? = nil) async throws -> Answer {
    var address = address
    var hubHeaders = HTTPHeaders()
    for _ in 0...Self.redirectLimit {
      var request = HTTPClientRequest(url: address.text)
      request.headers.add(name: "User-Agent", value: "flashmoe")
      // Ranges and checksums are about the bytes as they are.
      request.headers.add(name: "Accept-Encoding", value: "identity")
      if let range {
        request.headers.add(
          name: "Range", value: "bytes=\(range.lowerBound)-\(range.upperBound - 1)")
      }
      if let token = options.token, address.origin == endpoint.origin {
        request.headers.add(name: "Authorization", value: "Bearer \(token)")
      }
      let response = try await http.execute(request, deadline: .distantFuture)
      if address.origin == endpoint.origin { hubHeaders = response.headers }
      guard [301, 302, 303, 307, 308].contains(response.status.code) else {
        return Answer(
          status: response.status, headers: response.headers, body: response.body,
          address: address, hubHeaders: hubHeaders)
      }
      guard let location = response.headers.first(name: "Location"),
        let next = address.following(location)
      else {
        throw HubError.transient(
          Failure(.io, address.shown, "redirects to nowhere"), pauseSeconds: nil)
      }
      guard next.origin.isSecure || !address.origin.isSecure else {
        throw HubError.final(
          Failure(.io, address.shown, "redirects to an unencrypted address, \(next.shown)"))
      }
      address = next
    }
    throw HubError.final(
      Failure(.io, address.shown, "redirects more than \(Self.redirectLimit) times"))
  }

  /// A whole small document.
  func document(_ address: WebAddress, about: HubError.Subject, limitBytes: Int)
    async throws(Failure) -> (bytes: [UInt8], headers: HTTPHeaders)
  {
    try await retrying(subject: address.shown) {
      let answer = try await self.get(address)
      guard answer.status == .ok else {
        throw HubError.status(
          answer.status, answer.headers, at: address, about: about,
          hasToken: self.options.token != nil)
      }
      do {
        let buffer = try await answer.body.collect(upTo: limitBytes)
        return (Array(buffer.readableBytesView), answer.hubHeaders)
      } catch is NIOTooManyBytesError {
        throw HubError.final(
          Failure(
            .malformed, address.shown,
            "the answer is longer than \(ByteCount.format(limitBytes)), which makes no sense"))
      }
    }
  }

  /// Repeats `attempt` while what goes wrong is worth another try.
  ///
  /// - Parameter progressed: whether the last attempt brought something, which starts the count anew.
  func retrying<Value>(
    subject: String, progressed: () -> Bool = { false },
    _ attempt: () async throws -> Value
  ) async throws(Failure) -> Value {
    var failed = 0
    while true {
      do {
        try Task.checkCancellation()
        return try await attempt()
      } catch {
        switch HubError.sorted(error, subject: subject) {
        case .final(let failure): throw failure
        case .transient(let failure, let wanted):
          failed = progressed() ? 1 : failed + 1
          if let wanted, wanted > options.longestWaitSeconds {
            throw tooLong(failure, wanted)
          }
          guard failed < options.attemptCount else { throw worn(failure, failed) }
          let pause = min(
            options.pauseSeconds * Double(1 << min(failed - 1, 16)), options.longestPauseSeconds)
          try await sleep(wanted ?? pause * Double.random(in: 0.75...1.25), subject: subject)
        }
      }
    }
  }

  private func sleep(_ seconds: Double, subject: String) async throws(Failure) {
    do { try await Task.sleep(for: .seconds(seconds)) } catch {
      throw Failure(.cancelled, subject, "the download was interrupted")
    }
  }

  private func worn(_ failure: Failure, _ attempts: Int) -> Failure {
    var told = failure
    told.problem += " (\(attempts) attempts in a row)"
    if told.remedy == nil { told.remedy = "Run the command again later: it goes on where it was" }
    return told
  }

  private func tooLong(_ failure: Failure, _ seconds: Double) -> Failure {
    var told = failure
    told.problem += ", and asks to wait \(Int(seconds.rounded())) s"
    return told
  }
}
