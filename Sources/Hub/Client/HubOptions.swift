import Glibc
import Support

/// Which hub, as whom, and how hard to try.
public struct HubOptions: Sendable {
  public var endpoint: String
  public var token: String?
  public var connectionCount = 8
  /// What one request asks for.
  public var pieceBytes = 16 << 20
  /// Attempts in a row that may bring nothing.
  public var attemptCount = 7
  /// The first pause between attempts; later ones double up to `longestPauseSeconds`.
  public var pauseSeconds = 0.5
  public var longestPauseSeconds = 20.0
  /// A server that wants a longer pause than this has closed for today.
  public var longestWaitSeconds = 300.0
  /// A connection that brings nothing for so long is given up.
  public var stallSeconds = 30.0

  public init(endpoint: String = defaultEndpoint, token: String? = nil) {
    self.endpoint = endpoint
    self.token = token
  }

  public static let defaultEndpoint = "https://huggingface.co"

  /// `HF_ENDPOINT`; the token from `HF_TOKEN`, or from where `huggingface-cli login` leaves it.
  public static func fromEnvironment() -> HubOptions {
    HubOptions(
      endpoint: Environment.value("HF_ENDPOINT") ?? defaultEndpoint,
      token: Environment.value("HF_TOKEN") ?? storedToken())
  }

  private static func storedToken() -> String? {
    var places: [String] = []
    if let path = Environment.value("HF_TOKEN_PATH") { places.append(path) }
    if let home = Environment.value("HF_HOME") { places.append(home + "/token") }
    if let home = Environment.value("HOME") { places.append(home + "/.cache/huggingface/token") }
    for place in places {
      guard FileSystem.exists(place),
        let text = try? FileSystem.readText(place, limitBytes: 1 << 16)
      else { continue }
      let token = text.filter { !$0.isWhitespace }
      if !token.isEmpty { return token }
    }
    return nil
  }
}

/// Environment variables; empty ones count as unset.
enum Environment {
  static func value(_ name: String) -> String? {
    guard let value = getenv(name), value.pointee != 0 else { return nil }
    return String(cString: value)
  }
}
