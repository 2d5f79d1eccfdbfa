import AsyncHTTPClient
import NIOHTTP1
import Support

/// A failed request: worth another try, or not.
enum HubError: Error {
  case transient(Failure, pauseSeconds: Double?)
  case final(Failure)

  var failure: Failure {
    switch self {
    case .transient(let failure, _), .final(let failure): failure
    }
  }

  /// Sorts whatever a request threw; a connection that breaks is worth another try.
  static func sorted(_ error: any Error, subject: String) -> HubError {
    if let error = error as? HubError { return error }
    if let failure = error as? Failure { return .final(failure) }
    if error is CancellationError || Task.isCancelled {
      return .final(Failure(.cancelled, subject, "the download was interrupted"))
    }
    return .transient(
      Failure(
        .io, subject, "the connection broke: \(words(error))",
        remedy: "Check the network, and HF_ENDPOINT if it is set"), pauseSeconds: nil)
  }

  private static func words(_ error: any Error) -> String {
    if let error = error as? HTTPClientError { return error.shortDescription }
    let text = "\(error)"
    return text.count > 200 ? text.prefix(200) + "…" : text
  }

  /// What an HTTP status means for the user of a hub.
  static func status(
    _ status: HTTPResponseStatus, _ headers: HTTPHeaders, at address: WebAddress, about: Subject,
    hasToken: Bool
  ) -> HubError {
    let code = Int(status.code)
    switch code {
    case 408, 425, 429, 500...599:
      let reason =
        code == 429 ? "the hub asks for fewer requests" : "the server answered \(code)"
      return .transient(
        Failure(
          .io, address.shown, "\(reason) (\(status.reasonPhrase))",
          remedy: "Run the command again later: it goes on where it was"),
        pauseSeconds: headers.first(name: "Retry-After").flatMap(RetryAfter.seconds))
    case 401, 403: return .final(refused(code, headers, about, hasToken: hasToken))
    case 404, 410: return .final(missing(headers, about))
    default:
      return .final(
        Failure(.io, address.shown, "the server answered \(code) (\(status.reasonPhrase))"))
    }
  }

  /// What a request was about.
  struct Subject: Sendable {
    var endpoint: String
    var repository: String
    var revision: String
    var path: String?
  }

  private static func missing(_ headers: HTTPHeaders, _ about: Subject) -> Failure {
    let reason = headers.first(name: "X-Error-Code")
    if let path = about.path, reason == nil || reason == "EntryNotFound" {
      return Failure(
        .notFound, about.repository, at: path, "is not in revision \(about.revision)",
        remedy: "The repository may just have changed: run the command again")
    }
    if reason == "RevisionNotFound" {
      return Failure(
        .notFound, about.repository, "has no revision \(about.revision)",
        remedy: "Give a branch, a tag or a commit of \(about.endpoint)/\(about.repository)")
    }
    return Failure(
      .notFound, about.repository,
      "there is no such model on \(about.endpoint), or it has no revision \(about.revision)",
      remedy: "Names look like ORG/NAME[:REVISION], for example Qwen/Qwen3-30B-A3B")
  }

  private static func refused(
    _ code: Int, _ headers: HTTPHeaders, _ about: Subject, hasToken: Bool
  ) -> Failure {
    let page = "\(about.endpoint)/\(about.repository)"
    let reason = headers.first(name: "X-Error-Code")
    if reason == "GatedRepo" {
      return Failure(
        .io, about.repository, "the model's licence has to be accepted first (\(code))",
        remedy: hasToken
          ? "Accept it on \(page) with the account HF_TOKEN belongs to"
          : "Accept it on \(page) and set HF_TOKEN to a token of that account")
    }
    if !hasToken {
      return Failure(
        .io, about.repository,
        "the hub wants to know who asks (\(code)): there is no such model, or it is private or gated",
        remedy: "Check the name; else set HF_TOKEN, and accept the licence on \(page) if it has one"
      )
    }
    return Failure(
      .io, about.repository, "the hub refuses this token (\(code))",
      remedy: "Check HF_TOKEN, and accept the licence on \(page) with its account if it has one")
  }
}

/// `Retry-After`: seconds, or a date.
enum RetryAfter {
  private static let months = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
  ]

  static func seconds(_ text: String) -> Double? {
    if let seconds = Int(text) { return seconds >= 0 ? Double(seconds) : nil }
    guard let then = unixTime(text) else { return nil }
    return max(0, Double(then - WallClock.seconds()))
  }

  /// `Wed, 21 Oct 2015 07:28:00 GMT` as seconds since 1970.
  static func unixTime(_ text: String) -> Int? {
    let parts = text.split { $0 == " " || $0 == ":" }
    guard parts.count == 8, parts[7] == "GMT", let day = Int(parts[1]), (1...31).contains(day),
      let month = months.firstIndex(of: String(parts[2])), let year = Int(parts[3]),
      (1970...9999).contains(year), let hour = Int(parts[4]), let minute = Int(parts[5]),
      let second = Int(parts[6]), (0...23).contains(hour), (0...59).contains(minute),
      (0...60).contains(second)
    else { return nil }
    // Days since 1970 with years that begin in March, so that leap days come last.
    let shifted = month < 2 ? year - 1 : year
    let dayOfYear = (153 * ((month + 10) % 12) + 2) / 5 + day - 1
    let days =
      shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + dayOfYear - 719_468
    return days * 86_400 + hour * 3600 + minute * 60 + second
  }
}
