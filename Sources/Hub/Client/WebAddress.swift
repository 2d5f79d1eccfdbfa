import Support

/// An http or https address, as far as downloading needs to take one apart.
struct WebAddress: Sendable, Equatable {
  /// Scheme, host and port: what a token belongs to.
  struct Origin: Sendable, Equatable {
    let isSecure: Bool
    let host: String
    let port: Int
  }

  let origin: Origin
  /// Path and query, starting with `/`.
  let target: String

  var text: String {
    let scheme = origin.isSecure ? "https" : "http"
    let isUsual = origin.port == (origin.isSecure ? 443 : 80)
    return "\(scheme)://\(origin.host)\(isUsual ? "" : ":\(origin.port)")\(target)"
  }

  /// Without the query, which may hold a signature: for messages.
  var shown: String { String(text.prefix { $0 != "?" }) }

  init(origin: Origin, target: String) {
    self.origin = origin
    self.target = target
  }

  /// Nil for anything but an absolute http or https address without user and password.
  init?(_ text: String) {
    let isSecure: Bool
    var rest: Substring
    if let found = Self.drop("https://", from: text) {
      (isSecure, rest) = (true, found)
    } else if let found = Self.drop("http://", from: text) {
      (isSecure, rest) = (false, found)
    } else {
      return nil
    }
    guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { return nil }
    if let hash = rest.firstIndex(of: "#") { rest = rest[..<hash] }
    let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
    let authority = rest[..<end]
    guard !authority.isEmpty, !authority.contains("@") else { return nil }
    var host = authority
    var port = isSecure ? 443 : 80
    // The colons of an IPv6 address stand in brackets.
    let bracket = authority.lastIndex(of: "]")
    if let colon = authority.lastIndex(of: ":"), bracket.map({ colon > $0 }) ?? true {
      guard let number = Int(authority[authority.index(after: colon)...]),
        (1...65535).contains(number)
      else { return nil }
      port = number
      host = authority[..<colon]
    }
    guard !host.isEmpty else { return nil }
    origin = Origin(isSecure: isSecure, host: host.lowercased(), port: port)
    let target = String(rest[end...])
    self.target = target.hasPrefix("/") ? target : "/" + target
  }

  /// Where a `Location` header of this address's answer points.
  func following(_ location: String) -> WebAddress? {
    if let absolute = WebAddress(location) { return absolute }
    if location.hasPrefix("//") {
      return WebAddress((origin.isSecure ? "https:" : "http:") + location)
    }
    guard location.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }), !location.contains("://") else {
      return nil
    }
    if location.hasPrefix("/") { return WebAddress(origin: origin, target: location) }
    let path = target.prefix { $0 != "?" }
    let folder = path[...(path.lastIndex(of: "/") ?? path.startIndex)]
    return WebAddress(origin: origin, target: folder + location)
  }

  /// Appends a path given by its unescaped parts.
  func appending(_ parts: [String]) -> WebAddress {
    var base = target
    while base.hasSuffix("/") { base.removeLast() }
    return WebAddress(
      origin: origin, target: base + parts.map { "/" + Self.escaped($0) }.joined())
  }

  private static func drop(_ prefix: String, from text: String) -> Substring? {
    text.lowercased().hasPrefix(prefix) ? text.dropFirst(prefix.count) : nil
  }

  /// Percent-encodes all but unreserved characters (RFC 3986, 2.3).
  static func escaped(_ part: String) -> String {
    var text = ""
    for byte in part.utf8 {
      if byte.isNameByte || byte == UInt8(ascii: "~") {
        text.unicodeScalars.append(Unicode.Scalar(byte))
      } else {
        text += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
      }
    }
    return text
  }
}
