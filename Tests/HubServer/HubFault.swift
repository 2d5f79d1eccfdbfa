import NIOHTTP1

/// What a server can do wrong with one request for a file's bytes.
public enum HubFault: Sendable {
  /// Closes the connection after so many bytes of the body.
  case closes(after: Int)
  /// 200 and the whole file, whatever was asked for.
  case sendsWholeFile
  /// 206 with a range that begins so many bytes later.
  case shiftsRange(by: Int)
  /// Announces so many bytes more than it sends.
  case misstatesLength(by: Int)
  case answers(Int, headers: [String: String] = [:])
  /// Flips a bit of the first byte it sends.
  case corrupts
  /// Sends in pieces of so many bytes with pauses between.
  case dawdles(bytes: Int, milliseconds: Int)
  /// Says nothing at all.
  case hangs
}

/// One request as the server saw it.
public struct HubRequest: Sendable {
  /// Counts all requests for bytes.
  public var number: Int
  public var path: String
  public var range: Range<Int>?
  public var authorization: String?
  /// Whether it came to the content server, which is another origin.
  public var isContent: Bool
}
